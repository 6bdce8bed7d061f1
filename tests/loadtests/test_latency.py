"""The pure parts of the latency measurement."""

from __future__ import annotations

import pytest

from loadtests.latency import DIRECT, percentile, table, whole


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert percentile(values, 50) == 50.0
    assert percentile(values, 99) == 99.0
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7.0


def test_what_is_added_is_the_difference_to_the_direct_calls() -> None:
    found = {DIRECT: [0.0001] * 3, "gwd": [0.00015] * 3}
    direct, gwd = table(found).splitlines()[2:]
    assert direct == "| direct | 3 | 100 | 100 |  |  |"
    assert gwd == "| gwd | 3 | 150 | 150 | 50 | 50 |"


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", True),
    ],
)
def test_when_an_answer_is_whole(data: bytes, answer: bool) -> None:
    assert whole(data) is answer


def test_an_answer_without_a_length_cannot_be_timed() -> None:
    with pytest.raises(RuntimeError, match="without a length"):
        whole(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
