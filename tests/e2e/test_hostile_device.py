"""A device that lies, through the command line: bounded, refused, and harmless whatever it says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.devices.command_line import Answer
from tests.devices.hosts import PYTHON, Board, Host, Running, until
from tests.devices.netns import Lab
from tests.models import onnx_zoo

from edgewright_agent.protocol import PROTOCOL_VERSION

MakeHost = Callable[[str], Host]
BENCH = ("bench", "model.onnx", "--device", "board", "--preset", "rapid", "--json", "report.json")
HELLO = {"event": "hello", "protocol": PROTOCOL_VERSION, "agent": "9.9"}

#: What an honest host needs for itself, and a bounded answer beside it.
MOST_BYTES = 700 << 20

EVIL = "\x1b]0;owned\x07\x1b[31m\u202e<script>alert(1)</script>\nsecond line\x9b2J"

#: Runs as the device's Python. The check of the Python is answered truly; ``lies`` says for which of the
#: agent's commands to speak in its place, or after it.
_LIAR = '''#!{python}
import json, os, subprocess, sys
PYTHON = {python!r}
def real():
    os.execv(PYTHON, [PYTHON, *sys.argv[1:]])
def answer():
    """What the honest agent says, line by line."""
    done = subprocess.run([PYTHON, *sys.argv[1:]], stdin=sys.stdin, stdout=subprocess.PIPE)
    return [json.loads(line) for line in done.stdout.splitlines()]
def say(*events):
    for event in events:
        sys.stdout.write(json.dumps(event) + "\\n")
    sys.stdout.flush()
def stream(piece):
    written = 0
    try:
        while written < 10 << 30:
            written += os.write(1, piece)
    except BrokenPipeError:
        pass
    with open({told!r}, "w") as told:
        told.write(str(written))
HELLO = {hello!r}
EVIL = {evil!r}
JOB = dict(job_id="a" * 32, owner=EVIL, label=EVIL, state="lost", size_bytes=1, age_s=1.0)
if sys.argv[1] == "-c":
    real()
command = sys.argv[4]
{lies}
real()
'''


class Liar:
    """A board whose Python is a program of the test's; several by name, for one command to meet them all."""

    def __init__(self, board: Board, host: Host, folder: Path) -> None:
        self.host = host
        self._board = board
        self._folder = folder
        onnx_zoo.save(onnx_zoo.one_node("Relu"), host.folder / "model.onnx")

    def lies(self, **lies: str) -> None:
        """From now on, each by these statements."""
        farm = []
        for name, statements in lies.items():
            program = self._folder / f"python-{name}"
            told = str(self._folder / f"{name}-told")
            program.write_text(
                _LIAR.format(python=str(PYTHON), told=told, hello=HELLO, evil=EVIL, lies=statements)
            )
            program.chmod(0o755)
            farm.append(self._board.node.sshd.farm_toml(name, python=str(program)))
        (self.host.folder / "farm.toml").write_text("\n".join(farm))

    def lies_when(self, command: str, **lies: str) -> None:
        """Each in the place of one of the agent's commands."""
        self.lies(
            **{name: f'if command == "{command}":\n    {said}\n    sys.exit()' for name, said in lies.items()}
        )

    def streamed_bytes(self, name: str) -> int:
        """How much of an endless answer got out before somebody hung up."""
        told = self._folder / f"{name}-told"
        until(told.exists, "the end of a stream", 20)
        return int(told.read_text())

    def run(self, *words: str, limit_s: float = 60.0) -> tuple[Answer, int]:
        """The command's answer, and the most memory it took."""
        running = self.host.start(*words, launches=1)
        return _watched(running, limit_s)

    def measure(self, *names: str) -> tuple[dict[str, Any], int]:
        """Measure on all of them with one command: the rows by device, and the most memory it took."""
        (self.host.folder / "plan.toml").write_text(
            '[plan]\nname = "liars"\nworkloads = ["model.onnx"]\n'
            'runtimes = ["onnxruntime"]\npreset = "rapid"\n'
            f"devices = {json.dumps(names)}\n"
        )
        answer, peak_bytes = self.run("run", "plan.toml", "--json", "report.json", limit_s=180)
        is_harmless(answer.out + answer.err)
        assert self.host.left_over() == []
        rows = {row["device"]: row for row in self.host.rows()}
        assert set(rows) == set(names)
        assert answer.code == int(any(row["outcome"] == "failed" for row in rows.values())), answer
        return rows, peak_bytes


def _watched(running: Running, limit_s: float) -> tuple[Answer, int]:
    peak, deadline = 0, time.monotonic() + limit_s
    while running.process.poll() is None and time.monotonic() < deadline:
        peak = max(peak, running.peak_bytes())
        time.sleep(0.02)
    return running.end(1), peak


