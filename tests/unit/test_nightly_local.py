"""The threads that do what a farm decides, and what a person sees of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests import fakes

from edgewright.cli.farm_view import FarmView
from edgewright.device import Device
from edgewright.errors import ConfigError, TransportError, UntrustedHost
from edgewright.farm.effort import load_effort
from edgewright.farm.execute import Task
from edgewright.farm.group import Ended, Watcher
from edgewright.farm.inventory import SshAddress, Target
from edgewright.farm.job import Settings
from edgewright.farm.session import Run, Station
from edgewright.farm.subject import BareSubject
from edgewright.nightly.hands import Hand
from edgewright.nightly.local import LetGo, LocalExecutor
from edgewright.nightly.orders import BuildOrder, GroupOrder
from edgewright.row import Cell, Failed, Row

PI = Target("pi", "x86-64-linux", SshAddress("pi", "ann", 22, None, None))
CELL = Cell("net", "as-is", "pi", "x86-64-linux", "onnxruntime")
LIMIT_S = 20.0


class Desk:
    """Stands in for a station: measures as told."""

    made: list[Desk]

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.is_open = True
        self.forgotten: list[str] = []
        self.is_tidy = self.is_closed = False
        self.release = threading.Event()
        self.began = threading.Event()
        self.blocks = False

    def measure(self, tasks: Sequence[Task]) -> Iterator[Ended]:
        for task in tasks:
            self.watcher.begin(task.cell, "launch 1 of 1")
            self.began.set()
            if self.blocks:
                assert self.release.wait(LIMIT_S)
                self.watcher.event({"event": "phase", "name": "measure"})
            yield Ended(task.key, fakes.row(cell=task.cell), ("job",))

    def forget(self, ended: Ended) -> None:
        self.forgotten.append(ended.key)

    def leave_nothing(self) -> None:
        self.is_tidy = True

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def desks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What opening a device gives, in order: a desk, or an error that is raised."""
    found: list[Any] = []

    def opened(target: Target, settings: Settings, run: Run, watcher: Watcher) -> Any:
        step = found.pop(0) if found else Desk(watcher)
        if isinstance(step, Exception):
            raise step
        step.watcher = watcher
        Desk.made.append(step)
        return step

    Desk.made = []
    monkeypatch.setattr(Station, "open", opened)
    return found


def executor(told: list[Any] | None = None) -> LocalExecutor:
    events = told if told is not None else []
    return LocalExecutor(
        [PI], Settings(load_effort("rapid")), Run("run"), lambda *event: events.append(event)
    )


def order(*keys: str) -> GroupOrder:
    return GroupOrder(PI, tuple(Task(BareSubject(Path("m.onnx"), Path()), None, CELL, key) for key in keys))


def test_a_hand_does_one_thing_after_another_and_passes_on_what_is_raised() -> None:
    hand, seen = Hand("test"), []

    def slow() -> int:
        time.sleep(0.05)
        seen.append("first")
        return 1

    first, second = hand.do(slow), hand.do(lambda: seen.append("second"))
    wrong = hand.do(lambda: 1 // 0)
    assert first.result(LIMIT_S) == 1 and second.result(LIMIT_S) is None and seen == ["first", "second"]
    with pytest.raises(ZeroDivisionError):
        wrong.result(LIMIT_S)
    assert hand.do(lambda: 2).result(LIMIT_S) == 2


def test_a_connection_is_kept_from_group_to_group_and_made_again_once_broken(desks: list[Any]) -> None:
    done = executor()
    for keys in (("a", "b"), ("c",)):
        report = done.measure(order(*keys)).result(LIMIT_S)
        assert [one.key for one in report.ended] == list(keys)
        done.forget(PI, report.ended)
    (desk,) = Desk.made
    desk.is_open = False
    done.forget(PI, ())
    done.measure(order("d")).result(LIMIT_S)
    assert len(Desk.made) == 2 and desk.forgotten == ["a", "b", "c"]
    assert desk.is_closed and not desk.is_tidy  # what it kept may be wanted yet
    done.leave(PI).result(LIMIT_S)
    assert Desk.made[1].is_tidy and Desk.made[1].is_closed


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (TransportError("pi", "gone"), "transport", True),
        (UntrustedHost("pi", "another key"), "untrusted-host", False),
        (ConfigError("no such key file"), "ConfigError", False),
    ],
)
def test_why_a_device_was_not_opened(desks: list[Any], error: Exception, code: str, retryable: bool) -> None:
    desks.append(error)
    report = executor().measure(order("a")).result(LIMIT_S)
    assert report.ended == () and isinstance(report.unopened, Failed)
    assert (report.unopened.code, report.unopened.retryable) == (code, retryable)


