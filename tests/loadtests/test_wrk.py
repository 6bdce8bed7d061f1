"""What is read of wrk's output: figures, units, and above all what makes a round fail."""

from __future__ import annotations

import pytest

from loadtests.compare.wrk import parse

GOOD = """\
Running 3s test @ http://127.0.0.1:40001/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.82ms  637.71us  14.60ms   93.11%
    Req/Sec    22.90k     1.57k   24.61k    86.67%
  Latency Distribution
     50%  812.00us
     75%    2.90ms
     90%    3.20ms
     99%    1.50s
  68340 requests in 3.00s, 14.99MB read
Requests/sec:  22780.11
Transfer/sec:      5.00MB
"""


def test_figures_and_units() -> None:
    load = parse(GOOD)
    assert (load.requests, load.rate, load.errors) == (68340, 22780.11, "")
    assert load.p50_ms == pytest.approx(0.812)
    assert load.p99_ms == 1500.0


@pytest.mark.parametrize("line", ["", "     50%    0.00us\n", "     50%    soon\n"])
def test_a_percentile_that_wrk_does_not_tell_is_unknown(line: str) -> None:
    load = parse(GOOD.replace("     50%  812.00us\n", line))
    assert (load.p50_ms, load.p99_ms) == (None, 1500.0)
    assert (load.requests, load.errors) == (68340, "")


@pytest.mark.parametrize(
    "line",
    [
        "  Socket errors: connect 0, read 3, write 0, timeout 72",
        "  Non-2xx or 3xx responses: 12",
    ],
)
def test_a_round_with_errors_says_so(line: str) -> None:
    assert parse(GOOD + line + "\n").errors == line.strip()


def test_what_wrk_complains_about_is_an_error() -> None:
    assert parse(GOOD, "script.lua: attempt to index nil\n").errors


@pytest.mark.parametrize("text", ["", "unable to connect to 127.0.0.1:1 Connection refused"])
def test_no_result_is_an_error(text: str) -> None:
    load = parse(text)
    assert load.requests == 0
    assert load.errors == "no result"
    assert load.p50_ms is None


def test_no_request_is_no_result() -> None:
    assert parse(GOOD.replace("68340 requests", "0 requests")).errors == "no result"


NON_2XX = "  Non-2xx or 3xx responses: 68340\n"


def test_refusals_are_good_where_they_are_expected() -> None:
    assert parse(GOOD + NON_2XX + "Status 429: 68340\n", good=429).errors == ""


def test_a_few_may_be_spared() -> None:
    text = GOOD + "Status 200: 2\nStatus 429: 68338\n"
    assert parse(text, good=429, spared=2).errors == ""
    assert parse(text, good=429, spared=1).errors == "2 x 200"


def test_other_statuses_are_errors_where_refusals_are_expected() -> None:
    text = GOOD + NON_2XX + "Status 429: 68000\nStatus 502: 330\nStatus 503: 10\n"
    assert parse(text, good=429, spared=2).errors == "330 x 502 10 x 503"


def test_nobody_refused_is_an_error_where_refusals_are_expected() -> None:
    assert parse(GOOD + "Status 200: 68340\n", good=429, spared=2).errors == "no 429"


def test_a_broken_connection_is_an_error_among_refusals_too() -> None:
    text = GOOD + "  Socket errors: connect 0, read 1, write 0, timeout 0\nStatus 429: 68339\n"
    assert parse(text, good=429).errors.startswith("Socket errors")