@pytest.fixture
def liar(lab: Lab, make_lab_host: MakeHost, tmp_path: Path) -> Liar:
    board = Board.plug_in(lab, tmp_path)
    return Liar(board, make_lab_host("ann"), tmp_path)


def is_harmless(text: str) -> None:
    """Nothing in it moves a cursor, changes a colour or hides what comes after."""
    assert all(line.isprintable() for line in text.splitlines()), ascii(text)
    assert "second line" not in {line.strip() for line in text.splitlines()}


def refusal(answer: Answer, name: str = "board") -> str:
    """The one line of a command that failed."""
    is_harmless(answer.out + answer.err)
    assert answer.code == 1 and answer.err.count("\n") == 1, answer
    assert answer.err.startswith(f"error: {name}: "), answer
    return answer.err


# --- too much --------------------------------------------------------------------------------------------

#: What is streamed, ten gigabytes of it if nobody hangs up, and what is said of it.
ENDLESS = {
    "one-line": ('stream(b"x" * (1 << 20))', "longer than"),
    "empty-lines": ('stream(b"\\n" * (1 << 20))', "where an event was due"),
    "events": ("""stream(b'{"event":"phase","name":"load"}\\n' * 4096)""", "more than"),
    "lists": ('stream(b"[" * (1 << 20))', "longer than"),
    "result": (
        """os.write(1, b'{"event":"result","result":{"job_id":"'); stream(b"0" * (1 << 20))""",
        "longer than",
    ),
}


def test_output_without_end(liar: Liar) -> None:
    liar.lies_when("submit", **{name: f"say(HELLO); {stream}" for name, (stream, _) in ENDLESS.items()})
    rows, peak_bytes = liar.measure(*ENDLESS)
    for name, (_, said) in ENDLESS.items():
        assert said in rows[name]["reason"]
        assert (rows[name]["error_code"], rows[name]["retryable"]) == ("protocol", False)
        assert liar.streamed_bytes(name) < 128 << 20
    assert 0 < peak_bytes < MOST_BYTES


def test_output_that_goes_on_after_the_answer(liar: Liar) -> None:
    liar.lies_when("submit", board='say(*answer()); stream(b"x\\n" * (1 << 19))')
    rows, peak_bytes = liar.measure("board")
    assert rows["board"]["outcome"] == "measured"
    assert liar.streamed_bytes("board") < 128 << 20 and peak_bytes < MOST_BYTES


def test_a_python_that_talks_without_end(liar: Liar) -> None:
    """Before anything is asked of an agent, the device's Python is asked what it is."""
    liar.lies(board="", endless="")
    for name in ("board", "endless"):
        more = "; exec cat /dev/zero" if name == "endless" else '; exec yes "and more"'
        (liar.host.folder.parent / f"python-{name}").write_text(f"#!/bin/sh\necho Welcome{more}\n")
        begun = time.monotonic()
        answer, peak_bytes = liar.run("device", "probe", name)
        assert "Welcome" in refusal(answer, name=name) or name == "endless"
        assert time.monotonic() - begun < 30 and peak_bytes < MOST_BYTES


# --- not what it should be -------------------------------------------------------------------------------

CHANGED = 'said = answer(); result = said[-1]["result"]; {change}; say(*said)'
NAMED = 'result["files"] = [{{"name": {name!r}, "sha256": "0" * 64, "size_bytes": {size}}}]'


def names(name: str, size: int = 3) -> str:
    """A result with that output file."""
    return CHANGED.format(change=NAMED.format(name=name, size=size))


WRONG = {
    "garbage": ('print("Segmentation fault")', "where an event was due"),
    "nothing": ("sys.exit(0)", "before it had answered"),
    "old": ('say({**HELLO, "protocol": 99})', f"the agent speaks protocol 99, this host {PROTOCOL_VERSION}"),
    "empty": ('say(HELLO, {"event": "result"})', "not valid"),
    "half": ('say(HELLO, {"event": "result", "result": {"job_id": "x"}})', "not valid"),
    "deep": ('say(HELLO); print("[" * 200_000 + "]" * 200_000)', "nested too deeply"),
    "wide": ('say(HELLO); print("[" + "0," * 2_000_000 + "0]")', "too many values"),
    "nan": ('say(HELLO); print("[NaN]")', "where an event was due"),
    "others": (CHANGED.format(change='result["job_id"] = "0" * 32'), "the result is another job's"),
    "host-words": ('say(HELLO, {"event": "phase", "name": "reconnect"})', "not its own"),
    "large": (names("evaluation.npz", 10 << 30), "the outputs are larger than"),
    "negative": (names("evaluation.npz", -1), "the outputs are larger than"),
}

#: Names of output files that lead somewhere else. Nothing but an evaluation is ever fetched.
CLIMBING = {"up": "../../evil.npz", "absolute": "/etc/passwd", "dots": "..", "escape": "evil\x1b[2J.npz"}


