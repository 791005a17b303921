"""What a training needs to go on after a kill as if nothing had happened.

It is in a file that is read without running anything in it.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edgewright.boundary import foreign
from edgewright.dependencies import Dependency
from edgewright.errors import CompressionError
from edgewright.files import replacing

from . import ModelJob

if TYPE_CHECKING:
    from pathlib import Path

    import torch

#: An epoch is kept when this much time has passed since the last one was.
KEEP_EVERY_S = 20.0


class Stateful(Protocol):
    """A module, an optimizer, or whatever else a training moves."""

    def state_dict(self) -> Any:
        """What :meth:`load_state_dict` takes: tensors, numbers and words in lists and dicts."""

    def load_state_dict(self, state: Any) -> object:
        """Be as it was."""


class Checkpoint:
    """The state after an epoch of one training.

    It serves the training it came of and no other: with the same weights to begin with and the same settings,
    by its name, and while every file that the workload had read by then is as it was, by what is in it.
    States of the random generators go along, so that the rest is drawn as it would have been.
    """

    def __init__(
        self, job: ModelJob, name: str, module: torch.nn.Module, asked: Sequence[object], **parts: Stateful
    ) -> None:
        """``parts`` are kept along with ``module``; ``asked`` is all that the training depends on."""
        import torch

        hashed = hashlib.sha256(json.dumps([name, asked], sort_keys=True).encode())
        for key, value in module.state_dict().items():
            hashed.update(f"{key} {value.dtype} {list(value.shape)}".encode())
            hashed.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        self._path = job.checkpoints / f"{hashed.hexdigest()[:32]}.pt" if job.checkpoints else None
        self._job, self._name = job, name
        self._parts: dict[str, Stateful] = {"module": module, **parts}
        self._last = time.monotonic()

    def load(self) -> int:
        """Go back to what was kept; how many epochs are done. What is damaged counts as none."""
        if self._path is None or not self._path.is_file():
            return 0
        state = self._read(self._path)
        if state is None:
            self._job.tell(f"{self._name}: from the beginning, the checkpoint {self._path} is damaged")
            return 0
        made_of = [Dependency(*fields) for fields in state["made_of"]]
        changed = [dependency.path for dependency in made_of if not dependency.unchanged()]
        if changed:
            self._job.tell(f"{self._name}: from the beginning, {changed[0]} has changed")
            return 0
        self._job.has_read(made_of)
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        _restore(state["drawn"])
        return int(state["epochs"])

    def _read(self, path: Path) -> dict[str, Any] | None:
        import torch

        try:
            with foreign(CompressionError, "the checkpoint"):
                state: dict[str, Any] = torch.load(path, weights_only=True)
        except CompressionError:
            return None
        return state if {*self._parts, "made_of", "drawn", "epochs"} <= state.keys() else None

    def keep(self, epochs: int, *, at_once: bool = False) -> None:
        """Keep the state, unless that was done a moment ago.

        Raises:
            CompressionError: there is no room for it.
        """
        import torch

        if self._path is None or (time.monotonic() - self._last < KEEP_EVERY_S and not at_once):
            return
        state = {name: part.state_dict() for name, part in self._parts.items()}
        state |= {"epochs": epochs, "drawn": _drawn(), "made_of": [astuple(d) for d in self._job.made_of()]}
        with replacing(self._path) as temporary:
            try:
                torch.save(state, temporary)
            except RuntimeError as error:  # torch's writer has no errno
                free = shutil.disk_usage(temporary.parent).free
                raise CompressionError(
                    f"{self._path}: the checkpoint cannot be written, {free / 1e6:.1f} MB are free there",
                    mend="make room, or put --cache elsewhere",
                ) from error
        self._last = time.monotonic()


def _drawn() -> dict[str, Any]:
    """How far torch's, numpy's and Python's own random generators are."""
    import torch

    _, words, following = random.getstate()
    numpys: dict[str, Any] = np.random.get_state(legacy=False)
    numpys["state"] |= {"key": torch.from_numpy(numpys["state"]["key"].astype(np.int64))}
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    python = (torch.tensor(words), following)
    return {"torch": torch.get_rng_state(), "cuda": on_gpus, "numpy": numpys, "python": python}


def _restore(drawn: Mapping[str, Any]) -> None:
    import torch

    torch.set_rng_state(drawn["torch"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(drawn["cuda"])
    numpys = drawn["numpy"]
    key = numpys["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**numpys, "state": {**numpys["state"], "key": key}})
    words, following = drawn["python"]
    random.setstate((3, tuple(words.tolist()), following))
