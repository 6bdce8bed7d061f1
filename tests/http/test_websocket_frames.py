"""The boundaries of frames, wherever the stream is cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwd.http.websocket_frames import CLOSE, GOING_AWAY, FrameTracker, close_frame


def frame(size: int, opcode: int = 2, *, mask: bool = False, fin: bool = True) -> bytes:
    """A frame of `size` bytes of 0xFF, which look like anything but what they are."""
    bit = 0x80 * mask
    if size < 126:
        length = bytes((bit | size,))
    elif size < 65536:
        length = bytes((bit | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((bit | 127,)) + size.to_bytes(8, "big")
    return bytes((0x80 * fin | opcode,)) + length + b"\x88\x02\x88\x02" * mask + b"\xff" * size


FRAMES = st.builds(
    frame,
    st.one_of(st.integers(0, 300), st.sampled_from((125, 126, 127, 65535, 65536, 70000))),
    st.sampled_from((0, 1, 2, 9, 10)),
    mask=st.booleans(),
    fin=st.booleans(),
)


def fed(*pieces: bytes) -> FrameTracker:
    tracker = FrameTracker()
    for piece in pieces:
        tracker.feed(piece)
    return tracker


def state(tracker: FrameTracker) -> object:
    return tracker.at_boundary, tracker.closed, tracker._left, tracker._header


@given(st.lists(FRAMES, max_size=5))
@settings(max_examples=50)
def test_whole_frames_end_at_a_boundary(frames: list[bytes]) -> None:
    assert fed(b"".join(frames)).at_boundary
    assert fed(*frames).at_boundary


@given(st.lists(FRAMES, min_size=1, max_size=3), st.data())
@settings(max_examples=100)
def test_within_a_frame_there_is_no_boundary(frames: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(frames[-1]) - 1))
    tracker = fed(b"".join(frames[:-1]) + frames[-1][:cut])
    assert not tracker.at_boundary
    tracker.feed(frames[-1][cut:])
    assert tracker.at_boundary


@given(st.lists(st.builds(frame, st.integers(0, 200), st.integers(0, 15), mask=st.booleans())))
@settings(max_examples=50)
def test_byte_by_byte_is_as_whole(frames: list[bytes]) -> None:
    wire = b"".join(frames)
    tracker = FrameTracker()
    for at in range(len(wire)):
        tracker.feed(wire[at : at + 1])
        assert state(tracker) == state(fed(wire[: at + 1]))


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
@settings(max_examples=200)
def test_any_bytes_in_any_pieces_come_to_the_same(wire: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    pieces = [wire[a:b] for a, b in itertools.pairwise(edges)]
    assert state(fed(*pieces)) == state(fed(wire))


@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
@settings(max_examples=100)
def test_the_rest_of_a_frame_is_taken_and_not_a_byte_more(
    frames: list[bytes], data: st.DataObject
) -> None:
    first = frames[0]
    cut = data.draw(st.integers(0, len(first)))
    tracker = fed(first[:cut])
    pieces = [first[cut:] + b"".join(frames[1:])]
    if data.draw(st.booleans()):
        pieces = [pieces[0][at : at + 1] for at in range(min(40, len(pieces[0])))] + [
            pieces[0][40:]
        ]
    taken = 0
    for piece in pieces:
        step = tracker.feed_to_boundary(piece)
        taken += step
        if step < len(piece):
            assert tracker.at_boundary
            break
    assert taken == (len(first) - cut if cut else 0)


@pytest.mark.parametrize("mask", [False, True])
def test_a_close_frame_is_noticed_wherever_it_is_cut(mask: bool) -> None:
    wire = frame(10) + frame(2, CLOSE, mask=mask)
    for cut in range(len(wire)):
        tracker = fed(wire[:cut])
        assert not (tracker.closed and tracker.at_boundary)
        tracker.feed(wire[cut:])
        assert tracker.closed
        assert tracker.at_boundary


def test_other_frames_close_nothing() -> None:
    for opcode in set(range(16)) - {CLOSE}:
        assert not fed(frame(3, opcode)).closed


def test_lengths_beyond_all_measure_are_only_counted() -> None:
    tracker = fed(b"\x82\xff" + b"\xff" * 8)
    assert not tracker.at_boundary
    tracker.feed(bytes(100_000))
    assert not tracker.at_boundary
    assert tracker.feed_to_boundary(bytes(1000)) == 1000


def test_a_close_frame_says_its_code_masked_or_not() -> None:
    assert close_frame(GOING_AWAY) == b"\x88\x02\x03\xe9"
    masked = close_frame(GOING_AWAY, b"\x01\x02\x03\x04")
    assert masked == b"\x88\x82\x01\x02\x03\x04\x02\xeb"
    assert fed(close_frame(GOING_AWAY)).closed
    assert fed(masked).at_boundary
