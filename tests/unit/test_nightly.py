"""The schedule of a farm: whatever fails, every cell ends in exactly one row."""

from __future__ import annotations

import gc
import heapq
import random
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import fakes

from edgewright.farm.effort import load_effort
from edgewright.farm.execute import Task
from edgewright.farm.group import Ended
from edgewright.farm.inventory import LOCAL, SshAddress, Target
from edgewright.farm.job import Settings
from edgewright.farm.session import Run, Work
from edgewright.farm.subject import BareSubject
from edgewright.history import find_regressions
from edgewright.nightly import Night, NightWork, Policy
from edgewright.nightly.again import again
from edgewright.nightly.inbox import Inbox, Message
from edgewright.nightly.lane import board_of
from edgewright.nightly.orders import BuildOrder, GroupOrder, GroupReport, Health
from edgewright.row import Failed, Measured, Outcome, Row, Skipped
from edgewright.store import Boards, Leases, Store

SETTINGS = Settings(load_effort("rapid"))
GONE = Failed("pi: cannot be reached", "transport", retryable=True)
LOST = Failed("pi: the device was restarted", "lost", retryable=True)
REJECTED = Failed("pi: the runtime refused the model", "model-rejected")
REFUSED = Failed("pi: the host key changed", "untrusted-host")
WELL, SICK = Health(True, "right"), Health(False, "wrong by 3")


class Clock(Inbox):
    """Time passes only while there is nothing else to do; what is to happen later is known."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self._later: list[tuple[float, int, Message]] = []
        self.idle = self.looks = 0

    def now(self) -> float:
        return self.time

    def later(self, seconds: float, message: Message) -> None:
        heapq.heappush(self._later, (self.time + seconds, len(self._later) + random.getrandbits(40), message))

    def get(self, until: float) -> Message | None:
        if found := super().get(self.time):
            return found
        if self._later and self._later[0][0] <= until:
            self.time, _, message = heapq.heappop(self._later)
            message()
            return super().get(self.time)
        if until == self.time and self.looks < 10:
            self.looks += 1
            return None
        self.looks = 0
        assert until > self.time, "it looks without waiting"
        self.idle += 1
        assert self.idle < 20_000, "it goes on for ever"
        self.time = until
        return None


class Watched:
    """A view that keeps what it is told."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.rows: list[Row] = []
        self.ends: list[tuple[float | None, int]] = []

    def device(self, name: str, state: str, detail: str = "") -> None:
        self.states.append((name, state))

    def note(self, text: str) -> None:
        self.notes.append(text)

    def row(self, row: Row) -> None:
        self.rows.append(row)

    def left(self, seconds: float | None, unknown: int) -> None:
        self.ends.append((seconds, unknown))


