"""The rules of docs/architecture.md, kept by looking at the source itself."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {"edgewright": ROOT / "sdk/edgewright", "edgewright_agent": ROOT / "agent/edgewright_agent"}

MAX_LINES = 350

#: One list of wire types is easier to compare with what a device sends than two.
LONGER = {"agent/edgewright_agent/protocol.py": 400}

#: Who may import whom: only what stands lower, and what is in the same package. What is not listed
#: stands at the bottom, where modules may import each other.
RANKS = {
    "cli": 70,
    "tune": 60,
    "nightly": 55,
    "farm": 50,
    "site": 48,
    "history": 44,
    "build": 46,
    "builder": 45,
    "models": 45,
    "provision": 45,
    "reference": 42,
    "device": 40,
    "report": 40,
    "compress": 32,
    "export": 30,
    "latency": 28,
    "store": 30,
    "transport": 30,
}

#: All that the agent may import besides itself: it must run where nothing else is installed.
AGENT_PACKAGES = {"numpy", "onnxruntime", "ai_edge_litert", "tflite_runtime", "psutil"}
NEWER_THAN_3_8 = {"graphlib", "tomllib", "zoneinfo"}
GONE_BY_3_13 = {
    "aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils", "imghdr", "imp",
    "lib2to3", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr", "spwd",
    "sunau", "telnetlib", "uu", "xdrlib",
}  # fmt: skip

#: The one place that must answer whatever happens.
TOP_LEVEL_HANDLERS = {"agent/edgewright_agent/guard.py", "agent/edgewright_agent/spool.py"}

HEAVY = (
    "adbutils",
    "torch",
    "jax",
    "tensorflow",
    "onnx",
    "onnxruntime",
    "ai_edge_litert",
    "plotly",
    "sqlalchemy",
    "paramiko",
    "optuna",
)


@functools.cache
def modules(package: str) -> list[tuple[Path, ast.Module]]:
    return [
        (path, ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(SOURCES[package].rglob("*.py"))
    ]


def everything() -> list[tuple[Path, ast.Module]]:
    return [pair for package in SOURCES for pair in modules(package)]


def dotted(path: Path) -> list[str]:
    """``sdk/edgewright/cli/main.py`` -> ``["edgewright", "cli", "main"]``."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts[1:])
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every module that is imported anywhere in the file, by its full name, with the line."""
    own = dotted(path)
    package = own if path.name == "__init__.py" else own[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *filter(None, [node.module])])
            yield from ((node.lineno, f"{name}.{alias.name}") for alias in node.names)


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_the_walk_sees_both_packages() -> None:
    assert len(modules("edgewright")) > 20
    assert len(modules("edgewright_agent")) > 10


def test_imports_point_one_way() -> None:
    wrong = []
    for path, tree in modules("edgewright"):
        own = dotted(path)[1:2]
        rank = RANKS.get(own[0], 0) if own else 0
        for line, name in imports(path, tree):
            parts = name.split(".")
            if parts[0] != "edgewright" or len(parts) < 2 or parts[1:2] == own:
                continue
            other = RANKS.get(parts[1], 0)
            if other > rank or other == rank > 0:
                wrong.append(f"{place(path, line)}: {'.'.join(dotted(path))} must not import {name}")
    assert wrong == []


def test_the_host_imports_only_the_agent_s_protocol() -> None:
    allowed = ("edgewright_agent.protocol", "edgewright_agent.__version__")
    wrong = [
        f"{place(path, line)}: {name}"
        for path, tree in modules("edgewright")
        for line, name in imports(path, tree)
        if name.startswith("edgewright_agent.") and not name.startswith(allowed)
    ]
    assert wrong == []


def test_the_agent_imports_nothing_that_a_device_may_lack() -> None:
    allowed = (
        (sys.stdlib_module_names - NEWER_THAN_3_8 - GONE_BY_3_13) | AGENT_PACKAGES | {"edgewright_agent"}
    )
    wrong = [
        f"{place(path, line)}: {name}"
        for path, tree in modules("edgewright_agent")
        for line, name in imports(path, tree)
        if name.split(".")[0] not in allowed
    ]
    assert wrong == []


def test_the_agent_s_source_is_python_3_8() -> None:
    for path in sorted(SOURCES["edgewright_agent"].rglob("*.py")):
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 8))


def test_no_module_is_long() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path, _ in everything()
    }
    assert {path: lines for path, lines in lengths.items() if lines > LONGER.get(path, MAX_LINES)} == {}


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "helpers", "common", "misc"}
    assert [str(path) for path, _ in everything() if path.stem in drawers] == []


def broad(kind: ast.expr | None) -> bool:
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(
        n is None or (isinstance(n, ast.Name) and n.id in ("Exception", "BaseException")) for n in names
    )


def raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether it only tidies up on the way out."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_no_handler_catches_everything() -> None:
    wrong = []
    for path, tree in everything():
        if str(path.relative_to(ROOT)) in TOP_LEVEL_HANDLERS:
            continue
        for node in ast.walk(tree):
            caught = isinstance(node, ast.ExceptHandler) and broad(node.type) and not raises_again(node)
            suppressed = (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).endswith("suppress")
                and any(map(broad, node.args))
            )
            if caught or suppressed:
                wrong.append(place(path, getattr(node, "lineno", 0)))
    assert wrong == []


def says_why(path: Path, handler: ast.ExceptHandler) -> bool:
    lines = path.read_text(encoding="utf-8").splitlines()[handler.lineno - 1 : handler.end_lineno]
    return any("#" in line for line in lines)


def test_a_handler_that_does_nothing_says_why() -> None:
    wrong = [
        place(path, node.lineno)
        for path, tree in everything()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and all(isinstance(line, ast.Pass) for line in node.body)
        and not says_why(path, node)
    ]
    assert wrong == []


def public_without_docstring(path: Path, tree: ast.Module) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield f"{path.relative_to(ROOT)}: the module"
    for node in tree.body:
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ):
            yield f"{place(path, node.lineno)}: {node.name}"


def test_public_names_are_documented() -> None:
    assert [text for path, tree in everything() for text in public_without_docstring(path, tree)] == []


def test_the_public_names_are_sorted_and_exist() -> None:
    import edgewright

    assert list(edgewright.__all__) == sorted(edgewright.__all__)
    assert [name for name in edgewright.__all__ if not hasattr(edgewright, name)] == []


def imported_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has imported once ``code`` has run."""
    script = (
        f"import json, sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
    )
    script += "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    names: list[str] = json.loads(done.stderr.splitlines()[-1])
    return set(names)


