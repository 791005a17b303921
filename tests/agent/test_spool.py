"""Jobs run without their host, once, and are kept until they are acknowledged."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.forking import forked

from edgewright_agent import recording
from edgewright_agent import spool as spooling
from edgewright_agent.detached import detach
from edgewright_agent.failure import AgentFailure
from edgewright_agent.files import write_json
from edgewright_agent.protocol import Execution, FileRef, Job, Model, WireError
from edgewright_agent.protocol_pair import PairJob, PairPlan
from edgewright_agent.protocol_spool import Submission
from edgewright_agent.spool import Emit, Spool
from edgewright_agent.store import Store
from edgewright_agent.turn import turn

LIMIT_S = 20.0
Event = dict[str, Any]
DONE: Event = {"event": "result", "result": {"n": 1}}


def submission(job_id: str = "job1", **changes: Any) -> Submission:
    job = Job(job_id, Model((FileRef("m.onnx", "a" * 64, 3),), "onnx"), Execution("onnxruntime"))
    return replace(Submission(job=job, owner="me@host", label="a model"), **changes)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


class Place:
    """A spool whose jobs note that they ran, and go on when a file says so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(str(folder / "root"))
        self.spool = Spool(self.store, self.work)

    def work(self, told: Submission, emit: Emit) -> Event:
        with (self.folder / "ran").open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        emit({"event": "phase", "name": "measure"})
        until(lambda: (self.folder / "go").exists())
        emit({"event": "progress", "done": 1, "of": 1, "unit": "x"})
        return DONE

    def go(self) -> None:
        (self.folder / "go").touch()

    @property
    def ran(self) -> list[int]:
        path = self.folder / "ran"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def submit_and_leave(self, told: Submission) -> int:
        """Submit in a process that dies at once; the job's process id."""
        pid = forked(lambda: self.spool.submit(told, lambda event: os._exit(0)))
        os.waitpid(pid, 0)
        until(lambda: bool(self.ran))
        return self.ran[-1]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for pid in made.ran:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
