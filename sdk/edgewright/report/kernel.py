"""What the reference kernel says of the device: whether it got slower, and whether others used it.

The kernel's best step is the same work at the device's speed of that moment; a slow one tells of a lowered
clock even on a board that tells none. The time it waited for a processor tells of other work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgewright_agent.protocol import KernelRun, RunResult

from .finding import Finding

#: A kernel this much slower than at the row's best moment: the device had slowed down.
SLOWER = 0.10
#: A kernel that waited for so large a share of its time: others used the device.
CONTENDED = 0.10


def best_ns(run: KernelRun | None) -> int | None:
    """The fastest step; None when the kernel did not run."""
    return min(run.wall_ns, default=None) if run else None


def waited(runs: Sequence[KernelRun]) -> float | None:
    """The share of wall time in which the kernel had no processor; None when the device does not tell."""
    wall = sum(sum(run.wall_ns) for run in runs)
    cpu = sum(sum(run.cpu_ns) for run in runs)
    return max(0.0, 1 - cpu / wall) if wall > 0 and cpu > 0 else None


def kernels(launches: Sequence[RunResult]) -> Iterator[Finding]:
    """Findings over a row's launches; none of a row measured by an agent without the kernel."""
    runs = [run for launch in launches for run in (launch.kernel_before, launch.kernel_after) if run]
    steps = [best for run in runs if (best := best_ns(run))]
    if not steps:
        return
    fastest = min(steps)
    slow = 0
    for number, launch in enumerate(launches, start=1):
        for moment, run in (("before", launch.kernel_before), ("after", launch.kernel_after)):
            best = best_ns(run)
            if best and best > (1 + SLOWER) * fastest:
                slow += 1
                yield Finding(
                    "noisy",
                    f"{moment} launch {number} the reference kernel took {best / 1e6:.3g} ms, "
                    f"{best / fastest - 1:.0%} longer than at best ({fastest / 1e6:.3g} ms): "
                    "the device had slowed down, or shared its processor",
                )
    if not slow:
        yield Finding(
            None,
            f"the reference kernel took {fastest / 1e6:.3g} to {max(steps) / 1e6:.3g} ms "
            "before and after the launches: the device kept its speed",
        )
    share = waited(runs)
    if share is not None and share > CONTENDED:
        yield Finding(
            "noisy",
            f"the reference kernel waited {share:.0%} of its time for a processor that others used "
            f"(noisy above {CONTENDED:.0%})",
        )
