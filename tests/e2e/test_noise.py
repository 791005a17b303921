"""The benchmark of wrong answers runs; its full figures are for a quiet machine and an hour."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/noise.py"


@pytest.mark.long
def test_it_prints_its_figures(own_home: Path) -> None:
    words = ["--pairs", "1", "--trials", "0", "--sizes", "tiny", "--budget", "4"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = dict(line.split("=") for line in done.stdout.splitlines())
    assert figures["aa_pairs"] == "1" and figures["aa_false"] == "0"
    assert figures["aa_cannot_tell"] == "1"  # ten launches do not fit into four seconds
    assert figures["ab_trials"] == figures["ab_detected"] == figures["ab_wrong"] == "0"
    assert "A/A   1 tiny-a" in done.stderr