class TestJobs:
    def test_a_job_is_followed_to_its_end(self, place: Place) -> None:
        place.go()
        events: list[Event] = []
        assert place.spool.submit(submission(), events.append) == DONE
        assert [event["event"] for event in events] == ["phase", "progress"]

    def test_the_same_job_never_runs_twice_and_tells_the_same(self, place: Place) -> None:
        place.go()
        first: list[Event] = []
        again: list[Event] = []
        place.spool.submit(submission(), first.append)
        assert place.spool.submit(submission(owner="another@host"), again.append) == DONE
        assert len(place.ran) == 1 and again == first

    def test_an_id_stands_for_one_job(self, place: Place) -> None:
        place.go()
        place.spool.submit(submission(), lambda event: None)
        other = submission()
        assert other.job
        with pytest.raises(AgentFailure, match="the id of another job"):
            place.spool.submit(
                replace(other, job=replace(other.job, execution=Execution("x"))), lambda _: None
            )

    def test_it_outlives_its_host_and_is_taken_up(self, place: Place) -> None:
        place.submit_and_leave(submission())
        (info,) = place.spool.jobs()
        assert (info.state, info.owner, info.label) == ("running", "me@host", "a model")
        assert not place.spool.is_idle()
        place.go()
        events: list[Event] = []
        assert place.spool.follow("job1", events.append) == DONE
        assert [event["event"] for event in events] == ["phase", "progress"]
        assert len(place.ran) == 1

    def test_it_is_kept_until_acknowledged(self, place: Place) -> None:
        place.go()
        place.spool.submit(submission(), lambda event: None)
        assert [info.state for info in place.spool.jobs()] == ["finished"]
        place.spool.acknowledge("job1")
        place.spool.acknowledge("job1")
        assert place.spool.jobs() == [] and not list(Path(place.store.jobs).iterdir())
        with pytest.raises(AgentFailure, match="no job job1"):
            place.spool.follow("job1", lambda event: None)

    def test_a_running_job_cannot_be_acknowledged_but_cancelled(self, place: Place) -> None:
        pid = place.submit_and_leave(submission())
        with pytest.raises(AgentFailure, match="still running"):
            place.spool.acknowledge("job1")
        place.spool.cancel("job1")
        assert place.spool.jobs() == [] and place.spool.is_idle()
        until(lambda: not Path(f"/proc/{pid}").exists())

    def test_one_that_is_killed_is_lost_and_says_so(self, place: Place) -> None:
        pid = place.submit_and_leave(submission())
        os.kill(pid, signal.SIGKILL)
        until(lambda: place.spool.jobs()[0].state == "lost")
        event = place.spool.follow("job1", lambda event: None)
        assert event["error"]["code"] == "lost" and "the agent was killed" in event["error"]["message"]
        assert [info.state for info in place.spool.jobs()] == ["failed"]
        assert place.spool.submit(submission(), lambda event: None) == event
        assert len(place.ran) == 1

    def test_one_that_a_restart_ended_says_that(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        os.kill(place.submit_and_leave(submission()), signal.SIGKILL)
        until(place.spool.is_idle)
        monkeypatch.setattr(spooling, "boot_id", lambda: "another")
        event = place.spool.follow("job1", lambda event: None)
        assert "the device was restarted while the job ran" in event["error"]["message"]

    def test_a_fault_of_the_agent_leaves_its_words(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(told: Submission, emit: Emit) -> Event:
            raise ValueError("what a pity")

        event = Spool(place.store, fail).submit(submission(), lambda event: None)
        assert "ValueError: what a pity" in event["error"]["message"]

    def test_the_spool_is_bounded(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        place.go()
        place.spool.submit(submission(), lambda event: None)
        monkeypatch.setattr(spooling, "MAX_JOBS", 1)
        with pytest.raises(AgentFailure, match="wait on the device for a host") as caught:
            place.spool.submit(submission("job2"), lambda event: None)
        assert caught.value.error.code == "disk-full"
        assert place.spool.submit(submission(), lambda event: None) == DONE

    def test_what_is_recorded_of_a_job_is_bounded(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "MAX_EVENT_BYTES", 1000)

        def talk(told: Submission, emit: Emit) -> Event:
            for number in range(1000):
                emit({"event": "progress", "done": number})
            return DONE

        events: list[Event] = []
        assert Spool(place.store, talk).submit(submission(), events.append) == DONE
        assert 10 < len(events) < 40

    def test_a_full_disk_does_not_silence_a_job(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """There is space kept for the last event; where that is too little, there is a smaller one."""
        place.go()
        assert place.spool.submit(submission(), lambda event: None) == DONE
        assert not (Path(place.store.jobs) / "job1" / "reserve").exists()

        def refuse_results(path: str, value: Any) -> None:
            if "result" in value:
                raise OSError(errno.ENOSPC, "No space left on device", path)
            write_json(path, value)

        monkeypatch.setattr("edgewright_agent.outcome.write_json", refuse_results)
        event = place.spool.submit(submission("job2"), lambda event: None)
        assert event["error"]["code"] == "disk-full"
        assert "the job was done" in event["error"]["message"]
        assert [info.state for info in place.spool.jobs()] == ["finished", "failed"]

    def test_a_disk_too_full_to_begin_leaves_nothing(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*words: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(OSError, match="No space left"):
            place.spool.submit(submission(), lambda event: None)
        assert place.ran == [] and not list(Path(place.store.jobs).iterdir())

    def test_a_job_that_somebody_cancels_ends_for_whoever_follows(self, place: Place) -> None:
        place.submit_and_leave(submission())

        def cancel(event: Event) -> None:
            Spool(place.store, place.work).cancel("job1")

        with pytest.raises(AgentFailure, match="the job was cancelled"):
            place.spool.follow("job1", cancel)
        assert place.spool.is_idle() and not list(Path(place.store.jobs).iterdir())

    def test_a_job_can_be_cancelled_before_it_says_who_it_is(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is told who it is a little later than it is known to run."""

        def slowly(*words: Any, **options: Any) -> None:
            time.sleep(0.5)
            detach(*words, **options)

        monkeypatch.setattr("edgewright_agent.spool.detach", slowly)
        pid = forked(lambda: place.spool.submit(submission(), lambda event: None))
        until(lambda: [info.state for info in place.spool.jobs()] == ["running"])
        begun = time.monotonic()
        place.spool.cancel("job1")
        assert time.monotonic() - begun < LIMIT_S
        os.waitpid(pid, 0)
        assert place.spool.is_idle() and not list(Path(place.store.jobs).iterdir())

    def test_a_lost_job_keeps_no_model(self, place: Place) -> None:
        pid = place.submit_and_leave(submission())
        model = Path(place.store.jobs) / "job1" / "model"
        model.mkdir()
        (model / "m.onnx").write_bytes(b"large")
        os.kill(pid, signal.SIGKILL)
        until(place.spool.is_idle)
        assert place.spool.follow("job1", lambda event: None)["error"]["code"] == "lost"
        assert not model.exists()

    def test_a_request_that_a_power_cut_halved_is_no_job(self, place: Place) -> None:
        folder = Path(place.store.jobs) / "job1"
        folder.mkdir()
        (folder / "request.json.tmp").write_text('{"submission": {"jo')
        assert place.spool.jobs() == []
        place.go()
        assert place.spool.submit(submission(), lambda event: None) == DONE
        assert json.loads((folder / "outcome.json").read_text()) == DONE

    def test_a_job_of_another_version_is_listed_and_let_go(self, place: Place) -> None:
        place.go()
        place.spool.submit(submission(), lambda event: None)
        (Path(place.store.jobs) / "job1" / "request.json").write_text('{"of": "another version"}')
        (info,) = place.spool.jobs()
        assert info.label == "a job of another version of the agent" and info.state == "finished"
        with pytest.raises(AgentFailure, match="the id of another job"):
            place.spool.submit(submission(), lambda event: None)
        place.spool.acknowledge("job1")
        assert place.spool.jobs() == []

    def test_a_tied_job_ends_with_its_host(self, place: Place) -> None:
        pid = place.submit_and_leave(submission(is_tied=True))
        until(lambda: not Path(f"/proc/{pid}").exists())


class TestRecorder:
    def test_an_event_that_does_not_fit_on_the_disk_is_left_out(self, tmp_path: Path) -> None:
        """Half a line would make nonsense of the next."""
        reader, writer = os.pipe()
        with recording.Recorder(str(tmp_path), writer) as recorder:
            recorder.add({"event": "phase", "name": "load"})
            before = (tmp_path / "events.jsonl").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (before + 10, resource.RLIM_INFINITY))
            try:
                recorder.add({"event": "progress", "done": 1, "of": 2, "unit": "inferences"})
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert (tmp_path / "events.jsonl").stat().st_size == before
            recorder.add({"event": "phase", "name": "measure"})
        with recording.open_events(str(tmp_path)) as stream:
            assert [event["name"] for event in recording.whole_lines(stream)] == ["load", "measure"]
        os.close(reader)
        os.close(writer)


def test_a_submission_holds_one_job(tmp_path: Path) -> None:
    spool = Spool(Store(str(tmp_path)), lambda told, emit: DONE)
    with pytest.raises(WireError, match="one job, not 0"):
        spool.submit(Submission(), lambda event: None)
    job = submission().job
    assert job
    with pytest.raises(WireError, match="one job, not 2"):
        spool.submit(Submission(job=job, pair=PairJob(job, PairPlan(1, 1))), lambda event: None)


class TestTurn:
    def test_the_second_is_told_who_is_first(self, tmp_path: Path) -> None:
        with (
            turn(str(tmp_path), "ann@desk: net fp32", 0.0, lambda event: None),
            pytest.raises(AgentFailure, match="held by ann@desk: net fp32") as caught,
            turn(str(tmp_path), "bob@lab: x", 0.0, lambda event: None),
        ):
            pass
        assert caught.value.error.code == "busy"

    def test_the_second_waits(self, tmp_path: Path) -> None:
        events: list[Event] = []
        reader, writer = os.pipe()

        def hold() -> None:
            with turn(str(tmp_path), "ann@desk: net", 0.0, lambda event: None):
                os.write(writer, b"1")
                time.sleep(0.7)

        pid = forked(hold)
        os.read(reader, 1)
        with turn(str(tmp_path), "bob@lab: x", LIMIT_S, events.append):
            assert (tmp_path / "busy").read_text() == "bob@lab: x"
        os.waitpid(pid, 0)
        assert events == [{"event": "phase", "name": "waiting", "for": "ann@desk: net"}]
