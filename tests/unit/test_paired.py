"""Two models by turns: alike is hardly ever called different, 5 % is told, and never the wrong way round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from tests.pairs import pair_launch

from edgewright.report.decision import Answer, Bounds, decide, settled
from edgewright.report.paired import ERROR, LOOK_ERROR, LOOKS, launch_ratio, look
from edgewright.report.signed_ranks import values_needed

THRESHOLD = 0.05
Floats = npt.NDArray[np.float64]
Noise = Callable[[np.random.Generator, int], Floats]


def contest(ratios: list[float]) -> tuple[Answer, int]:
    """The answer and after how many launches, as run_contest looks."""
    answer: Answer = "cannot tell"
    for number in LOOKS:
        finding = look(ratios[:number], THRESHOLD)
        answer = finding.answer
        if finding.is_settled:
            return answer, number
    return answer, LOOKS[-1]


def quiet(rng: np.random.Generator, count: int) -> Floats:
    return rng.normal(0, 0.004, count)


def placed(rng: np.random.Generator, count: int) -> Floats:
    """Where memory lies in each process moves it by 2 %."""
    return rng.normal(0, 0.02, count)


def loaded(rng: np.random.Generator, count: int) -> Floats:
    """A fifth of the launches are hit by other work, on either side."""
    return np.where(rng.random(count) < 0.2, rng.normal(0, 0.2, count), rng.normal(0, 0.01, count))


def chaotic(rng: np.random.Generator, count: int) -> Floats:
    return rng.normal(0, 0.3, count)


def simulate(truth: float, noise: Noise, trials: int) -> Counter[str]:
    rng = np.random.default_rng(7)
    return Counter(contest(list(truth * np.exp(noise(rng, LOOKS[-1]))))[0] for _ in range(trials))


def test_the_first_look_can_give_an_interval() -> None:
    assert LOOKS[0] == values_needed(LOOK_ERROR)


@pytest.mark.parametrize("noise", [quiet, placed, loaded, chaotic])
def test_alike_is_hardly_ever_called_different(noise: Noise) -> None:
    found = simulate(1.0, noise, 300)
    assert found["slower"] + found["faster"] <= (300 * ERROR if noise is chaotic else 0)
    if noise in (quiet, placed):
        assert found["same"] >= 297


@pytest.mark.parametrize(
    ("truth", "right", "wrong"), [(1.05, "slower", "faster"), (1 / 1.05, "faster", "slower")]
)
@pytest.mark.parametrize("noise", [quiet, placed])
def test_five_percent_is_told_the_right_way_round(truth: float, right: str, wrong: str, noise: Noise) -> None:
    found = simulate(truth, noise, 200)
    assert found[right] >= 195 and found[wrong] == 0


def test_a_quiet_machine_answers_at_the_first_look() -> None:
    rng = np.random.default_rng(3)
    for truth in (1.0, 1.05, 2.0):
        assert contest(list(truth * np.exp(quiet(rng, LOOKS[-1]))))[1] == LOOKS[0]


def test_less_than_half_the_threshold_is_never_called_a_difference() -> None:
    found = simulate(1.02, quiet, 200)
    assert found["same"] >= 198 and not found["slower"]


def test_as_much_as_the_threshold_is_never_called_the_same() -> None:
    for noise in (quiet, placed, loaded):
        assert simulate(1.0501, noise, 200)["same"] <= 2


@pytest.mark.parametrize(
    ("low", "high", "answer", "done"),
    [
        (1.03, 1.04, "slower", True),
        (1.026, 1.3, "slower", True),
        (0.90, 0.97, "faster", True),
        (0.99, 1.01, "same", True),
        (0.99, 1.04, "same", False),
        (1.01, 1.049, "same", False),
        (1.01, 1.06, "cannot tell", False),
        (0.90, 0.99, "cannot tell", False),
        (0.95, 1.0, "cannot tell", False),
    ],
)
def test_the_rule(low: float, high: float, answer: Answer, done: bool) -> None:
    assert decide(Bounds(low, high), THRESHOLD) == answer
    assert settled(Bounds(low, high), THRESHOLD) is done


@pytest.mark.parametrize("threshold", [0.01, 0.05, 0.5])
def test_the_rule_is_the_same_either_way_round(threshold: float) -> None:
    turned = {"slower": "faster", "faster": "slower"}
    for low, high in ((0.8, 0.9), (0.97, 1.03), (1.001, 1.2), (1.3, 1.4)):
        answer = decide(Bounds(low, high), threshold)
        assert decide(Bounds(1 / high, 1 / low), threshold) == turned.get(answer, answer)


def test_too_few_launches_cannot_tell() -> None:
    found = look([2.0] * (LOOKS[0] - 1), THRESHOLD)
    assert found.answer == "cannot tell" and found.bounds is None and found.ratio == pytest.approx(2.0)


def test_a_launch_gives_the_ratio_of_its_models() -> None:
    found = launch_ratio(pair_launch(4_000, 4_200, rounds=9))
    assert found.ratio == pytest.approx(1.05, rel=1e-3)
    assert found.a_ns == pytest.approx(4_000, rel=0.01) and found.b_ns == pytest.approx(4_200, rel=0.01)


def test_a_drift_cancels() -> None:
    found = launch_ratio(pair_launch(4_000, 4_000, rounds=11, drift=0.03))
    assert found.ratio == pytest.approx(1.0, abs=2e-3)


def test_disturbed_blocks_and_inferences_do_not_count() -> None:
    found = launch_ratio(pair_launch(4_000, 4_000, rounds=15, disturbed_blocks=0.1, disturbed_inferences=0.3))
    assert found.ratio == pytest.approx(1.0, abs=5e-3)


def test_models_that_take_longer_than_a_block_have_one_inference_in_each() -> None:
    found = launch_ratio(pair_launch(40_000_000, 42_000_000, rounds=6, per_block=1))
    assert found.ratio == pytest.approx(1.05, rel=5e-3)
