"""Connections that are made again: how long, how often, and what is told. The clock is not the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from edgewright.device import lasting
from edgewright.device.agent_link import AgentLink
from edgewright.device.answers import AgentKilled, OnEvent
from edgewright.device.lasting import LastingLink
from edgewright.errors import (
    AccessDenied,
    AgentFault,
    DeviceError,
    DeviceTimeout,
    MissingRuntime,
    TransportError,
    UntrustedHost,
)

BROKEN = TransportError("board", "the connection broke")


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lasting, "time", made)
    return made


class Link:
    """Stands for a connected agent."""

    agent = None

    def __init__(self) -> None:
        self.transport = self
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Network:
    """Connects, or raises what is the turn of; after the last it connects."""

    def __init__(self, *errors: DeviceError | None) -> None:
        self._errors = iter(errors)
        self.links: list[Link] = []
        self.tries = 0

    def __call__(self) -> AgentLink:
        self.tries += 1
        error = next(self._errors, None)
        if error is not None:
            raise error
        self.links.append(Link())
        return self.links[-1]  # type: ignore[return-value]


def forever(error: DeviceError) -> Iterator[DeviceError | None]:
    yield None
    while True:
        yield error


def endless(error: DeviceError) -> Network:
    """Connects once and never again."""
    network = Network()
    network._errors = forever(error)
    return network


def work_that(steps: Iterable[DeviceError | str], tell: Callable[[OnEvent], None] = lambda told: None) -> Any:
    """Raises one error after the other, and ends with the text."""
    turns = iter(steps)

    def work(link: AgentLink, told: OnEvent) -> str:
        tell(told)
        step = next(turns)
        if isinstance(step, DeviceError):
            raise step
        return step

    return work


def phases(events: list[Any]) -> list[str]:
    return [event["name"] for event in events if event["event"] == "phase"]


def test_work_is_done_again_after_a_break(clock: Clock) -> None:
    network, events = Network(), list[Any]()
    link = LastingLink(network)
    assert link.during(work_that([BROKEN, "done"]), events.append) == "done"
    assert network.tries == 2 and network.links[0].is_closed and not network.links[1].is_closed
    assert events == [
        {"event": "phase", "name": "reconnect", "why": "the connection broke", "for_s": 600},
        {"event": "phase", "name": "reconnected", "after_s": 1.0},
    ]


def test_pauses_grow_to_a_quarter_of_a_minute(clock: Clock) -> None:
    LastingLink(Network(None, *[BROKEN] * 7)).during(work_that([BROKEN, "done"]))
    assert clock.pauses == [1, 2, 4, 8, 15, 15, 15, 15]


def test_the_first_connection_is_not_waited_for(clock: Clock) -> None:
    with pytest.raises(TransportError):
        LastingLink(Network(BROKEN))
    assert clock.pauses == []


def test_patience_ends_and_is_not_begun_again_for_what_comes_next(clock: Clock) -> None:
    network = endless(TransportError("board", "nobody answers"))
    link = LastingLink(network, patience_s=600)
    events: list[Any] = []
    with pytest.raises(TransportError, match="nobody answers"):
        link.during(work_that([BROKEN]), events.append)
    assert 585 <= clock.now - 1000 <= 600
    assert phases(events) == ["reconnect"]
    before = network.tries
    with pytest.raises(TransportError):
        link.during(work_that([]), events.append)
    assert network.tries == before + 1 and 585 <= clock.now - 1000 <= 600
    assert phases(events) == ["reconnect"]


def test_a_device_that_comes_back_is_waited_for_again(clock: Clock) -> None:
    network = Network(None, *[BROKEN] * 60)
    link = LastingLink(network, patience_s=600)
    with pytest.raises(TransportError):
        link.during(work_that([BROKEN]))
    while network.tries < 61:
        with pytest.raises(TransportError):
            link.during(work_that([]))
    assert link.during(work_that([BROKEN, "done"])) == "done"


def test_progress_renews_the_patience(clock: Clock) -> None:
    """A link that breaks every eight minutes, and brings something each time."""
    told = 0

    def tell(on_event: OnEvent) -> None:
        nonlocal told
        told += 1
        for number in range(told):
            on_event({"event": "progress", "done": number})
        clock.now += 480

    events: list[Any] = []
    assert LastingLink(Network()).during(work_that([*[BROKEN] * 5, "done"], tell), events.append) == "done"
    assert [event["done"] for event in events if event["event"] == "progress"] == [0, 1, 2, 3, 4, 5]


def test_a_connection_that_held_renews_the_patience_too(clock: Clock) -> None:
    """A job that waits for the device tells nothing for a long time."""

    def tell(on_event: OnEvent) -> None:
        clock.now += 1000

    assert LastingLink(Network()).during(work_that([*[BROKEN] * 5, "done"], tell)) == "done"


def test_one_that_breaks_at_once_each_time_does_not(clock: Clock) -> None:
    events: list[Any] = []
    with pytest.raises(TransportError):
        LastingLink(Network(), patience_s=60).during(work_that([BROKEN] * 100), events.append)
    assert clock.now - 1000 <= 60
    tried_for = [event["for_s"] for event in events if event["name"] == "reconnect"]
    assert tried_for == [60, 59, 57, 53, 45, 30, 15]


def test_each_event_is_told_once(clock: Clock) -> None:
    def tell(on_event: OnEvent) -> None:
        for number in range(3):
            on_event({"event": "progress", "done": number})

    events: list[Any] = []
    LastingLink(Network()).during(work_that([BROKEN, BROKEN, "done"], tell), events.append)
    assert [event["done"] for event in events if event["event"] == "progress"] == [0, 1, 2]


def test_what_is_not_told_again_is_told_always(clock: Clock) -> None:
    """A push goes on where it was, so that its second half has the numbers of no event before."""
    done = iter([1, 2])

    def tell(on_event: OnEvent) -> None:
        on_event({"event": "progress", "done": next(done)})

    events: list[Any] = []
    link = LastingLink(Network())
    link.during(work_that([BROKEN, "done"], tell), events.append, is_retold=False)
    assert [event["done"] for event in events if event["event"] == "progress"] == [1, 2]


@pytest.mark.parametrize("kind", [DeviceTimeout, AccessDenied, MissingRuntime])
def test_a_device_that_is_just_starting_may_refuse(clock: Clock, kind: type[DeviceError]) -> None:
    network = Network(None, kind("board", "not yet"), kind("board", "not yet"))
    assert LastingLink(network).during(work_that([BROKEN, "done"])) == "done"


def test_another_host_key_ends_it_at_once(clock: Clock) -> None:
    network = Network(None, UntrustedHost("board", "host key has CHANGED"))
    with pytest.raises(UntrustedHost):
        LastingLink(network).during(work_that([BROKEN, "done"]))
    assert len(clock.pauses) == 1


@pytest.mark.parametrize("kind", [DeviceTimeout, AgentFault, AccessDenied])
def test_other_errors_of_the_work_are_its_own(clock: Clock, kind: type[DeviceError]) -> None:
    link = LastingLink(Network())
    with pytest.raises(kind):
        link.during(work_that([kind("board", "no")]))
    assert clock.pauses == [] and link.is_open


def test_a_killed_agent_is_asked_again_over_the_same_connection(clock: Clock) -> None:
    network = Network()
    killed = AgentKilled("board", "the agent was killed")
    assert LastingLink(network).during(work_that([killed, killed, killed, "done"])) == "done"
    assert network.tries == 1 and len(clock.pauses) == 3


def test_one_that_is_always_killed_is_given_up(clock: Clock) -> None:
    with pytest.raises(AgentKilled):
        LastingLink(Network()).during(work_that([AgentKilled("board", "killed")] * 100))
    assert len(clock.pauses) == 3


def test_once_is_once(clock: Clock) -> None:
    network = Network()
    link = LastingLink(network)

    def fail(_: AgentLink) -> None:
        raise BROKEN

    with pytest.raises(TransportError):
        link.once(fail)
    assert not link.is_open and clock.pauses == []
    assert link.once(lambda _: "done") == "done"
    assert network.tries == 2 and link.is_open