def test_a_build_that_fails_is_what_becomes_of_the_cell() -> None:
    task = Task(BareSubject(Path("none.onnx"), Path()), None, CELL, "a")
    outcome = executor().build(BuildOrder("key", task, "x86-64-linux")).result(LIMIT_S)
    assert outcome == Failed("none.onnx: no such file", "ConfigError")
    other = Task(task.subject, None, Cell("m", "as-is", "pi", "p", "tflite-runtime"), "b")
    skipped = executor().build(BuildOrder("key", other, "x86-64-linux")).result(LIMIT_S)
    assert skipped is not None and "it cannot run in a runtime for tflite" in skipped.reason


def test_an_interrupt_calls_off_what_runs_and_closes_what_does_not(
    desks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(None)  # type: ignore[arg-type]
    desk.blocks = True
    desks.append(desk)

    class Other:
        """The connection of its own by which jobs are called off."""

        def __enter__(self) -> Other:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing to close."""

        def call_off(self, *, origin: str) -> None:
            assert origin == "run/"
            desk.release.set()

    monkeypatch.setattr(Device, "open", lambda target, patience_s: Other())
    done = executor()
    future = done.measure(order("a"))
    assert desk.began.wait(LIMIT_S)
    begun = time.monotonic()
    done.stop()
    assert time.monotonic() - begun < LIMIT_S
    with pytest.raises(KeyboardInterrupt):
        future.result(LIMIT_S)
    assert desk.is_tidy and desk.is_closed


def row(reason: str = "") -> Row:
    return fakes.row(Failed(reason, "lost") if reason else None, cell=CELL)


def test_plain_lines_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with FarmView({"pi": 2, "nano": 1}) as view:
        for _ in range(2):
            view.device("pi", "waiting", "held by ann")
        view.note("nano: quarantined: \x1b[31mgone")
        view.left(None, 3)
        view.left(None, 2)
        view.row(row("it was\nrestarted"))
        view.tell("pi", {"event": "phase", "name": "left", "why": "no answer"})
        view.tell("pi", {"event": "phase", "name": "measure"})
    assert capfd.readouterr().err.splitlines() == [
        "pi: waiting, held by ann",
        "nano: quarantined: gone",
        "end unknown, cells that were never timed: 3",
        "[1/3] net as-is onnxruntime on pi: failed: it was restarted",
        "pi: a job stays on the device, edgewright device attach takes it up: no answer",
    ]


def test_the_table_of_a_terminal() -> None:
    events: Sequence[Mapping[str, Any]] = (
        {"event": "begin", "what": "net as-is onnxruntime, launch 1 of 5"},
        {"event": "phase", "name": "measure"},
    )
    with FarmView({"pi": 2, "nano": 1}) as view:
        view.device("pi", "measuring", "net")
        view.device("nano", "quarantined", "cannot be reached")
        for event in events:
            view.tell("pi", event)
        view.found(row("lost"))
        view.left(None, 2)
        console = Console(width=120, force_terminal=False)
        with console.capture() as captured:
            console.print(view._table())
    text = " ".join(captured.get().split())
    assert "1/2" in text and "measuring net as-is onnxruntime, launch 1 of 5 · measuring" in text
    assert "quarantined cannot be reached" in text and "end unknown, cells that were never timed: 2" in text


def test_a_device_that_is_let_go_of_is_opened_anew_and_its_job_left_alone(
    desks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def called_off(*_: Any, **__: Any) -> None:
        raise AssertionError("its job is to go on")

    monkeypatch.setattr(Device, "open", called_off)
    blocked = Desk(None)  # type: ignore[arg-type]
    blocked.blocks = True
    desks.append(blocked)
    done = executor()
    lost = done.measure(order("a"))
    assert blocked.began.wait(LIMIT_S)
    done.let_go("pi")
    blocked.release.set()
    with pytest.raises(LetGo):
        lost.result(LIMIT_S)
    report = done.measure(order("a")).result(LIMIT_S)
    assert [one.key for one in report.ended] == ["a"] and len(Desk.made) == 2
    assert blocked.is_closed and not blocked.is_tidy
    done.close()