@pytest.mark.long
def test_answers_that_are_none(liar: Liar) -> None:
    liar.lies_when("submit", **{name: said for name, (said, _) in WRONG.items()})
    rows, _ = liar.measure(*WRONG)
    for name, (_, said) in WRONG.items():
        assert rows[name]["outcome"] == "failed" and said in rows[name]["reason"], rows[name]


@pytest.mark.long
def test_names_of_files_that_climb_out(liar: Liar) -> None:
    liar.lies_when("submit", **{name: names(path) for name, path in CLIMBING.items()})
    rows, _ = liar.measure(*CLIMBING)
    assert {row["outcome"] for row in rows.values()} == {"measured"}
    assert not list(liar.host.folder.parent.rglob("evil*"))


@pytest.mark.parametrize("job_id", ["../../../etc", "a\nb", "-rf", "\x1b[2J"])
def test_the_id_of_a_job_that_climbs_out(liar: Liar, job_id: str) -> None:
    """Or that a terminal would obey, or a command take for an option."""
    liar.lies_when(
        "jobs", board=f'say(HELLO, {{"event": "jobs", "jobs": [{{**JOB, "job_id": {job_id!r}}}]}})'
    )
    answer, _ = liar.run("device", "attach", "board", "--forget")
    assert "not the id of a job" in refusal(answer)


# --- words -----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_words_do_no_harm_wherever_they_are_shown(liar: Liar) -> None:
    """In the terminal, the page and the report: processor, board, phases, notes and whom one waits for."""
    liar.host.knows_devices = False
    liar.lies(
        board='if command == "probe":\n'
        "    said = answer()\n"
        '    for key in ("hostname", "cpu_model", "board", "system", "libc", "python"):\n'
        '        said[-1]["device"][key] = EVIL\n'
        '    said[-1]["device"]["environment"]["governor"] = {EVIL: EVIL}\n'
        '    said[-1]["device"]["environment"]["power_mode"] = EVIL\n'
        '    sensor = {"name": EVIL, "scope": EVIL, "rails": [EVIL], "reason": EVIL}\n'
        '    said[-1]["device"]["sensors"].append(sensor)\n'
        "    say(*said)\n"
        "    sys.exit()\n"
        'if command == "submit":\n'
        "    said = answer()\n"
        '    said.insert(1, {"event": "phase", "name": "waiting", "for": EVIL})\n'
        '    said.insert(1, {"event": "phase", "name": EVIL})\n'
        '    session = said[-1]["result"]["session"]\n'
        '    session["notes"] = [EVIL]\n'
        '    session["version"] = EVIL\n'
        '    said[-1]["result"]["energy"]["reason"] = EVIL\n'
        "    say(*said)\n"
        "    sys.exit()\n"
        'if command == "jobs":\n'
        '    say(HELLO, {"event": "jobs", "jobs": [JOB]})\n'
        "    sys.exit()\n"
        'if command == "follow":\n'
        '    error = {"code": "lost", "message": EVIL, "mend": EVIL, "traceback": EVIL}\n'
        '    say(HELLO, {"event": "phase", "name": EVIL}, {"event": "error", "error": error})\n'
        "    sys.exit()\n"
    )
    for words in (("device", "probe", "board"), ("device", "list"), ("device", "attach", "board")):
        answer, _ = liar.run(*words)
        is_harmless(answer.out + answer.err)
        assert answer.code == (1 if "attach" in words else 0), answer
        assert "owned" in answer.out or "list" in words
    answer, _ = liar.run(*BENCH, "--html", "report.html")
    is_harmless(answer.out + answer.err)
    assert answer.code == 0 and "waiting, the device is held by" in answer.err, answer
    page = (liar.host.folder / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page and "alert(1)" in page and "\x1b" not in page
    for suffix in ("json", "md", "csv"):
        option = {"json": "--json", "md": "--markdown", "csv": "--csv"}[suffix]
        assert liar.run("report", option, f"again.{suffix}")[0].code == 0
        is_harmless((liar.host.folder / f"again.{suffix}").read_text(encoding="utf-8"))
    shown, _ = liar.run("report")
    is_harmless(shown.out + shown.err)


def test_json_of_attach_is_json(liar: Liar) -> None:
    """Whatever a device calls its jobs."""
    liar.lies_when("jobs", board='say(HELLO, {"event": "jobs", "jobs": [JOB] * 3})')
    answer, _ = liar.run("device", "attach", "board", "--json", "jobs.json")
    is_harmless(answer.out + answer.err)
    told = json.loads((liar.host.folder / "jobs.json").read_text())
    assert answer.code == 1 and len(told) == 3 and all("no job" in one["error"] for one in told)