class Played:
    """An executor whose devices do as told, each order after a while."""

    def __init__(
        self,
        clock: Clock,
        outcome: Callable[[Task, int], Outcome],
        *,
        opens: Callable[[str], Failed | None] = lambda name: None,
        health: Callable[[str], Health] = lambda name: WELL,
        builds: Callable[[Task], Failed | Skipped | None] = lambda task: None,
        takes_s: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._clock = clock
        self._outcome, self._opens, self._health, self._builds = outcome, opens, health, builds
        self._takes_s = takes_s
        self.tries: Counter[str] = Counter()
        self.measured: list[tuple[float, str, str]] = []
        self.forgotten: list[str] = []
        self.checked: list[tuple[float, str, bool]] = []
        self.built: list[str] = []
        self.left: list[str] = []
        self.busy: set[str] = set()
        self.most_busy = 0
        self.is_stopped = False

    def _do(self, who: str, result: Callable[[], Any], share: float = 1.0) -> Future[Any]:
        assert who not in self.busy, f"{who} does two things at once"
        assert LOCAL not in self.busy and (who != LOCAL or not self.busy), "this machine is not alone"
        self.busy.add(who)
        self.most_busy = max(self.most_busy, len(self.busy))
        future: Future[Any] = Future()

        def end() -> None:
            self.busy.discard(who)
            future.set_result(result())

        self._clock.later(share * self._takes_s(), end)
        return future

    def build(self, order: BuildOrder) -> Future[Failed | Skipped | None]:
        self.built.append(order.key)
        return self._do("build", lambda: self._builds(order.task), share=0.1)

    def measure(self, order: GroupOrder) -> Future[GroupReport]:
        def report() -> GroupReport:
            if failed := self._opens(order.target.name):
                return GroupReport(unopened=failed)
            return GroupReport(tuple(map(self._ended, order.tasks)), seconds=10.0)

        self.measured += [(self._clock.now(), order.target.name, task.cell.workload) for task in order.tasks]
        return self._do(order.target.name, report)

    def _ended(self, task: Task) -> Ended:
        self.tries[task.key] += 1
        outcome = self._outcome(task, self.tries[task.key])
        return Ended(task.key, fakes.row(outcome, cell=task.cell, preset="rapid"), (f"job of {task.key}",))

    def forget(self, target: Target, ended: tuple[Ended, ...]) -> None:
        self.forgotten += [one.key for one in ended]

    def check(self, target: Target, *, cycle: bool) -> Future[Health]:
        self.checked.append((self._clock.now(), target.name, cycle))
        return self._do(target.name, lambda: self._health(target.name))

    def leave(self, target: Target) -> Future[None]:
        self.left.append(target.name)
        return self._do(target.name, lambda: None)

    def stop(self) -> None:
        self.is_stopped = True


def target(name: str, **options: Any) -> Target:
    link = None if name == LOCAL else SshAddress(f"{name}.lab", "ann", 22, None, None)
    return Target(name, "x86-64-linux", link, **options)


MEASURED = fakes.measured(fakes.launch(fakes.latencies(4.2, 64)))


def well(task: Task, attempt: int) -> Outcome:
    return MEASURED


class Farm:
    """A plan of bare models on devices, over a store of its own."""

    def __init__(self, folder: Path, devices: Sequence[Target], models: int = 2, **job: Any) -> None:
        self.store = Store.open(folder / "store.sqlite")
        self.clock, self.view = Clock(), Watched()
        subjects = [BareSubject(Path(f"m{number}.onnx"), folder) for number in range(models)]
        self.work = Work(subjects, [], ["onnxruntime"], devices)
        self.job = NightWork(self.work, SETTINGS, Run(self.store.begin_run("night", "", "rapid")), **job)

    @property
    def run(self) -> Run:
        return self.job.run

    def begin(self) -> None:
        """Another night."""
        self.clock = Clock()
        self.job = replace(self.job, run=Run(self.store.begin_run("night", "", "rapid")))

    def go(self, outcome: Callable[[Task, int], Outcome] = well, **options: Any) -> Played:
        played = Played(self.clock, outcome, **options)
        self.night = Night(self.job, self.store, played, self.view, self.clock)
        self.night.run()
        return played

    @property
    def rows(self) -> dict[str, Row]:
        return self.store.rows_by_key(self.run.run_id)

    @property
    def kinds(self) -> Counter[str]:
        return Counter(
            row.outcome.code if isinstance(row.outcome, Failed) else type(row.outcome).__name__
            for row in self.rows.values()
        )

    def state(self, name: str) -> Any:
        (found,) = [one for one in self.work.targets if one.name == name]
        return Boards(self.store).get(board_of(found))


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Farm]]:
    farms: list[Farm] = []

    def made(*names: str, **options: Any) -> Farm:
        farms.append(Farm(tmp_path, [target(name) for name in names], **options))
        return farms[-1]

    yield made
    for farm in farms:
        farm.store.close()


