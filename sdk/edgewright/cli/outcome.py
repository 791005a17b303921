"""The exit code of a run, from its rows."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.errors import ConfigError, device_errors
from edgewright.row import Failed, Row

DONE, ROW_FAILED, BAD_USAGE, NO_DEVICE = 0, 1, 2, 3


def exit_code(rows: Sequence[Row]) -> int:
    """3 when a device was unreachable or refused, 1 when some row failed, 0 otherwise.

    2 when every row failed for what the user wrote, as when the one workload's factory raises.
    """
    return exit_code_of([row.outcome.code if isinstance(row.outcome, Failed) else None for row in rows])


def exit_code_of(errors: Sequence[str | None]) -> int:
    """The same, from each row's error code; None for one that did not fail."""
    codes = {code for code in errors if code is not None}
    if codes & _NO_DEVICE_CODES:
        return NO_DEVICE
    if codes and codes <= _BAD_USAGE_CODES and None not in errors:
        return BAD_USAGE
    return ROW_FAILED if codes else DONE


_NO_DEVICE_CODES = {code for code, kind in device_errors().items() if kind.exit_code == NO_DEVICE}
_BAD_USAGE_CODES = {
    ConfigError.__name__,
    *(code for code, kind in device_errors().items() if kind.exit_code == BAD_USAGE),
}
