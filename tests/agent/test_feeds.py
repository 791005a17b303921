"""What goes into a model: made-up inputs, sizes and values from the user, and refusal of wrong ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_agent import memory
from edgewright_agent.failure import AgentFailure
from edgewright_agent.feeds import Feeds
from edgewright_agent.protocol import TensorSpec

IMAGE = TensorSpec("image", "float32", (1, 3, 8, 8))
TOKENS = TensorSpec("tokens", "int64", ("batch", "length"))
MASK = TensorSpec("mask", "bool", ("batch", "length"))
RATE = TensorSpec("rate", "int64", ())
PIXELS = TensorSpec("pixels", "uint8", (64, 64))
TEXT = TensorSpec("text", "str", (2,))
WAVES = TensorSpec("waves", "complex64", (16,))


def one(spec: TensorSpec, text: str) -> Any:
    return Feeds({spec.name: np.asarray(text)}).complete((spec,), 0)[spec.name]


def test_inputs_are_made_from_the_signature_and_the_seed() -> None:
    first, again, other = (Feeds().complete((IMAGE, RATE), seed) for seed in (1, 1, 2))
    assert first["image"].shape == (1, 3, 8, 8) and first["image"].dtype == np.float32
    assert first["rate"].shape == () and first["rate"].dtype == np.int64
    assert np.array_equal(first["image"], again["image"])
    assert not np.array_equal(first["image"], other["image"])


def test_pixels_span_their_range_and_wider_integers_stay_small() -> None:
    made = Feeds({}, {"tokens": (50, 50)}).complete((PIXELS, TOKENS, WAVES), 0)
    assert made["pixels"].min() < 10 and made["pixels"].max() > 245
    assert set(np.unique(made["tokens"])) == {0, 1}
    assert made["waves"].dtype == np.complex64 and made["waves"].imag.any()


def test_every_open_dimension_is_named_at_once_with_sizes_to_start_from() -> None:
    with pytest.raises(AgentFailure) as caught:
        Feeds({}, {"tokens": (4, 7)}).sizes((TOKENS, MASK, TensorSpec("a b", "float32", ("?", 3))))
    error = caught.value.error
    assert error.code == "invalid-input"
    assert error.message == (
        "input mask: bool[batch x length] has dynamic dimensions: batch (axis 0), length (axis 1); "
        "input a b: float32[? x 3] has dynamic dimensions: ? (axis 0)"
    )
    assert error.mend == "give their sizes, for example --shape mask:4x7 --shape 'a b:1x3'"


def test_sizes_come_from_shapes_and_from_arrays() -> None:
    feeds = Feeds({"mask": np.ones((2, 5), bool)}, {"tokens": (2, 7)})
    assert feeds.sizes((TOKENS, MASK)) == {"tokens": (2, 7), "mask": (2, 5)}


@pytest.mark.parametrize(
    ("shapes", "arrays", "text"),
    [
        ({"imag": (1, 3, 8, 8)}, {}, "--shape: the model has no input 'imag'"),
        ({"image": (1, 3, 9, 8)}, {}, "--shape image:1x3x9x8 does not fit"),
        ({"image": (1, 3, 8)}, {}, "does not fit"),
        ({"image": ()}, {}, "--shape image:scalar does not fit"),
        ({}, {"bogus": np.zeros(3)}, "--input: the model has no input 'bogus'"),
        ({}, {"image": np.zeros((1, 3, 8, 8))}, r"cannot take float64\[1 x 3 x 8 x 8\]"),
        ({}, {"image": np.zeros((3, 8, 8), np.float32)}, r"cannot take float32\[3 x 8 x 8\]"),
        ({"tokens": (2, 3)}, {"tokens": np.zeros((2, 4), np.int64)}, "was given and --shape says 2x3"),
        ({}, {"#7": np.zeros(3)}, "8 inputs were given, the model has 3"),
        ({}, {"rate": np.asarray(1.5)}, "cannot hold 1.5"),
        ({}, {"rate": np.asarray(1j)}, "cannot hold 1j"),
        ({}, {"tokens": np.asarray([["a"]])}, "cannot take <U1"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(shapes: Any, arrays: Any, text: str) -> None:
    with pytest.raises(AgentFailure, match=text) as caught:
        Feeds(arrays, {"tokens": (1, 1), **shapes} if "tokens" not in arrays else shapes).sizes(
            (IMAGE, RATE, TOKENS)
        )
        Feeds(arrays, {"tokens": (1, 1)}).complete((IMAGE, RATE, TOKENS), 0)
    assert caught.value.error.code == "invalid-input"


def test_one_number_fills_an_input_and_a_position_stands_for_a_name() -> None:
    made = Feeds({"image": np.asarray("2"), "#1": np.asarray("16000")}).complete((IMAGE, RATE), 0)
    assert made["image"].dtype == np.float32 and (made["image"] == 2).all()
    assert made["rate"] == 16000 and made["rate"].shape == ()


def test_a_name_that_looks_like_a_position_is_a_name() -> None:
    specs = (RATE, TensorSpec("#0", "int64", ()))
    assert Feeds({"#0": np.asarray("7")}).complete(specs, 0)["#0"] == 7


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        ("int64", str((1 << 63) - 1), (1 << 63) - 1),
        ("int32", "-5", -5),
        ("int64", "1e3", 1000),
        ("uint8", "255", 255),
        ("float16", "0.5", 0.5),
        ("float32", "inf", np.inf),
        ("bool", "True", True),
        ("bool", "0", False),
        ("complex64", "1+2j", 1 + 2j),
        ("str", "007", "007"),
    ],
)
def test_text_is_read_as_the_input_s_type(dtype: str, text: str, value: Any) -> None:
    made = one(TensorSpec("x", dtype, (2,)), text)
    assert made.shape == (2,) and (made == value).all()
    assert made.dtype == np.dtype(dtype) or dtype == "str"


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        ("int64", "fast"),
        ("int64", ""),
        ("int64", "1.5"),
        ("int64", str(1 << 63)),
        ("int64", "nan"),
        ("int32", str(1 << 31)),
        ("uint8", "-1"),
        ("uint8", "256"),
        ("float32", "1e99"),
        ("float16", "1e5"),
        ("float32", "one"),
        ("bool", "2"),
        ("bool", "yes"),
    ],
)
def test_what_a_type_cannot_hold_is_refused_with_a_way_out(dtype: str, text: str) -> None:
    with pytest.raises(AgentFailure) as caught:
        one(TensorSpec("my x", dtype, ()), text)
    error = caught.value.error
    assert error.message == f"input my x: {dtype}[] cannot hold {text!r}"
    assert error.mend == "write --input 'my x'=NUMBER or --input 'my x'=FILE.npy"


@given(
    st.text(max_size=30), st.sampled_from(["int8", "int64", "float16", "float64", "bool", "complex64", "str"])
)
def test_any_text_is_a_value_or_a_refusal(text: str, dtype: str) -> None:
    try:
        made = one(TensorSpec("x", dtype, ()), text)
    except AgentFailure as failure:
        assert failure.error.code == "invalid-input"
    else:
        assert made.shape == ()


def test_text_is_never_made_up() -> None:
    with pytest.raises(AgentFailure, match="no text can be made up"):
        Feeds().complete((TEXT,), 0)


@pytest.mark.parametrize("dtype", ["seq(tensor(float))", "tensor(bfloat16)", "optional(tensor(float))"])
def test_types_that_numpy_lacks_are_the_model_s_doing(dtype: str) -> None:
    with pytest.raises(AgentFailure, match="only tensors of numpy's types can be fed") as caught:
        Feeds().complete((TensorSpec("x", dtype, ()),), 0)
    assert caught.value.error.code == "model-rejected"


def test_an_input_of_unknown_rank_takes_the_shape_it_is_given() -> None:
    spec = TensorSpec("x", "float32", ())
    assert Feeds({}, {"x": (2, 3)}).complete((spec,), 0)["x"].shape == (2, 3)


def test_inputs_beyond_the_memory_there_is_are_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(AgentFailure) as caught:
        Feeds({}, {"tokens": (10, 100)}).complete((TOKENS,), 0)
    assert caught.value.error.code == "out-of-memory"
    assert caught.value.error.message == (
        "the inputs int64[10 x 100] need 16000 bytes of memory, and 1000 are available"
    )
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    assert Feeds({}, {"tokens": (10, 100)}).complete((TOKENS,), 0)["tokens"].size == 1000
