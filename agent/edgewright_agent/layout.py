"""The files of one job where its worker reads them, and back where they came from when it has ended."""

import os
import shutil
from contextlib import contextmanager
from typing import Dict, Iterator

from .protocol import Data, Job, Model
from .store import Store

#: In the job's folder, and for each of its companions in ``COMPANIONS/NUMBER``.
FOLDERS = ("model", "data")
COMPANIONS = "companions"


@contextmanager
def laid_out(job: Job, store: Store, folder: str) -> Iterator[None]:
    """Lay the files out under ``folder``.

    External data is taken out of the store for as long as the job runs, since onnxruntime refuses data
    that a link leads to or that has a second name. An interruption so costs no more than another push.

    Raises:
        AgentFailure: ``protocol`` when a file was not pushed or was altered since.
    """
    lent: Dict[str, str] = {}
    try:
        _place(job.model, job.data, store, folder, lent)
        for number, companion in enumerate(job.companions):
            where = os.path.join(folder, COMPANIONS, str(number))
            _place(companion.model, companion.data, store, where, lent)
        yield
    finally:
        for sha256, path in lent.items():
            os.replace(path, store.path(sha256))
        clear(folder)


def clear(folder: str) -> None:
    """Remove what was laid out; also that of a job which could not do so itself."""
    for name in (*FOLDERS, COMPANIONS):
        made = os.path.join(folder, name)
        if os.path.isdir(made):
            shutil.rmtree(made)


def _place(model: Model, data: Data, store: Store, folder: str, lent: Dict[str, str]) -> None:
    """One model's files; ``lent`` tells where each file is that was taken out of the store."""
    models, arrays = (os.path.join(folder, name) for name in FOLDERS)
    for made in (models, arrays):
        os.makedirs(made, mode=0o700)
    if model.coded is None:
        store.place(model.files[0], models)
    else:
        store.decode(model.coded, model.files[0], models)
    for ref in model.files[1:]:
        if ref.sha256 in lent:
            shutil.copyfile(lent[ref.sha256], os.path.join(models, ref.name))
        else:
            lent[ref.sha256] = store.lend(ref, models)
    for found in (data.inputs, data.expected, data.evaluation):
        if found is not None:
            store.place(found, arrays)