def test_devices_work_side_by_side_and_no_model_comes_last_everywhere(make: Callable[..., Farm]) -> None:
    farm = make("a", "b", "c", models=3)
    played = farm.go()
    assert farm.kinds == {"Measured": 9}
    orders = {one: [model for _, name, model in played.measured if name == one] for one in "abc"}
    assert {order[0] for order in orders.values()} == {"m0.onnx"}  # nobody waits for what is not built yet
    assert orders["a"][1:] == ["m1.onnx", "m2.onnx"] and orders["c"][1:] == ["m2.onnx", "m1.onnx"]
    assert len(played.built) == 3 and played.most_busy >= 3
    assert sorted(played.left) == ["a", "b", "c"]
    assert sorted(played.forgotten) == sorted(farm.rows)


def test_no_raw_samples_stay_in_memory(make: Callable[..., Farm], monkeypatch: pytest.MonkeyPatch) -> None:
    """A night has more of them than there is memory for."""
    farm = make("a", "b", models=3)
    monkeypatch.setattr(farm.view, "row", lambda row: None)
    made = []

    def outcome(task: Task, attempt: int) -> Outcome:
        one = replace(MEASURED)
        made.append(weakref.ref(one))
        return one

    farm.go(outcome)
    gc.collect()
    assert len(made) == 6 and not any(one() for one in made)


def test_this_machine_is_measured_alone(make: Callable[..., Farm]) -> None:
    farm = make(LOCAL, "a", "b", models=3)
    played = farm.go()  # which asserts it
    assert farm.kinds == {"Measured": 9}
    assert [name for _, name, _ in played.measured][-3:] == [LOCAL] * 3


def test_what_may_pass_is_tried_again_later_and_what_stays_is_not(make: Callable[..., Farm]) -> None:
    farm = make("a", models=2)
    played = farm.go(
        lambda task, attempt: LOST if task.cell.workload == "m0.onnx" and attempt < 3 else well(task, 1)
    )
    assert farm.kinds == {"Measured": 2}
    times = [at for at, _, model in played.measured if model == "m0.onnx"]
    assert times[1] - times[0] >= 10 and times[2] - times[1] >= 60
    assert Counter(played.forgotten)[f"{farm.run.run_id}/a/0"] == 3

    other = make("b", models=2)
    played = other.go(lambda task, attempt: REJECTED)
    assert other.kinds == {"model-rejected": 2} and set(played.tries.values()) == {1}
    assert not other.state("b").is_quarantined


def test_a_result_that_may_wait_on_the_device_is_not_called_off(make: Callable[..., Farm]) -> None:
    farm = make("a", models=1)
    played = farm.go(lambda task, attempt: GONE if attempt == 1 else well(task, 1))
    assert farm.kinds == {"Measured": 1} and played.forgotten == list(farm.rows)


def test_tries_are_bounded(make: Callable[..., Farm]) -> None:
    farm = make("a", models=2, policy=Policy(attempts=3, quarantine_after=100))
    played = farm.go(lambda task, attempt: LOST)
    assert farm.kinds == {"lost": 2} and set(played.tries.values()) == {3}
    assert sorted(set(played.forgotten)) == sorted(farm.rows)


def test_a_file_that_cannot_be_built_costs_no_device_time(make: Callable[..., Farm]) -> None:
    farm = make("a", "b", models=2)
    why = Failed("m0.onnx: not a model", "ConfigError")
    played = farm.go(builds=lambda task: why if task.cell.workload == "m0.onnx" else None)
    assert farm.kinds == {"ConfigError": 2, "Measured": 2}
    assert {model for _, _, model in played.measured} == {"m1.onnx"}


