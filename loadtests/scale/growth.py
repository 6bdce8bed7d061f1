"""An axis measured: gateways of all its sizes are started, then they take turns."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.limits.gateway import Gateway
from loadtests.limits.report import Show
from loadtests.scale.axes import Axis, Subject
from loadtests.scale.tracked import fill
from loadtests.scale.window import Cost, measure


@dataclass(slots=True)
class _Measured:
    subject: Subject
    gateway: Gateway
    costs: list[Cost] = field(default_factory=list)


def show(axis: Axis, workers: int, service: int, seconds: float, rounds: int, room: Path) -> Show:
    table = Show(
        f"{axis.name}, {workers} worker{'s' * (workers > 1)}",
        f"{axis.title}, {workers} worker{'s' * (workers > 1)}",
        axis.about,
        (axis.name, "CPU µs/request", "requests/s", "MiB of the processes"),
    )
    with ExitStack() as stack:
        there: list[_Measured] = []
        for size in axis.sizes:
            subject = axis.subject(size, service)
            running = stack.enter_context(
                Gateway(
                    room / f"{axis.name}-{workers}-{size}",
                    subject.config,
                    workers=workers,
                    server=subject.server,
                    routes=subject.routes,
                )
            )
            if subject.tracked:
                count = fill(running, subject.tracked)
                if count < subject.tracked:
                    table.note(f"Of {subject.tracked:,} addresses {count:,} found a row.")
            there.append(_Measured(subject, running))
        for _ in range(rounds):
            for one in there:
                subject = one.subject
                one.costs.append(
                    measure(
                        one.gateway,
                        subject.script,
                        subject.connections,
                        seconds,
                        room,
                        subject.names,
                    )
                )
        for one in there:
            table.add(f"{one.subject.size:,}", *_cells(one.costs), f"{one.gateway.memory():.0f}")
    return table


def _cells(costs: list[Cost]) -> tuple[str, str]:
    good = [cost for cost in costs if not cost.errors]
    failed = "; ".join(sorted({cost.errors for cost in costs if cost.errors}))
    if not good:
        return f"failed: {failed}", ""
    found = [cost.cpu_us for cost in good]
    text = f"{min(found):.1f}-{max(found):.1f}"
    if failed:
        text += f" ({len(costs) - len(good)} of {len(costs)} rounds failed: {failed})"
    return text, f"{max(cost.rate for cost in good):.0f}"
