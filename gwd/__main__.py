"""`python -m gwd` is `gwd`."""

from __future__ import annotations

from gwd.cli import main

if __name__ == "__main__":
    main()
