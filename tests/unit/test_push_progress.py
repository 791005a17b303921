"""What a person is told while files are sent."""

from __future__ import annotations

from typing import Any

import pytest

from edgewright.cli.phases import notice, phase_text

EVENT = {"event": "progress", "done": 25_000_000, "of": 100_000_000, "unit": "bytes", "sent": 7}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "sending files: 25.0 MB of 100 MB"),
        (
            {"rate_bytes_per_s": 2.5e6, "left_s": 30.2},
            "sending files: 25.0 MB of 100 MB, 2.50 MB/s, 30 s left",
        ),
        (
            {"rate_bytes_per_s": 1e5, "left_s": 754.0},
            "sending files: 25.0 MB of 100 MB, 100 kB/s, 12 min 34 s left",
        ),
        ({"done": "\x1b[31m"}, ""),
        ({"of": None}, ""),
        ({"rate_bytes_per_s": "much", "left_s": 1.0}, "sending files: 25.0 MB of 100 MB"),
    ],
)
def test_how_much_how_fast_and_how_long(more: dict[str, Any], text: str) -> None:
    assert phase_text({**EVENT, **more}) == text


def test_a_second_push_is_said_with_its_reason() -> None:
    event = {"event": "phase", "name": "push-again", "why": "arrived\x1b damaged"}
    assert notice(event) == "arrived\N{REPLACEMENT CHARACTER} damaged; sending it again as a whole"
