"""What the supervisor has to tell: which config is in force, and how the last reload ended.

The text of a reload's result takes many words, so it stands behind a sequence that is odd while it
is written (a seqlock): a reader tries again, a bounded number of times, and never waits for a
supervisor that was killed in the middle.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from gwd.segment import layout
from gwd.segment.memory import Segment

NONE, RUNNING, OK, REFUSED = 0, 1, 2, 3

_SEQUENCE, _PID, _STARTED, _GENERATION, _LOADED, _RELOADS, _STATE = range(7)
_DIGEST = 8
_DIGEST_WORDS = 4
_TEXT = 16
_TRIES = 100


@dataclass(frozen=True, slots=True)
class BoardView:
    """`started_ns` is monotonic, `loaded_at` Unix seconds; `sequence` counts reloads begun,
    `state` and `message` tell of the latest."""

    supervisor_pid: int
    started_ns: int
    generation: int
    loaded_at: int
    digest: str
    sequence: int
    state: int
    message: str


class Board:
    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._words = segment.words
        self._start = segment.layout.board.start

    # the supervisor's side

    def loaded(self, generation: int, digest: str) -> None:
        """A config has come into force."""
        self._write(None, generation, digest)

    def reload_begun(self) -> None:
        self._words[self._start + _STATE] = RUNNING
        self._words[self._start + _RELOADS] += 1

    def reload_done(self, ok: bool, message: str, generation: int, digest: str) -> None:
        """The reload has ended; `generation` and `digest` are those in force now."""
        self._write(message, generation, digest)
        self._words[self._start + _STATE] = OK if ok else REFUSED

    def _write(self, message: str | None, generation: int, digest: str) -> None:
        words, start = self._words, self._start
        words[start + _SEQUENCE] += 1
        if words[start + _GENERATION] != generation:
            words[start + _GENERATION] = generation
            words[start + _LOADED] = int(time.time())
        self._segment.put_text(start + _DIGEST, _DIGEST_WORDS, digest.encode())
        if message is not None:
            self._segment.put_text(start + _TEXT, layout.TEXT_WORDS, message.encode())
        words[start + _SEQUENCE] += 1

    # everybody's side

    def read(self) -> BoardView:
        words, start = self._words, self._start
        for _ in range(_TRIES):
            before = words[start + _SEQUENCE]
            view = BoardView(
                supervisor_pid=words[start + _PID],
                started_ns=words[start + _STARTED],
                generation=words[start + _GENERATION],
                loaded_at=words[start + _LOADED],
                digest=self._segment.text(start + _DIGEST, _DIGEST_WORDS).decode(
                    "utf-8", "replace"
                ),
                sequence=words[start + _RELOADS],
                state=words[start + _STATE],
                message=self._segment.text(start + _TEXT, layout.TEXT_WORDS).decode(
                    "utf-8", "replace"
                ),
            )
            if before % 2 == 0 and words[start + _SEQUENCE] == before:
                break
            time.sleep(0.001)
        return view
