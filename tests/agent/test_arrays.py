"""Files of arrays, outputs that are no numbers, and how near two sets of outputs are."""

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
from edgewright_agent.protocol import Tolerance


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


def test_complex_outputs_count_in_both_parts() -> None:
    want = {"y": np.array([1 + 1j, 2 - 1j], np.complex64)}
    worst, _ = arrays.compare({"y": np.array([1 + 1j, 2 + 1j], np.complex64)}, want)
    assert worst.max_abs == 2 and worst.cosine < 0.9
    with pytest.raises(AgentFailure, match="1 NaN of 1"):
        arrays.refuse_nan({"y": np.array([complex(0, np.nan)])}, {})


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


def test_next_to_nothing_against_infinity_has_a_ratio() -> None:
    worst, _ = arrays.compare({"y": np.array([np.inf], np.float32)}, {"y": np.array([1e-44], np.float32)})
    assert worst.sqnr_db is not None and worst.sqnr_db < -3000


@pytest.mark.parametrize("name", ["file", "allow_pickle", "a/b c:0", "../up", "/root", "x.npy", "arr_0", "ü"])
def test_any_name_survives_a_file(tmp_path: Any, name: str) -> None:
    path = str(tmp_path / "a.npz")
    arrays.save(path, {name: np.arange(3), "text": np.array(["a", "bc"])})
    back = arrays.load(path)
    assert list(back) == [name, "text"] and back["text"].tolist() == ["a", "bc"]
    arrays.save(path, {})
    assert arrays.load(path) == {}


def test_arrays_survive_a_file_and_pickles_are_refused(tmp_path: Any) -> None:
    path = str(tmp_path / "a.npz")
    arrays.save(path, {"x": np.arange(3)})
    assert np.array_equal(arrays.load(path)["x"], np.arange(3))
    np.savez(path, x=np.array([{}], dtype=object))
    with pytest.raises(AgentFailure, match="not a readable"):
        arrays.load(path)