def test_importing_edgewright_imports_nothing_heavy() -> None:
    assert imported_by("import edgewright") & {*HEAVY, "numpy", "pydantic", "rich"} == set()


def test_help_imports_nothing_heavy() -> None:
    code = "sys.argv = ['edgewright', '--help']; from edgewright.cli.main import main; main()"
    assert imported_by(code) & {*HEAVY, "numpy", "pydantic", "rich"} == set()


@pytest.mark.parametrize(
    "command",
    [
        "ab",
        "bench",
        "build",
        "compare",
        "device",
        "farm",
        "history",
        "keys",
        "profile-ops",
        "profiles",
        "prune",
        "regressions",
        "report",
        "run",
        "serve",
        "site",
        "store",
        "transfer",
        "tune",
        "verify",
    ],
)
def test_a_command_s_help_imports_nothing_heavy(command: str) -> None:
    code = f"sys.argv = ['edgewright', '{command}', '--help']; from edgewright.cli.main import main; main()"
    assert imported_by(code) & set(HEAVY) == set()


@pytest.mark.parametrize("package", ["store", "report", "history", "site"])
def test_reading_results_needs_neither_torch_nor_a_way_to_devices(package: str) -> None:
    assert imported_by(f"import edgewright.{package}") & {"torch", "paramiko", "onnx", "onnxruntime"} == set()


def test_the_agent_s_entry_imports_only_the_standard_library() -> None:
    found = imported_by("import edgewright_agent.__main__")
    assert found & (set(HEAVY) | AGENT_PACKAGES | {"edgewright"}) == set()