def test_failures_in_a_row_set_a_device_aside_until_it_is_well(make: Callable[..., Farm]) -> None:
    farm = make("a", "b", models=4, policy=Policy(attempts=1))
    answers = iter([SICK, SICK, WELL])
    broken = {"a"}

    def health(name: str) -> Health:
        found = next(answers)
        if found.is_healthy:
            broken.clear()
        return found

    def outcome(task: Task, attempt: int) -> Outcome:
        return LOST if task.cell.device in broken else well(task, attempt)

    played = farm.go(outcome, health=health)
    assert farm.kinds == {"lost": 3, "Measured": 5}
    assert [name for _, name, _ in played.checked] == ["a"] * 3
    first, second, third = (at for at, _, _ in played.checked)
    assert second - first >= 15 and third - second >= 30
    assert any("quarantined: 3 cells in a row failed" in note for note in farm.view.notes)
    assert farm.view.notes[-1] == "a: back from quarantine: right"
    state = farm.state("a")
    assert not state.is_quarantined and state.failures == 0 and state.is_healthy and state.health == "right"


def test_a_device_that_is_not_there_is_waited_for_while_others_work(make: Callable[..., Farm]) -> None:
    farm = make("a", "b", models=2, policy=Policy(return_s=1))
    played = farm.go(
        opens=lambda name: GONE if name == "a" and farm.clock.time < 400 else None, takes_s=lambda: 300
    )
    assert farm.kinds == {"Measured": 4} and len(played.checked) == 1


def test_one_that_does_not_come_back_gives_rows(make: Callable[..., Farm]) -> None:
    farm = make("a", "b", models=2, policy=Policy(return_s=100))
    farm.go(opens=lambda name: GONE if name == "a" else None, health=lambda name: SICK)
    assert farm.kinds == {"Measured": 2, "quarantined": 2}
    row = next(row for row in farm.rows.values() if row.cell.device == "a")
    assert "cannot be reached" in cast(Failed, row.outcome).reason
    assert 100 <= farm.clock.time < 200
    assert farm.state("a").is_quarantined and farm.state("a").health == "wrong by 3"


def test_the_next_night_begins_with_a_health_check(make: Callable[..., Farm]) -> None:
    farm = make("a", models=1, policy=Policy(return_s=0))
    farm.go(opens=lambda name: GONE, health=lambda name: SICK)
    assert farm.kinds == {"quarantined": 1}
    next_one = make("a", models=1)
    played = next_one.go()
    assert len(played.checked) == 1 and next_one.kinds == {"Measured": 1}
    assert played.checked[0][0] < played.measured[0][0]


def test_a_device_that_refuses_is_not_tried_again(make: Callable[..., Farm]) -> None:
    farm = make("a", "b", models=3)
    played = farm.go(opens=lambda name: REFUSED if name == "a" else None)
    assert farm.kinds == {"untrusted-host": 3, "Measured": 3} and played.checked == []
    refused = Health(False, REFUSED.reason, REFUSED.code, may_pass=False)
    again = make("a", models=1)
    again.go(health=lambda name: refused)
    assert again.kinds == {"untrusted-host": 1} and again.clock.time < 10


def test_power_is_cycled_once_in_a_quarantine(tmp_path: Path) -> None:
    farm = Farm(tmp_path, [target("a", power_cycle=("reboot",))], policy=Policy(return_s=100))
    played = farm.go(opens=lambda name: GONE, health=lambda name: SICK)
    assert [cycle for _, _, cycle in played.checked][:3] == [True, False, False]
    assert played.checked[0][0] < 15
    farm.store.close()


def test_a_board_of_another_farm_is_waited_for(make: Callable[..., Farm]) -> None:
    farm = make("a", "b", models=2)
    other = Leases(farm.store, "other")
    assert other.take(board_of(farm.work.targets[0])) is None
    farm.clock.later(500, lambda: other.release(board_of(farm.work.targets[0])))
    played = farm.go()
    assert farm.kinds == {"Measured": 4}
    times = {name: [at for at, n, _ in played.measured if n == name] for name in ("a", "b")}
    assert max(times["b"]) < 100 and 500 <= min(times["a"]) < 510
    assert ("a", "waiting") in farm.view.states


