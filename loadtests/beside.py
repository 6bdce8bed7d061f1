"""What goes on beside the users of a run: killing, reloading, watching.

    @beside_the_load
    def job(running: Running) -> None:
        while running(): …

runs in a greenlet of its own from the moment the first users are there, and ends when the run does.
If it raises, the run has failed: a load whose disturbance broke down has shown nothing.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import gevent  # type: ignore[import-untyped]
from locust import events
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING

from loadtests.criteria import must
from loadtests.hooks import listen

Running = Callable[[], bool]
Job = Callable[[Running], None]


def beside_the_load(job: Job) -> Job:
    wrong: list[str] = []

    def running(environment: Environment) -> bool:
        runner = environment.runner
        return runner is not None and runner.state in (STATE_SPAWNING, STATE_RUNNING)

    def run(environment: Environment) -> None:
        try:
            while not running(environment):
                gevent.sleep(0.05)
            job(lambda: running(environment))
        except Exception:
            wrong.append(f"{job.__name__} broke down: {traceback.format_exc()}")

    @listen(events.test_start)
    def start(environment: Environment, **_: Any) -> None:
        gevent.spawn(run, environment)

    must(lambda: "; ".join(wrong))
    return job
