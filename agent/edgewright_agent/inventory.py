"""Which inference runtimes this Python can really import.

Each is imported in a process of its own: a wheel built for a newer processor ends with a signal, which
must become a reason and not the end of the probe.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from typing import Any, Dict, Tuple

from .protocol import RUNTIMES, RuntimeInfo

OLDEST_PYTHON = (3, 8)
TIMEOUT_S = 120.0

_MODULES: Dict[str, str] = {
    "onnxruntime": "onnxruntime",
    "ai-edge-litert": "ai_edge_litert",
    "tflite-runtime": "tflite_runtime",
}
_MARK = "edgewright-runtime:"
_CHILD = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from edgewright_agent.inventory import report; report(sys.argv[2])"
)


def find_runtimes() -> Tuple[RuntimeInfo, ...]:
    """Every runtime the agent knows, with its version and providers, or why it cannot be used."""
    reason = python_reason(sys.version_info[:2]) or _numpy_reason()
    return tuple(RuntimeInfo(name, "", reason=reason) if reason else find_runtime(name) for name in RUNTIMES)


def python_reason(version: Tuple[int, int]) -> str:
    """Why this Python cannot run the agent; empty when it can."""
    if version >= OLDEST_PYTHON:
        return ""
    return "Python {}.{} is too old: {}.{} or newer is needed".format(*version, *OLDEST_PYTHON)


def find_runtime(name: str, python: str = "") -> RuntimeInfo:
    """Import one runtime in a child process, of this Python or another one, and report on it."""
    if not python and importlib.util.find_spec(_MODULES[name]) is None:
        return RuntimeInfo(name, "", reason=f"not installed ({sys.executable} -m pip install {name})")
    package_parent = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        done = subprocess.run(
            [python or sys.executable, "-c", _CHILD, package_parent, name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return RuntimeInfo(name, "", reason=f"importing it did not end within {TIMEOUT_S:g} s")
    except OSError as error:
        return RuntimeInfo(name, "", reason=f"{python or sys.executable} cannot be started: {error.strerror}")
    found = _parse(done.stdout.decode("utf-8", "replace"))
    if found:
        return RuntimeInfo(name, str(found["version"]), tuple(found["providers"]), str(found["reason"]))
    return RuntimeInfo(name, "", reason=_ending(done.returncode, done.stderr.decode("utf-8", "replace")))


def report(name: str) -> None:
    """The child's part: import the runtime and print one line about it."""
    from .failure import AgentFailure
    from .runtimes import import_runtime

    found: Dict[str, Any] = {"version": distribution_version(name), "providers": [], "reason": ""}
    try:
        module = getattr(import_runtime(name), "module", None)
        found["version"] = found["version"] or str(getattr(module, "__version__", ""))
        if name == "onnxruntime" and module is not None:
            found["providers"] = list(module.get_available_providers())
    except AgentFailure as error:
        mend = f" ({error.error.mend})" if error.error.mend else ""
        found["reason"] = error.error.message + mend
    except ImportError as error:
        found["reason"] = f"{name} cannot be imported: {error}"
    sys.stdout.write(f"\n{_MARK}{json.dumps(found)}\n")


def distribution_version(name: str) -> str:
    """The installed version of the distribution that brings the runtime's module; empty when unknown."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # a variant, such as onnxruntime-gpu, brings the same module
        for distribution in metadata.distributions():
            record = distribution.read_text("RECORD") or ""
            if f"\n{_MODULES[name]}/" in "\n" + record:
                return distribution.version
    return ""


def _numpy_reason() -> str:
    if importlib.util.find_spec("numpy") is None:
        return f"numpy is not installed ({sys.executable} -m pip install numpy)"
    return ""


def _parse(output: str) -> Dict[str, Any]:
    for line in output.splitlines():
        if line.startswith(_MARK):
            found: Dict[str, Any] = json.loads(line[len(_MARK) :])
            return found
    return {}


def _ending(code: int, errors: str) -> str:
    if code >= 0:
        last = [line.strip() for line in errors.splitlines() if line.strip()][-1:]
        return f"importing it ended with exit code {code}: {''.join(last)[:300] or 'no message'}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ": it was built for a newer processor" if name == "SIGILL" else ""
    return f"importing it crashed with {name}{hint}"
