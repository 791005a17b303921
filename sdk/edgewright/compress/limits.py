"""What pruning may not take: layers that stay whole, and how many channels of the others stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Reason = Literal["fails", "moves", "parametrized", "output"]

#: Why channels stay, in words that follow "since".
WHY: dict[Reason, str] = {
    "fails": "the model fails without a part of them",
    "moves": "the model's code reorders or mixes them",
    "parametrized": "weights are parametrized there",
    "output": "they are the model's outputs",
}


@dataclass(frozen=True)
class Whole:
    """A group of layers that stays whole: its first layer, all of them, and why."""

    name: str
    members: tuple[str, ...]
    reason: Reason

    @property
    def why(self) -> str:
        """See :data:`WHY`."""
        return WHY[self.reason]


@dataclass(frozen=True)
class Limits:
    """How many channels stay at least, by layer, and the layers that keep all."""

    least: Mapping[str, int]
    whole: tuple[Whole, ...] = ()

    def reasons(self) -> list[tuple[str, str]]:
        """Why channels stay, and those of which layers; of outputs nobody has to be told."""
        named: dict[str, list[str]] = {}
        for one in self.whole:
            if one.reason != "output":
                named.setdefault(one.why, []).append(one.name)
        return [(why, ", ".join(names)) for why, names in named.items()]
