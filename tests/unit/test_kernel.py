"""The reference kernel tells a slow device from a busy one, and the verdict says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.fakes import latencies, launch, measured, row, stored

from edgewright.report.assemble import report_document
from edgewright.report.kernel import best_ns, waited
from edgewright.report.verdict import Verdict, verdict
from edgewright_agent.protocol import KernelRun, RunResult, Samples
from edgewright_agent.reference_kernel import LONGEST_NS, STEPS, run_kernel


def kernel(ms: float, share: float = 0.0) -> KernelRun:
    """Steps of which the fastest takes ``ms``, waiting for ``share`` of the time of all."""
    cpu = [int(ms * 1e6 * (1 + 0.01 * n)) for n in range(10)]
    lost = int(sum(cpu) * share / (1 - share))
    return KernelRun(Samples([*cpu[:-1], cpu[-1] + lost]), Samples(cpu))


def judge(*kernels: tuple[KernelRun | None, KernelRun | None]) -> Verdict:
    runs: list[RunResult] = [
        replace(
            launch(latencies(4.2, 500, seed=n), duration_ns=4 * 10**9),
            kernel_before=before,
            kernel_after=after,
        )
        for n, (before, after) in enumerate(kernels)
    ]
    found = verdict(row(measured(*runs)))
    assert found
    return found


def test_a_steady_device_is_valid_and_its_kernel_is_told() -> None:
    found = judge(*[(kernel(2.0), kernel(2.05))] * 3)
    assert found.status == "valid"
    assert any("took 2 to 2.05 ms before and after the launches" in sentence for sentence in found.evidence)


@pytest.mark.parametrize("place", ["before launch 2", "after launch 2"])
def test_a_device_that_slows_down_is_noisy(place: str) -> None:
    slow = (kernel(2.6), kernel(2.0)) if place.startswith("before") else (kernel(2.0), kernel(2.6))
    found = judge((kernel(2.0), kernel(2.0)), slow, (kernel(2.0), kernel(2.0)))
    assert found.status == "noisy"
    assert found.evidence[0].startswith(
        f"{place} the reference kernel took 2.6 ms, 30% longer than at best (2 ms)"
    )


def test_other_work_is_noisy() -> None:
    found = judge(*[(kernel(2.0, 0.3), kernel(2.0, 0.3))] * 3)
    assert found.status == "noisy"
    assert found.evidence[0].startswith("the reference kernel waited 30% of its time")
    assert judge(*[(kernel(2.0, 0.05), kernel(2.0, 0.05))] * 3).status == "valid"


def test_an_agent_without_it_and_a_device_without_processor_time_are_no_findings() -> None:
    assert not any("kernel" in sentence for sentence in judge((None, None)).evidence)
    silent = KernelRun(Samples([2_000_000] * 4), Samples([0] * 4))
    assert waited([silent]) is None and waited([]) is None
    assert judge(*[(silent, silent)] * 3).status == "valid"
    assert best_ns(KernelRun(Samples(), Samples())) is None and best_ns(None) is None


def test_the_report_holds_the_best_step_and_the_wait() -> None:
    one = replace(launch(), kernel_before=kernel(2.0, 0.2), kernel_after=kernel(2.1))
    found = report_document(stored(row(measured(one)))).rows[0].launches[0]
    assert (found.kernel_before_ns, found.kernel_after_ns) == (2_000_000, 2_100_000)
    assert found.kernel_waited == pytest.approx(0.11, abs=0.01)


def test_the_kernel_is_bounded_and_counts_every_step() -> None:
    found = run_kernel()
    assert 1 <= len(found.wall_ns) == len(found.cpu_ns) <= STEPS
    assert min(found.wall_ns) > 0
    assert sum(found.wall_ns[:-1]) <= LONGEST_NS
