"""What the supervisor has to tell: which config is in force, and how the last reload ended.

The text of a reload's result takes many words, so everything stands behind a sequence that is odd
while it is written (a seqlock): a reader tries again, a bounded number of times, and never waits
for a supervisor that was killed in the middle. Its successor makes the sequence even again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gwd.segment import layout
from gwd.segment.memory import Segment

NONE, RUNNING, OK, REFUSED = 0, 1, 2, 3

_TRIES = 100
_PAUSE = 0.001


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
        with self._writing():
            self._put_config(generation, digest)

    def reload_begun(self) -> None:
        with self._writing():
            self._words[self._start + layout.BOARD_STATE] = RUNNING
            self._words[self._start + layout.BOARD_RELOADS] += 1

    def reload_done(self, ok: bool, message: str, generation: int, digest: str) -> None:
        """The reload has ended; `generation` and `digest` are those in force now.

        What of `message` is past 4 KiB is cut off.
        """
        with self._writing():
            self._put_config(generation, digest)
            self._segment.put_text(
                self._start + layout.BOARD_TEXT, layout.TEXT_WORDS, message.encode()
            )
            self._words[self._start + layout.BOARD_STATE] = OK if ok else REFUSED

    @contextmanager
    def _writing(self) -> Iterator[None]:
        word = self._start + layout.BOARD_SEQUENCE
        odd = self._words[word] | 1  # it is odd already if a writer was killed
        self._words[word] = odd
        yield
        self._words[word] = odd + 1

    def _put_config(self, generation: int, digest: str) -> None:
        words, start = self._words, self._start
        if words[start + layout.BOARD_GENERATION] != generation:
            words[start + layout.BOARD_GENERATION] = generation
            words[start + layout.BOARD_LOADED] = int(time.time())
        self._segment.put_text(start + layout.BOARD_DIGEST, layout.DIGEST_WORDS, digest.encode())

    # everybody's side

    def read(self) -> BoardView:
        """All of it, of one moment; of several if the supervisor died while it wrote."""
        for _ in range(_TRIES):
            before = self._words[self._start + layout.BOARD_SEQUENCE]
            view = self._view()
            if before % 2 == 0 and self._words[self._start + layout.BOARD_SEQUENCE] == before:
                break
            time.sleep(_PAUSE)
        return view

    def _view(self) -> BoardView:
        words, start, text = self._words, self._start, self._segment.text
        digest = text(start + layout.BOARD_DIGEST, layout.DIGEST_WORDS)
        message = text(start + layout.BOARD_TEXT, layout.TEXT_WORDS)
        return BoardView(
            supervisor_pid=words[start + layout.BOARD_PID],
            started_ns=words[start + layout.BOARD_STARTED],
            generation=words[start + layout.BOARD_GENERATION],
            loaded_at=words[start + layout.BOARD_LOADED],
            digest=digest.decode("utf-8", "replace"),
            sequence=words[start + layout.BOARD_RELOADS],
            state=words[start + layout.BOARD_STATE],
            message=message.decode("utf-8", "replace"),
        )
