"""``edgewright tune`` for two devices whose best settings differ, and the price of swapping them.

    python benchmarks/tune_devices.py [--workload FILE.py:FACTORY] [--trials 12] [--brief] [--keep DIR]

Both devices are reached over OpenSSH in network namespaces made for this, which needs root:

    wide     all processors of this machine; its Python has onnxruntime and nothing else
    narrow   one processor and 160 MB of memory; its Python has tflite-runtime and nothing else

and then ``edgewright transfer`` takes the study to a third one:

    other    all processors; its Python has ai-edge-litert and nothing else

Prints what the commands print: for each device the recommendation with its reason, and the regret matrix.
``--keep`` keeps the pages, the data and the store.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.devices.command_line import brief_presets
from tests.devices.limits import ONE_PROCESSOR, limited_memory
from tests.devices.netns import Lab

if TYPE_CHECKING:
    from edgewright.workload import Workload

ROOT = Path(__file__).resolve().parents[1]
SPACE = """
prune = [0.0]
low_rank = [0.0]
quantize = ["none", "fp16", "int8-dynamic", "int8-minmax"]
keep_floats = [0]
distill = ["none"]
"""
NARROW_BYTES = 160 << 20


def workload() -> Workload:
    """Three convolutions of up to 128 channels on handwritten digits, trained in seconds."""
    import torch
    from sklearn.datasets import load_digits
    from torch import nn
    from torch.utils.data import TensorDataset

    from edgewright.workload import Evaluation, Workload

    torch.manual_seed(0)
    digits = load_digits()
    images = torch.from_numpy((digits.images[:, None] / 16).astype("float32"))
    labels = torch.from_numpy(digits.target)
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 64), (64, 128), (128, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    fitted = TensorDataset(images[:1400], labels[:1400])
    for _ in range(4):
        for batch, wanted in torch.utils.data.DataLoader(fitted, 64, shuffle=True):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(batch), wanted))
            optimizer.step()
    judged = labels[1400:].numpy()
    return Workload(
        "digits-128",
        model.eval(),
        (images[:1],),
        calibration=[(image[None],) for image in images[:100]],
        evaluate=Evaluation(
            "accuracy", (images[1400:].numpy(),), lambda o: float((o[0].argmax(1) == judged).mean())
        ),
    )


def python(runtime: str) -> str:
    """The interpreter that has a runtime and nothing else that runs models."""
    return str(ROOT / "build/envs" / runtime / "bin/python")


def profile() -> str:
    """The one of this machine's processor."""
    has_vnni = "vnni" in Path("/proc/cpuinfo").read_text()
    return "x86-64-vnni-linux" if has_vnni else "x86-64-linux"


@contextlib.contextmanager
def devices(folder: Path) -> Iterator[Lab]:
    """The three devices, and a farm file in ``folder``."""
    with Lab(folder / "lab") as lab:
        wide = lab.add(disk="256m")
        narrow = lab.add(disk="256m", inside=ONE_PROCESSOR)
        other = lab.add(disk="256m")
        farm = [
            wide.sshd.farm_toml("wide", python=python("onnxruntime"), profile=profile()),
            narrow.sshd.farm_toml("narrow", python=python("tflite-runtime")),
            other.sshd.farm_toml("other", python=python("ai-edge-litert")),
        ]
        (folder / "farm.toml").write_text("\n".join(farm))
        with limited_memory(narrow, NARROW_BYTES):
            yield lab


def run(lab: Lab, folder: Path, *words: str, presets: str = "") -> int:
    """A command of Edgewright on a host of the devices' network."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("EDGEWRIGHT_", "SSH_"))},
        "HOME": str(folder / "home"),
        "EDGEWRIGHT_STORE": str(folder / "store.sqlite"),
        "EDGEWRIGHT_CACHE": str(ROOT / "build/benchmarks/cache"),
    }
    print(f"$ edgewright {' '.join(words)}", flush=True)
    program = f"{presets}\nfrom edgewright.cli.main import main; main()"
    command = lab.command(sys.executable, "-c", program, *words, "--farm", "farm.toml")
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


def main() -> int:
    """Both commands; the exit code is that of the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    own = f"{Path(__file__).resolve()}:workload"
    parser.add_argument("--workload", default=own, help="FILE.py:FACTORY")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--final-preset", default="quick")
    parser.add_argument("--space", type=Path, help="what to search in place of the built-in space")
    parser.add_argument(
        "--brief", action="store_true", help="measure too briefly for figures, to see it work"
    )
    parser.add_argument("--keep", type=Path, help="keep pages, data and store in this folder")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the devices go with whatever ends this
    presets = brief_presets(0.4, count=64, launches=2) if asked.brief else ""
    with tempfile.TemporaryDirectory(prefix="tune-devices-") as name:
        folder = Path(name)
        (folder / "home").mkdir()
        (folder / "space.toml").write_text(asked.space.read_text() if asked.space else SPACE)
        with devices(folder) as lab:
            words = ["tune", asked.workload, "--device", "wide", "--device", "narrow"]
            words += ["--space", "space.toml", "-o", "tune"]
            words += ["--trials", str(asked.trials), "--final-preset", asked.final_preset]
            code = run(lab, folder, *words, presets=presets)
            if code == 0:
                study = str(json.loads((folder / "tune/study.json").read_text())["study"]["id"])
                words = ["transfer", study, "--device", "other", "-o", "transfer"]
                code = run(lab, folder, *words, presets=presets)
        if asked.keep:
            asked.keep.mkdir(parents=True, exist_ok=True)
            for kept in ("tune", "transfer", "store.sqlite"):
                if (folder / kept).is_dir():
                    shutil.copytree(folder / kept, asked.keep / kept, dirs_exist_ok=True)
                elif (folder / kept).exists():
                    shutil.copy2(folder / kept, asked.keep / kept)
    return code


if __name__ == "__main__":
    sys.exit(main())
