"""Training the networks beside this file once; what comes of it is kept under ``build/benchmarks``.

The weights are named by the code that they were made by, all modules of this folder that are loaded, so that
an edit trains anew, and a benchmark that was ended goes on.
"""

import hashlib
import sys
from pathlib import Path

from edgewright.build.session import import_torch

import_torch()

import torch  # noqa: E402
from torch import nn  # noqa: E402

from edgewright.compress import ModelJob  # noqa: E402
from edgewright.compress.tuning import Tuning, tune  # noqa: E402
from edgewright.files import replacing  # noqa: E402
from edgewright.workload import Training, Workload  # noqa: E402

BUILD = Path(__file__).resolve().parents[2] / "build" / "benchmarks"
SEED = 0


def fitted(
    model: nn.Module, example: tuple[torch.Tensor, ...], training: Training, tuning: Tuning, *, code: str
) -> nn.Module:
    """``model`` trained, or with the weights it had when it was trained before.

    Args:
        code: the file in which the model is defined.
    """
    hashed = hashlib.sha256(f"{torch.__version__} {tuning} {training.batch_size}".encode())
    loaded = {str(getattr(module, "__file__", "")) for module in list(sys.modules.values())}
    for file in sorted(loaded):
        if Path(file).parent == Path(__file__).parent:
            hashed.update(Path(file).read_bytes())
    shapes = [(name, tuple(value.shape)) for name, value in model.state_dict().items()]
    hashed.update(repr(shapes).encode())
    path = BUILD / "weights" / f"{Path(code).stem}-{hashed.hexdigest()[:24]}.pt"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        name = Path(code).stem
        job = ModelJob(
            model,
            Workload(name, model, example, training=training),
            lambda words: print(f"\r{name}: {words:70}", end="", flush=True),
        )
        tune(job, model, tuning, name="training")
        print()
        with replacing(path) as temporary:
            torch.save(model.state_dict(), temporary)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def cross_entropy(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """With labels that are a little unsure, so that small sets are not learnt by heart."""
    return nn.functional.cross_entropy(scores, labels, label_smoothing=0.05)