def test_a_board_that_is_wanted_is_handed_over_between_groups(make: Callable[..., Farm]) -> None:
    farm = make("a", models=3)
    other, board = Leases(farm.store, "other"), board_of(farm.work.targets[0])
    taken: list[float] = []

    def want() -> None:
        if other.take(board) is None:
            taken.append(farm.clock.now())
            farm.clock.later(200, lambda: other.release(board))
        else:
            farm.clock.later(0.1, want)

    farm.clock.later(1.5, want)
    played = farm.go()
    assert farm.kinds == {"Measured": 3} and len(taken) == 1
    begun = [at for at, _, _ in played.measured]
    assert begun[0] < taken[0] < 10 and begun[-1] >= taken[0] + 200


def test_the_end_is_estimated_from_earlier_nights(make: Callable[..., Farm]) -> None:
    farm = make("a", "b", models=2)
    farm.go()
    assert farm.view.ends[0] == (None, 4)
    again = make("a", "c", models=2)
    again.go()
    assert again.view.ends[0] == (20.0, 0) and again.view.ends[-1] == (0.0, 0)


def test_a_run_that_is_gone_on_with_repeats_nothing(make: Callable[..., Farm]) -> None:
    farm = make("a", "b", models=2)
    farm.go()
    again = make("a", "b", models=2)
    again.job = replace(again.job, run=replace(farm.run, is_resumed=True))
    first = dict(list(farm.rows.items())[:3])
    played = again.go()
    assert played.measured == [] and sorted(played.left) == ["a", "b"] and len(again.rows) == 4
    assert dict(list(again.rows.items())[:3]) == first


def test_an_interrupt_ends_the_jobs_and_gives_the_boards_back(make: Callable[..., Farm]) -> None:
    farm = make("a", "b", models=3)

    def interrupt() -> None:
        raise KeyboardInterrupt

    farm.clock.later(2.5, interrupt)
    played = Played(farm.clock, well)
    with pytest.raises(KeyboardInterrupt):
        Night(farm.job, farm.store, played, farm.view, farm.clock).run()
    assert played.is_stopped and 0 < len(farm.rows) < 6
    from edgewright.store import holders

    assert holders(farm.store) == {}


FATES = st.sampled_from([None, None, None, LOST, GONE, REJECTED, Skipped("it cannot be"), REFUSED])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    devices=st.integers(1, 5),
    models=st.integers(1, 4),
    fates=st.lists(FATES, min_size=1, max_size=24),
    seed=st.integers(0, 1 << 30),
    has_local=st.booleans(),
    interrupts=st.lists(st.floats(1, 300), max_size=3),
)
def test_whatever_fails_every_cell_ends_in_one_row(
    tmp_path_factory: pytest.TempPathFactory,
    devices: int,
    models: int,
    fates: list[Outcome | None],
    seed: int,
    has_local: bool,
    interrupts: list[float],
) -> None:
    """Devices that cannot be opened, cells that fail, checks that fail, and the command given again."""
    chance = random.Random(seed)
    names = [LOCAL] * has_local + [f"d{number}" for number in range(devices)]
    policy = Policy(return_s=chance.choice([0, 100, 1000]), quarantine_after=chance.randint(1, 4))
    farm = Farm(tmp_path_factory.mktemp("farm"), [target(name) for name in names], models, policy=policy)

    def outcome(task: Task, attempt: int) -> Outcome:
        return chance.choice(fates) or well(task, attempt)

    def opens(name: str) -> Failed | None:
        return chance.choice([GONE, None, None, None, REFUSED if chance.random() < 0.05 else None])

    def stop() -> None:
        raise KeyboardInterrupt

    seen: dict[str, Row] = {}
    for at in [*interrupts, None]:
        if at is not None:
            farm.clock.later(at, stop)
        try:
            played = farm.go(
                outcome,
                opens=opens,
                health=lambda name: chance.choice([WELL, SICK]),
                builds=lambda task: Skipped("no such export") if chance.random() < 0.1 else None,
                takes_s=lambda: chance.uniform(0.1, 20),
            )
        except KeyboardInterrupt:
            farm.clock, farm.view = Clock(), Watched()
        else:
            assert all(tries <= policy.attempts + 0 for tries in played.tries.values())
            break
        finally:
            rows = farm.rows
            assert seen.items() <= rows.items()
            seen = rows
        farm.job = replace(farm.job, run=replace(farm.run, is_resumed=True))
    expected = {t.key for one in farm.work.targets for g in farm.work.groups(one, farm.run.run_id) for t in g}
    assert set(farm.rows) == expected
    assert len(farm.store.run(farm.run.run_id).rows) == len(expected)
    assert all(not isinstance(row.outcome, Measured) or row.outcome == MEASURED for row in farm.rows.values())
    farm.store.close()


