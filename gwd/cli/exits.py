"""The exit codes of every command (DESIGN §1.1)."""

from __future__ import annotations

GOOD = 0
FAILED = 1
"""A restart cannot help: bad config, reload refused."""
USAGE = 2
NO_DAEMON = 3
"""No daemon could be reached."""
RETRY = 4
"""A restart may help: port busy, workers die at start."""
INTERRUPTED = 130
"""Ended by Ctrl-C, as shells count it: 128 + SIGINT."""
