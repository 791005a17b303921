"""How far a device's clock is from the host's, by asking and waiting for the answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClockBounds:
    """By how much the host's monotonic clock is ahead of the device's, in nanoseconds: at least and at most.

    What the device says lies between the moment it was asked and the moment its answer was there. So each
    exchange bounds the difference from both sides: it is in the middle, within half a round trip.
    """

    low_ns: int
    high_ns: int

    @classmethod
    def of(cls, asked_ns: int, told_ns: int, answered_ns: int) -> ClockBounds:
        """From one exchange: the host's time, the device's, the host's."""
        return cls(asked_ns - told_ns, answered_ns - told_ns)

    @property
    def middle_ns(self) -> int:
        """The best guess."""
        return (self.low_ns + self.high_ns) // 2

    @property
    def half_ns(self) -> int:
        """How far off it may be."""
        return (self.high_ns - self.low_ns + 1) // 2

    def narrowed(self, other: ClockBounds) -> ClockBounds:
        """Both at about the same time; where they contradict each other, all that either allows."""
        low, high = max(self.low_ns, other.low_ns), min(self.high_ns, other.high_ns)
        return ClockBounds(low, high) if low <= high else self.widened(other)

    def widened(self, other: ClockBounds) -> ClockBounds:
        """Whatever happened between the two."""
        return ClockBounds(min(self.low_ns, other.low_ns), max(self.high_ns, other.high_ns))


#: A device that is this machine has this machine's clock.
SAME_CLOCK = ClockBounds(0, 0)