def level(ms: float) -> Measured:
    """Launches whose median is that, give or take what a night moves by itself."""
    return fakes.measured(*(fakes.launch(fakes.latencies(ms, 64, seed=n)) for n in range(2)))


def nights(farm: Farm, count: int) -> None:
    """So many quiet nights, each a minute after the one before, and the run of the farm as the next."""
    levels = [level(4.2 * (1 + (night % 3 - 1) * 0.002)) for night in range(3)]
    for night in range(count):
        farm.go(lambda task, attempt, now=levels[night % 3]: now)  # type: ignore[misc]
        farm.store.finish_run(farm.run.run_id)
        with farm.store._write() as session:
            moment = f"2026-01-01T00:{night:02d}:00.000+00:00"
            farm.store._record(session, farm.run.run_id).started_at = moment
        farm.begin()


def repeat(farm: Farm, outcome: Callable[[Task, int], Outcome]) -> Played | None:
    """Measure again what is suspect; None when nothing is."""
    more = again(farm.job, farm.store, times=2, threshold=0.05)
    if more is None:
        return None
    farm.job, farm.clock = replace(farm.job, work=more), Clock()
    return farm.go(outcome)


@pytest.mark.parametrize(("then", "found"), [(1.12, (1, 0)), (1.0, (0, 0))])
def test_what_seems_slower_is_measured_twice_more(
    make: Callable[..., Farm], then: float, found: tuple[int, int]
) -> None:
    """That decides: it is certain, or it was a wild night."""
    farm = make("pi1", "pi2")
    nights(farm, 10)
    farm.go(lambda task, n: level(4.2 * (1.12 if task.key.endswith("pi2/1") else 1.0)))
    told = find_regressions(farm.store)
    assert (len(told.regressions), len(told.suspects)) == (0, 1)
    played = repeat(farm, lambda task, n: level(4.2 * then))
    assert played is not None
    assert [(name, model) for _, name, model in played.measured] == [("pi2", "m1.onnx")] * 2
    assert len(farm.rows) == 4 + 2 and {row.cell.device for row in list(farm.rows.values())[4:]} == {"pi2"}
    told = find_regressions(farm.store)
    assert (len(told.regressions), len(told.suspects)) == found
    assert again(replace(farm.job, work=farm.work), farm.store, times=2, threshold=0.05) is None


def test_measuring_again_is_gone_on_with_where_it_was(make: Callable[..., Farm]) -> None:
    farm = make("pi1")
    nights(farm, 10)
    farm.go(lambda task, n: level(4.2 * (1.12 if task.key.endswith("/0") else 1.0)))
    work = again(farm.job, farm.store, times=2, threshold=0.05)
    assert work is not None
    first = next(group for group in work.groups(farm.work.targets[0], farm.run.run_id) if group)[0]
    farm.store.add_row(farm.run.run_id, fakes.row(level(4.2), cell=first.cell, preset="rapid"), first.key)
    played = repeat(farm, lambda task, n: level(4.2))
    assert played is not None and list(played.tries) == [first.key.replace("+1", "+2")]


def test_a_night_like_the_others_is_measured_once(make: Callable[..., Farm]) -> None:
    farm = make("pi1")
    nights(farm, 10)
    farm.go(lambda task, n: level(4.2))
    assert repeat(farm, well) is None
