"""A loaded workload, shared by the builds that follow each other."""

from __future__ import annotations

import copy
import functools
import importlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewright.compress import Changed
from edgewright.workload import Array, Workload
from edgewright.workload_check import torch_outputs
from edgewright.workloads import LoadedWorkload, WorkloadSource, load_workload

if TYPE_CHECKING:
    import torch

_MAX_SESSIONS = 2
#: Modules that steps have made and that are kept for the next format; by the cache, and what was asked.
_MAX_EDITED = 4
StepKey = tuple[Path, str]
_WAIT_POLICY = "OMP_WAIT_POLICY"


class Session:
    """A loaded workload and what is worked out from it once: calibration arrays, torch's own score."""

    def __init__(self, source: WorkloadSource) -> None:
        self.loaded: LoadedWorkload = load_workload(source)
        self.workload: Workload = self.loaded.workload
        self.edited: dict[StepKey, Changed] = {}

    def remember(self, step_key: StepKey, changed: Changed) -> None:
        """Keep what a step made of the module, so that other formats need not train it again."""
        self.edited[step_key] = replace(changed, module=copy.deepcopy(changed.module))
        while len(self.edited) > _MAX_EDITED:
            del self.edited[next(iter(self.edited))]

    def holds(self) -> bool:
        """Whether nothing that the workload read has changed since."""
        return all(dependency.unchanged() for dependency in self.loaded.dependencies())

    def of_batch(self, size: int) -> Session:
        """The same with every sample ``size`` times at once, and no score: a batch is not judged."""

        def repeated(tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            return tuple(tensor[:1].repeat_interleave(size, dim=0) for tensor in tensors)

        made = copy.copy(self)
        made.workload = replace(
            self.workload,
            example_inputs=repeated(self.workload.example_inputs),
            calibration=tuple(map(repeated, self.workload.calibration)),
            evaluate=None,
        )
        made.__dict__.pop("baseline", None)
        return made

    @functools.cached_property
    def baseline(self) -> float | None:
        """The torch model's own score, one sample at a time as on a device."""
        import torch

        evaluation = self.workload.evaluate
        if evaluation is None:
            return None
        module = copy.deepcopy(self.workload.model).eval()
        collected: list[list[Array]] = []
        for sample in zip(*evaluation.inputs, strict=True):
            tensors = tuple(torch.from_numpy(np.ascontiguousarray(value)[None]) for value in sample)
            outputs = torch_outputs(module, tensors, str(self.loaded.source), own=True)
            collected.append(list(outputs.values()))
        return evaluation.score(tuple(np.concatenate(column) for column in zip(*collected, strict=True)))


#: The workloads used last, so that the recipes of a plan share one load; torch modules are large, so few.
_SESSIONS: dict[WorkloadSource, Session] = {}


def import_torch() -> None:
    """Import torch so that its threads sleep, and do not spin, while they wait for each other.

    GNU OpenMP reads its policy once, as it is loaded. Spinning threads on cores that something else uses too
    made training a small network ten times slower (on two busy cores); sleeping ones did not.
    """
    before = os.environ.get(_WAIT_POLICY)
    os.environ.setdefault(_WAIT_POLICY, "PASSIVE")
    importlib.import_module("torch")
    if before is None:
        del os.environ[_WAIT_POLICY]


def session_of(source: WorkloadSource) -> Session:
    """The session of a workload, loaded anew when anything that it read has changed.

    Raises:
        ConfigError: the workload is not what it should be.
    """
    session = _SESSIONS.pop(source, None)
    if session is None or not session.holds():
        import_torch()
        session = Session(source)
    _SESSIONS[source] = session
    while len(_SESSIONS) > _MAX_SESSIONS:
        del _SESSIONS[next(iter(_SESSIONS))]
    return session
