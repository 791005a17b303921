"""Engines that an accelerator's compiler builds on the device: where they are kept, and what building took.

A provider that compiles does so when a model is loaded for the first time, for seconds or minutes. That time
is neither the load of a deployed model nor part of it, so it is spent in a process before the measured one.

ROOT/engines/MODEL-OPTIONS/     one model's engines, found again by later jobs
"""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from typing import Callable, Dict, Optional, Tuple

from .protocol import Execution, Job, Scenario, Timing

#: provider -> the option that names its cache folder, and options that must go with it.
_CACHES: Dict[str, Tuple[str, Dict[str, str]]] = {
    "TensorrtExecutionProvider": (
        "trt_engine_cache_path",
        {"trt_engine_cache_enable": "1", "trt_timing_cache_enable": "1"},
    ),
    "NvTensorRTRTXExecutionProvider": ("nv_runtime_cache_path", {}),
    "OpenVINOExecutionProvider": ("cache_dir", {}),
    "MIGraphXExecutionProvider": ("migraphx_model_cache_dir", {}),
}

#: Stands in a folder whose engines are complete.
_FINISHED = ".finished"
_END_BYTES = 1 << 16

_ONCE = Scenario(
    min_count=1, min_duration_ns=0, max_count=1, warmup_count=0, warmup_duration_ns=0, max_duration_ns=1
)


def with_cache(job: Job, engines: str) -> Job:
    """The job with a cache folder for every provider that compiles and was given none."""
    options = dict(job.execution.provider_options)
    for provider in job.execution.providers:
        if provider in _CACHES:
            key, rest = _CACHES[provider]
            given = options.get(provider, {})
            folder = given.get(key) or _folder(job, provider, engines)
            options[provider] = {**rest, **given, key: folder}
    if options == job.execution.provider_options:
        return job
    return replace(job, execution=replace(job.execution, provider_options=options))


class Engines:
    """The caches of one job, filled before it is measured.

    Args:
        job: with its cache folders, see :func:`with_cache`.
        engines: the folder under which the agent keeps engines.
    """

    def __init__(self, job: Job, engines: str) -> None:
        self._job = job
        self._own = engines + os.sep
        self._folders = cache_folders(job.execution)
        self._before: Dict[str, Tuple[int, bytes]] = {}

    def build(self, run: Callable[[Job], Optional[Timing]]) -> Optional[int]:
        """Fill an empty cache in a process of its own; nanoseconds its load and first inference took.

        None when no provider of the job compiles, when the engines are there already, or when none was
        written.

        Args:
            run: runs a job in a worker and gives its timing.
        """
        for folder in self._folders:
            self._discard_unfinished(folder)
            os.makedirs(folder, mode=0o700, exist_ok=True)
        taken = None
        if self._folders and not _files(self._folders):
            data = replace(self._job.data, evaluation=None, keep_outputs=False)
            timing = run(replace(self._job, data=data, scenario=_ONCE, energy=None, profile_ops=None))
            if timing is not None and _files(self._folders):
                taken = timing.load_ns + timing.first_ns
        for folder in self._folders:
            if folder.startswith(self._own):
                with open(os.path.join(folder, _FINISHED), "w", encoding="ascii"):
                    pass
        self._before = _files(self._folders)
        return taken

    def notes(self, executing: Optional[Tuple[str, ...]] = None) -> Tuple[str, ...]:
        """What is to be said once the job has been measured.

        Args:
            executing: the providers that the session had; those asked for when that is not known.
        """
        providers = self._job.execution.providers if executing is None else executing
        if not any(provider in _CACHES for provider in providers):
            return ()
        if _files(self._folders) != self._before:
            return (
                "engines were built during the measured run, so its load time holds that of building them",
            )
        return (
            ()
            if self._before
            else ("the engine cache stayed empty: if engines were built, it was in the load",)
        )

    def _discard_unfinished(self, folder: str) -> None:
        """Engines of a process that did not live to finish them would be built anew inside the load time."""
        finished = os.path.isfile(os.path.join(folder, _FINISHED))
        if folder.startswith(self._own) and os.path.isdir(folder) and not finished:
            shutil.rmtree(folder)


def cache_folders(execution: Execution) -> Tuple[str, ...]:
    """Where the providers asked for keep their engines."""
    found = []
    for provider in execution.providers:
        folder = execution.provider_options.get(provider, {}).get(_CACHES.get(provider, ("", {}))[0])
        if folder:
            found.append(folder)
    return tuple(found)


def _folder(job: Job, provider: str, engines: str) -> str:
    """A folder for this model, these options and this provider; the providers name files by the hardware."""
    asked = [provider, job.execution.provider_options.get(provider, {}), sorted(job.data.shapes.items())]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode("utf-8")).hexdigest()
    return os.path.join(engines, f"{job.model.files[0].sha256[:32]}-{digest[:16]}")


def _files(folders: Tuple[str, ...]) -> Dict[str, Tuple[int, bytes]]:
    """Size of every file the providers keep there, and its ends: some providers touch what they only read."""
    found = {}
    for folder in folders:
        for where, _, names in os.walk(folder):
            for name in names:
                if name != _FINISHED:
                    found[os.path.join(where, name)] = _ends(os.path.join(where, name))
    return found


def _ends(path: str) -> Tuple[int, bytes]:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        digest.update(stream.read(_END_BYTES))
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _END_BYTES))
        digest.update(stream.read(_END_BYTES))
    return size, digest.digest()
