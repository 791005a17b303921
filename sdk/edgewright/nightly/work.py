"""What a night is to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgewright.farm.job import Settings
from edgewright.farm.session import Run, Work

from .policy import Policy


@dataclass(frozen=True)
class NightWork:
    """What is to be measured, for which run, and how patiently.

    Attributes:
        priority: among the runs of all farms that want the same devices.
        builders: how many files can be built at a time.
    """

    work: Work
    settings: Settings
    run: Run
    policy: Policy = field(default_factory=Policy)
    priority: int = 0
    builders: int = 1
