"""python -m loadtests.attacks: slow and hostile peers against one worker, and a neighbour.

    python -m loadtests.attacks                      # all of them, about ten minutes
    python -m loadtests.attacks slowloris chunks     # those whose name holds one of the words

All load goes to processes started here, on loopback, and ends by itself.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from loadtests.attacks.attacks import ATTACKS
from loadtests.attacks.measure import measure
from loadtests.attacks.report import add, table
from loadtests.attacks.service import start_service
from loadtests.compare import machine
from loadtests.limits.report import keep


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.attacks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", help="words of the names of attacks")
    parser.add_argument("--seconds", type=float, default=5, help="of each attack, at least")
    parser.add_argument("--report", type=Path, metavar="DIR", help="keep a report there")
    options = parser.parse_args()
    chosen = [a for a in ATTACKS if not options.names or any(n in a.name for n in options.names)]
    if not chosen:
        parser.error("there are: " + "; ".join(attack.name for attack in ATTACKS))
    meta = machine.meta("loadtests.attacks", machine.programs("nginx"))
    print(machine.words(meta), flush=True)
    show = table()
    with tempfile.TemporaryDirectory(prefix="gwd-attacks-") as name:
        room = Path(name)
        room.chmod(0o755)  # nginx's workers are another user's
        service = start_service(room / "service")
        try:
            for number, attack in enumerate(chosen):
                outcome = measure(attack, room / f"attack-{number}", service.port, options.seconds)
                add(show, attack, outcome)
                if options.report:  # what there is so far, should a later one fail
                    keep([show], options.report, meta, "Slow and hostile peers")
        finally:
            service.stop()
    print("\n" + show.markdown())


if __name__ == "__main__":
    main()
