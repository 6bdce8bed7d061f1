"""The memfd: who may attach, what is refused, and that no reader sees half a word."""

from __future__ import annotations

import fcntl
import mmap
import os
import signal

import pytest

from gwd.segment import layout
from gwd.segment.memory import NotASegment, Segment
from gwd.segment.rows import READ


def reopened(segment: Segment, flags: int) -> int:
    return os.open(f"/proc/self/fd/{segment.fd}", flags | os.O_CLOEXEC)


def test_who_attaches_sees_the_same_words_and_cannot_write(make):
    segment = make()
    other = Segment.attach(reopened(segment, os.O_RDONLY))
    segment.words[segment.layout.processes.start] = 12345
    assert other.words[other.layout.processes.start] == 12345
    assert other.sizes == segment.sizes
    assert other.secret == segment.secret
    with pytest.raises(TypeError):
        other.words[0] = 1
    other.close()


def test_a_successor_attaches_to_write(make):
    segment = make()
    other = Segment.attach(reopened(segment, os.O_RDWR), writable=True)
    other.words[segment.layout.processes.start] = 7
    assert segment.words[segment.layout.processes.start] == 7
    other.close()


def test_it_can_neither_shrink_nor_grow(make):
    segment = make()
    size = os.fstat(segment.fd).st_size
    for other in (0, size - 8, size + 8):
        with pytest.raises(PermissionError):
            os.ftruncate(segment.fd, other)


def _magic(words: memoryview) -> None:
    words[layout.HEAD_MAGIC] ^= 1


def _version(words: memoryview) -> None:
    words[layout.HEAD_VERSION] += 1


def _sizes(words: memoryview) -> None:
    words[layout.HEAD_IPS] += 1000


@pytest.mark.parametrize("spoil", [_magic, _version, _sizes])
def test_a_segment_of_another_make_is_refused(make, spoil):
    segment = make()
    spoil(segment.words)
    fd = reopened(segment, os.O_RDONLY)
    with pytest.raises(NotASegment):
        Segment.attach(fd)
    os.close(fd)


def test_what_is_no_memfd_or_not_sealed_is_refused(make):
    whole = make().words.tobytes()
    for content in (b"", bytes(4096), whole[:-8], whole):
        fd = os.memfd_create("no-segment", os.MFD_ALLOW_SEALING)
        os.write(fd, content)
        with pytest.raises(NotASegment):
            Segment.attach(fd)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        with pytest.raises(NotASegment):
            Segment.attach(fd)
        os.close(fd)


def test_a_plain_file_is_refused(make, tmp_path):
    path = os.path.join(tmp_path, "copy")
    with open(path, "wb") as file:
        file.write(make().words.tobytes())
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(NotASegment):
        Segment.attach(fd)
    os.close(fd)


def test_every_boot_has_a_secret_of_its_own(make):
    assert len({make().secret for _ in range(3)}) == 3


@pytest.mark.parametrize("text", [b"", b"a", b"eight by", b"\0\xff" * 30])
def test_a_text_is_read_as_it_was_written_or_cut(make, text: bytes):
    segment = make()
    start = segment.layout.board.start + layout.BOARD_DIGEST
    segment.put_text(start, layout.DIGEST_WORDS, b"what was there before")
    segment.put_text(start, layout.DIGEST_WORDS, text)
    assert segment.text(start, layout.DIGEST_WORDS) == text[:24]


def test_a_word_is_never_seen_half_written(make, fork):
    segment = make(columns=1)
    first = segment.layout.address_cells.start
    patterns = {0, (1 << 64) - 1, 0x5555555555555555}

    def write() -> None:
        words = segment.words
        while True:
            for pattern in patterns:
                for word in range(first, first + 8):
                    words[word] = pattern

    child = fork(write)
    seen: set[int] = set()
    for _ in range(30_000):
        seen.update(READ[8](segment.words, first * 8))
        seen.add(segment.words[first])
        seen.update(segment.words[first : first + 8].tolist())
    child.kill()
    assert seen <= patterns
    assert len(seen) > 1, "the writer never ran"


def test_words_begin_on_pages(make):
    segment = make()
    assert segment.words.itemsize == 8
    assert segment.words.nbytes == segment.layout.words * 8
    assert mmap.PAGESIZE % (layout.LINE * layout.WORD) == 0


def test_a_child_that_ends_leaves_the_memory_to_the_others(make, fork):
    segment = make()
    word = segment.layout.processes.start

    def write() -> None:
        segment.words[word] = 99
        os.kill(os.getpid(), signal.SIGKILL)

    assert fork(write).wait() == -signal.SIGKILL
    assert segment.words[word] == 99
