"""The fuzzer as a command: `python tests/end_to_end/fuzz --help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[3])]
sys.path.append(str(Path(__file__).resolve().parents[1]))

from fuzz.campaign import run  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the gateway through real sockets.")
    parser.add_argument("--executions", type=int, default=100_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--only", type=int, metavar="N", help="one execution again")
    parser.add_argument("--cost", type=int, metavar="N", help="CPU of N hostile reads, in process")
    options = parser.parse_args()
    if options.cost is not None:
        from fuzz.cost import measure

        report = measure(options.seed, options.cost)
        print(report.text())
        return 0
    numbers = (
        range(options.executions) if options.only is None else range(options.only, options.only + 1)
    )
    with tempfile.TemporaryDirectory() as directory:
        campaign = run(Path(directory) / "gateway", options.seed, numbers)
    print(campaign.text())
    return 1 if campaign.findings else 0


if __name__ == "__main__":
    sys.exit(main())
