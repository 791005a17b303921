"""The wire: what is sent comes back equal, and anything else is refused with its path."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_agent import codec
from edgewright_agent.protocol import (
    Environment,
    Execution,
    FileRef,
    Job,
    Model,
    Samples,
    Scenario,
    TensorSpec,
    Timing,
    WireError,
    decode,
    encode,
)

int64 = st.integers(-(1 << 63), (1 << 63) - 1)


def over_the_wire(value: Any) -> Any:
    return decode(type(value), json.loads(json.dumps(encode(value), allow_nan=False)))


@given(st.lists(int64, max_size=200), st.lists(int64, max_size=3))
def test_timing_survives_the_wire(latency: list[int], warmup: list[int]) -> None:
    timing = Timing(1, 2, Samples(warmup), Samples(latency), 3)
    assert over_the_wire(timing) == timing


@given(
    st.builds(
        Job,
        st.text(max_size=20),
        st.builds(Model, st.tuples(st.builds(FileRef, st.text(), st.text(), int64)), st.just("onnx")),
        st.builds(
            Execution,
            st.text(),
            st.lists(st.text()).map(tuple),
            int64,
            st.lists(int64).map(tuple),
            st.dictionaries(st.text(), st.dictionaries(st.text(), st.text())),
        ),
        scenario=st.none() | st.builds(Scenario),
    )
)
def test_jobs_survive_the_wire(job: Job) -> None:
    assert over_the_wire(job) == job


def test_dimensions_are_sizes_or_symbols() -> None:
    spec = TensorSpec("x", "float32", (1, "batch", 3))
    assert over_the_wire(spec) == spec


def test_a_long_run_of_samples_is_packed() -> None:
    packed = encode(Samples(range(10_000)))
    assert len(json.dumps(packed)) < 40_000


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ([], "Timing: expected an object"),
        ({"load_ns": 1}, "missing key 'first_ns'"),
        ({"load_ns": True}, "Timing.load_ns: expected int, got bool"),
        ({"load_ns": 1.5}, "Timing.load_ns: expected int, got float"),
        ({"load_ns": 1 << 63}, "Timing.load_ns: integer out of 64-bit range"),
        ({"bogus": 1}, "unknown key 'bogus'"),
        ({"load_ns": 1, "first_ns": 1, "warmup_ns": [1.0]}, "Timing.warmup_ns: samples must be"),
        (
            {"load_ns": 1, "first_ns": 1, "warmup_ns": {"i64z": "?"}},
            "Timing.warmup_ns: packed samples are damaged",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(data: Any, path: str) -> None:
    with pytest.raises(WireError, match=path.replace("(", r"\(")):
        decode(Timing, data)


def test_a_small_message_cannot_expand_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_SAMPLES", 1000)
    bomb = base64.b64encode(zlib.compress(bytes(8 * 1001))).decode()
    with pytest.raises(WireError, match="more than 1000"):
        decode(
            Timing,
            {"load_ns": 1, "first_ns": 1, "warmup_ns": {"i64z": bomb}, "latency_ns": [], "duration_ns": 1},
        )


def test_texts_are_bounded() -> None:
    with pytest.raises(WireError, match=r"Environment.power_mode: text longer"):
        decode(Environment, {"t_ns": 0, "power_mode": "x" * (codec.MAX_TEXT + 1)})


@given(
    st.recursive(
        st.none() | st.booleans() | int64 | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_no_answer_of_a_device_raises_anything_else(data: Any) -> None:
    for kind in (Job, Timing, Environment, TensorSpec):
        try:
            decode(kind, data)
        except WireError:
            continue
