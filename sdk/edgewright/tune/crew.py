"""Who does the work of a search: who builds, who measures, who keeps; benchmarks bring their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from edgewright.errors import EdgewrightError

from .figures import Built, Figures
from .question import Place, Tried
from .setting import Setting

#: Why a measurement need not be gone on with, given its first launch; empty to go on.
Hopeless = Callable[[Figures], str]


@dataclass(frozen=True)
class Taken:
    """What came of measuring; ``figures`` is None when it failed, and ``reason`` says why."""

    state: Literal["measured", "stopped", "failed"]
    figures: Figures | None = None
    reason: str = ""
    row: Place | None = None


class Builder(Protocol):
    """Builds the files of settings, one after the other."""

    def begin(self, setting: Setting) -> None:
        """Have it built, now or in a while."""

    def result(self, setting: Setting) -> Built | EdgewrightError:
        """Wait until it is built; the error when it cannot be."""


class Rig(Protocol):
    """One device.

    Attributes:
        overlaps: whether this host may build while the device measures: not where they are the same.
    """

    overlaps: bool

    def explore(self, setting: Setting, built: Built, hopeless: Hopeless) -> Taken:
        """Measure quickly; what was measured under the same conditions is not measured again.

        Raises:
            DeviceError: the device is gone.
        """

    def finals(self, settings: Sequence[tuple[Setting, Built]]) -> list[Taken]:
        """Measure in turn, with all the effort.

        Raises:
            DeviceError: the device is gone.
        """

    def known(self, place: Place) -> Figures | None:
        """A measurement that was taken before; None when it is not there any more."""


class Journal(Protocol):
    """Keeps what was tried."""

    def tried(self) -> Sequence[Tried]:
        """All of it, in the order in which it was begun."""

    def put(self, tried: Tried) -> None:
        """Keep it, in place of what was kept of it; when this returns it is safe."""


@dataclass(frozen=True)
class Crew:
    """All of them, and who is told what goes on."""

    builder: Builder
    rig: Rig
    journal: Journal
    say: Callable[[str], None]
    is_over: Callable[[], bool] = lambda: False
