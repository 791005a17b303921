"""Which execution providers a job asks for: the user's choice, or else the profile's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from edgewright.errors import ConfigError
from edgewright.profile import DeviceProfile
from edgewright.providers import provider_name
from edgewright_agent import protocol as wire


@dataclass(frozen=True)
class Asked:
    """What the user named; nothing when the profile decides, all of whose providers are preferred.

    A required provider must execute, and beside it nothing that was not named; a preferred one is tried,
    and the row's verdict tells whether it executed (docs/measuring.md, R10).
    """

    required: tuple[str, ...] = ()
    preferred: tuple[str, ...] = ()

    @classmethod
    def parse(cls, required: Sequence[str], preferred: Sequence[str], runtime: str) -> Self:
        """The names as the runtime knows them.

        Raises:
            ConfigError: an unknown name, or one named twice.
        """
        names = [provider_name(text, runtime) for text in (*required, *preferred)]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"provider {name} is named twice")
        return cls(tuple(names[: len(required)]), tuple(names[len(required) :]))

    def order(self, runtime: str, profile: DeviceProfile) -> tuple[str, ...]:
        """All providers asked for, in the order to try them."""
        return (*self.required, *self.preferred) or profile.runtimes[runtime].providers

    def execution(self, runtime: str, profile: DeviceProfile, threads: int) -> wire.Execution:
        """How to run a model, with the profile's options for the providers asked for."""
        order = self.order(runtime, profile)
        options = profile.runtimes[runtime].options
        return wire.Execution(
            runtime=runtime,
            providers=order,
            threads=threads,
            provider_options={name: dict(options[name]) for name in order if name in options},
            required=self.required,
        )
