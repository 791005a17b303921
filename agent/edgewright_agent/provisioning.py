"""An environment with numpy and runtimes, beside the agent, in place of the Python that lacks them.

ROOT/env/NAME/            one environment, made by venv
ROOT/env/current.json     which one holds; written when it is complete and works

What holds goes on holding until the next one works: an interruption at any moment leaves nothing but a
folder that the next try removes. Making it takes the device's turn, as a job does.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from typing import Any, Callable, Dict, List, Optional, Tuple

from .failure import AgentFailure
from .files import write_json
from .inventory import find_runtime
from .pip import run_pip
from .protocol import RuntimeInfo, WireError, decode, encode
from .protocol_provision import FOLDER, RECORD, EnvRecord, Provision
from .store import Store
from .turn import turn

Emit = Callable[[Dict[str, Any]], None]

#: How long to wait for whoever holds the device: an earlier try whose connection broke, most often.
WAIT_S = 120.0
_LIST_S = 120.0
_PACKAGES = """
import json, sys
from importlib import metadata
found = {d.metadata["Name"]: d.version for d in metadata.distributions()}
sys.stdout.write(json.dumps(found))
"""


def provision(request: Provision, store: Store, emit: Emit) -> Tuple[EnvRecord, Tuple[RuntimeInfo, ...]]:
    """Make the environment, unless the very same request has made the one that holds.

    Returns:
        What holds now, and what its runtimes say of themselves.

    Raises:
        AgentFailure: ``missing-runtime`` when pip refuses or a runtime does not work, ``disk-full`` and
            ``busy`` as it is.
    """
    folder = os.path.join(store.root, FOLDER)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with turn(store.root, f"{request.owner or 'somebody'}: device provision", WAIT_S, emit):
        holds = current(folder)
        _keep_only(folder, holds)
        if holds is not None and holds.request == request.request:
            runtimes = _checked(python_of(folder, holds.name), request.runtimes)
        else:
            holds, runtimes = _made(request, store, folder, emit)
            write_json(os.path.join(folder, RECORD), encode(holds))
            _keep_only(folder, holds)
        for ref in (request.pip, *request.wheels):
            if os.path.isfile(store.path(ref.sha256)):
                os.unlink(store.path(ref.sha256))
    return holds, runtimes


def current(folder: str) -> Optional[EnvRecord]:
    """The environment that holds; None where there is none, or another version of the agent recorded it."""
    try:
        with open(os.path.join(folder, RECORD), encoding="utf-8") as stream:
            return decode(EnvRecord, json.load(stream))
    except FileNotFoundError:
        return None
    except (ValueError, WireError):
        return None  # it is made again then


def python_of(folder: str, name: str) -> str:
    """The interpreter of an environment."""
    return os.path.join(folder, name, "bin", "python")


def _made(
    request: Provision, store: Store, folder: str, emit: Emit
) -> Tuple[EnvRecord, Tuple[RuntimeInfo, ...]]:
    name = os.urandom(4).hex()
    place = os.path.join(folder, name)
    try:
        emit({"event": "phase", "name": "environment"})
        _make_venv(place, request.uses_system)
        python = python_of(folder, name)
        emit({"event": "phase", "name": "install"})
        _install(request, store, place, python, emit)
        emit({"event": "phase", "name": "verify"})
        runtimes = _checked(python, request.runtimes)
        version = ".".join(map(str, sys.version_info[:3]))
        record = EnvRecord(
            name, request.made_for, version, request.runtimes, _packages(python), request.request
        )
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return record, runtimes


def _make_venv(place: str, uses_system: bool) -> None:
    """Without pip, since Debian parts ``ensurepip`` from Python."""
    try:
        venv.EnvBuilder(system_site_packages=uses_system, symlinks=True, with_pip=False).create(place)
    except subprocess.CalledProcessError as error:
        raise AgentFailure("missing-runtime", f"venv cannot make an environment: {error}") from None


def _install(request: Provision, store: Store, place: str, python: str, emit: Emit) -> None:
    """pip first, out of its own wheel, then the rest by that pip."""
    wheels = os.path.join(place, "wheels")
    os.mkdir(wheels)

    def on_step(step: str, seconds: float) -> None:
        emit({"event": "progress", "done": round(seconds, 1), "of": 0, "unit": "s", "what": step})

    pip = store.place(request.pip, wheels)
    offline = ["--isolated", "install", "--no-index", "--no-deps"]
    always = ["--no-compile", "--no-cache-dir", "--no-warn-script-location", "--progress-bar", "off"]
    run_pip([python, "-I", os.path.join(pip, "pip"), *offline, *always, pip], on_step)
    with_pip = [python, "-I", "-m", "pip"]
    if request.wheels:
        paths = [store.place(ref, wheels) for ref in request.wheels]
        run_pip([*with_pip, *offline, *always, *paths], on_step)
    else:
        asked = ["install", "--only-binary=:all:", *always, "--", *request.requirements]
        run_pip([*with_pip, *asked], on_step)
    shutil.rmtree(wheels)


def _checked(python: str, names: Tuple[str, ...]) -> Tuple[RuntimeInfo, ...]:
    """What the runtimes say of themselves when they are imported.

    Raises:
        AgentFailure: ``missing-runtime`` for the first that cannot be.
    """
    found = tuple(find_runtime(name, python) for name in names)
    for runtime in found:
        if runtime.reason:
            raise AgentFailure(
                "missing-runtime", f"{runtime.name} was installed and does not work: {runtime.reason}"
            )
    return found


def _packages(python: str) -> Dict[str, str]:
    words = [python, "-I", "-c", _PACKAGES]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=_LIST_S, check=True
    )
    found: Dict[str, str] = json.loads(done.stdout.decode("utf-8"))
    return found


def _keep_only(folder: str, record: Optional[EnvRecord]) -> None:
    """Remove what earlier tries left, and what holds no more."""
    names: List[str] = os.listdir(folder)
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isdir(path) and (record is None or name != record.name):
            shutil.rmtree(path)
