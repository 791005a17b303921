"""Made-up inputs, refusal of wrong ones, and how near two sets of outputs are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from hypothesis.extra.numpy import arrays as any_array

from edgewright_agent import arrays
from edgewright_agent.failure import AgentFailure
from edgewright_agent.protocol import TensorSpec, Tolerance

IMAGE = TensorSpec("image", "float32", (1, 3, 8, 8))
TOKENS = TensorSpec("tokens", "int64", ("batch", "length"))
RATE = TensorSpec("rate", "int64", ())


def test_inputs_are_made_from_the_signature_and_the_seed() -> None:
    first = arrays.complete_inputs({}, (IMAGE, RATE), {}, seed=1)
    again = arrays.complete_inputs({}, (IMAGE, RATE), {}, seed=1)
    other = arrays.complete_inputs({}, (IMAGE, RATE), {}, seed=2)
    assert first["image"].shape == (1, 3, 8, 8) and first["image"].dtype == np.float32
    assert first["rate"].shape == () and first["rate"].dtype == np.int64
    assert np.array_equal(first["image"], again["image"])
    assert not np.array_equal(first["image"], other["image"])


def test_a_dynamic_dimension_is_named_with_its_mend() -> None:
    with pytest.raises(AgentFailure, match=r"tokens.*batch \(axis 0\), length \(axis 1\)") as caught:
        arrays.complete_inputs({}, (TOKENS,), {}, 0)
    assert caught.value.error.mend == "give their sizes, for example --shape tokens:1x1"
    assert caught.value.error.code == "invalid-input"


def test_a_size_given_for_a_dynamic_dimension_is_used() -> None:
    made = arrays.complete_inputs({}, (TOKENS,), {"tokens": (2, 7)}, 0)["tokens"]
    assert made.shape == (2, 7) and set(np.unique(made)) <= {0, 1}


@pytest.mark.parametrize(
    ("shapes", "given_inputs", "text"),
    [
        ({"imag": (1, 3, 8, 8)}, {}, "no input 'imag'"),
        ({"image": (1, 3, 9, 8)}, {}, "--shape image:1x3x9x8 does not fit"),
        ({"image": (1, 3, 8)}, {}, "does not fit"),
        ({}, {"bogus": np.zeros(3)}, "no input 'bogus'"),
        ({}, {"image": np.zeros((1, 3, 8, 8))}, r"cannot take float64\[1 x 3 x 8 x 8\]"),
        ({}, {"image": np.zeros((3, 8, 8), np.float32)}, r"cannot take float32\[3 x 8 x 8\]"),
        ({}, {"#7": np.zeros(3)}, "8 inputs were given, the model has 2"),
        ({}, {"rate": np.asarray(1.5)}, "cannot hold 1.5"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(shapes: Any, given_inputs: Any, text: str) -> None:
    with pytest.raises(AgentFailure, match=text):
        arrays.complete_inputs(given_inputs, (IMAGE, RATE), shapes, 0)


def test_one_number_fills_an_input() -> None:
    made = arrays.complete_inputs({"image": np.asarray(2), "#1": np.asarray(16000)}, (IMAGE, RATE), {}, 0)
    assert made["image"].dtype == np.float32 and (made["image"] == 2).all()
    assert made["rate"] == 16000


def test_nan_outputs_are_refused_unless_nan_went_in() -> None:
    bad = {"y": np.array([1.0, np.nan])}
    with pytest.raises(AgentFailure, match="'y' holds 1 NaN of 2 values"):
        arrays.refuse_nan(bad, {"x": np.zeros(1)})
    arrays.refuse_nan(bad, {"x": np.array([np.nan])})


def test_equal_outputs_are_at_parity_with_infinities() -> None:
    same = {"y": np.array([[1.0, -np.inf, np.inf]]), "k": np.array(["a", "b"]), "n": np.zeros(3)}
    worst, _ = arrays.compare(same, same)
    assert (worst.cosine, worst.max_abs, worst.sqnr_db) == (1.0, 0.0, None)


def test_garbage_is_not_at_parity() -> None:
    rng = np.random.default_rng(0)
    a, b = ({"y": rng.standard_normal((1, 1000))} for _ in range(2))
    worst, each = arrays.compare(a, b)
    assert abs(worst.cosine) < 0.2 and worst.top1_agreement in (0.0, 1.0)
    assert not arrays.within(each["y"], Tolerance(0.98, 1e-5))


def test_one_lost_tensor_and_another_shape_are_named() -> None:
    with pytest.raises(AgentFailure, match="'y' is missing"):
        arrays.compare({}, {"y": np.zeros(2)})
    with pytest.raises(AgentFailure, match=r"'y' has shape \(3,\) on the device, \(2,\) on the host"):
        arrays.compare({"y": np.zeros(3)}, {"y": np.zeros(2)})


@given(any_array(np.float32, array_shapes(max_dims=3)), st.data())
def test_figures_stay_in_their_range_whatever_is_compared(want: Any, data: st.DataObject) -> None:
    got = data.draw(any_array(np.float32, want.shape))
    worst, _ = arrays.compare({"y": got}, {"y": want})
    assert -1.0 <= worst.cosine <= 1.0 and worst.max_abs >= 0 and np.isfinite(worst.max_abs)
    assert worst.sqnr_db is None or np.isfinite(worst.sqnr_db)


def test_arrays_survive_a_file_and_pickles_are_refused(tmp_path: Any) -> None:
    path = str(tmp_path / "a.npz")
    arrays.save(path, {"x": np.arange(3)})
    assert np.array_equal(arrays.load(path)["x"], np.arange(3))
    np.savez(path, x=np.array([{}], dtype=object))
    with pytest.raises(AgentFailure, match="not a readable"):
        arrays.load(path)
