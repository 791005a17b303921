"""Weights are set to zero by how much they matter, and stay so while the rest is trained."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from tests import nets
from torch import nn

from edgewright.compress import ModelJob
from edgewright.compress.sparsify import Sparsify, SparsifyOptions, _lamp
from edgewright.config import parse
from edgewright.errors import CompressionError, ConfigError
from edgewright.workload import Workload


def job(module: nn.Module, *, trains: bool = True) -> ModelJob:
    training = nets.training((8,), 4, epochs=2, count=64) if trains else None
    return ModelJob(module, Workload("net", module, (nets.features(),), training=training))


def zeros(module: nn.Module) -> list[float]:
    layers = [m for m in module.modules() if isinstance(m, nn.Linear)]
    return [float((layer.weight == 0).float().mean()) for layer in layers]


@pytest.mark.parametrize("by", ["magnitude", "lamp", "obd", "random"])
@pytest.mark.parametrize("rounds", [1, 3])
def test_the_share_is_reached_and_stays(by: str, rounds: int) -> None:
    options = SparsifyOptions(amount=0.7, by=by, scope="local", rounds=rounds)  # type: ignore[arg-type]
    changed = Sparsify().apply(job(nets.Dense().eval()), options)
    assert zeros(changed.module) == pytest.approx([0.7, 0.7], abs=0.01)
    assert changed.notes == ("set 69.9 % of 768 weights to zero, retrained: 2 epochs",)


def test_magnitude_keeps_the_largest() -> None:
    module = nets.Dense(16).eval()
    first = module.layers[0]
    assert isinstance(first, nn.Linear)
    threshold = first.weight.abs().flatten().kthvalue(64).values
    kept = first.weight.abs() > threshold
    options = SparsifyOptions(amount=0.5, scope="local", by="magnitude")
    changed = Sparsify().apply(job(module, trains=False), options)
    assert torch.equal(changed.module.layers[0].weight != 0, kept)  # type: ignore[index, union-attr]
    assert changed.notes == ("set 50.0 % of 192 weights to zero, not retrained",)


def test_global_takes_more_where_weights_matter_less() -> None:
    module = nets.Dense().eval()
    with torch.no_grad():
        module.layers[2].weight.mul_(0.01)  # type: ignore[operator]
    options = SparsifyOptions(amount=0.5, by="magnitude")
    shares = zeros(Sparsify().apply(job(module, trains=False), options).module)
    assert shares[1] > 0.95 > 0.5 > shares[0]


@pytest.mark.parametrize("scope", ["local", "global"])
def test_lamp_empties_no_layer_however_small_its_weights_are(scope: Any) -> None:
    """With a share of each layer it takes the smallest; over all layers it does not see their scale."""
    shares = []
    for scale in (1.0, 1e-4):
        module = nets.Dense().eval()
        with torch.no_grad():
            module.layers[2].weight.mul_(scale)  # type: ignore[operator]
        largest = module.layers[2].weight.abs().argmax()  # type: ignore[operator]
        changed = Sparsify().apply(job(module, trains=False), SparsifyOptions(amount=0.9, scope=scope))
        shares.append(zeros(changed.module))
        assert changed.module.layers[2].weight.flatten()[largest] != 0  # type: ignore[index, union-attr]
    assert shares[0] == shares[1]
    assert max(shares[0]) < 1


def test_lamp_is_the_published_score() -> None:
    weight = torch.tensor([[3.0, -1.0], [2.0, 0.0]])
    expected = torch.tensor([[1.0, 1 / 14], [4 / 13, 0.0]])
    assert torch.allclose(_lamp(weight), expected)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8)])
def test_of_every_group_as_many_stay_as_asked(n: int, m: int) -> None:
    changed = Sparsify().apply(job(nets.Dense(64).eval()), SparsifyOptions(n=n, m=m))
    groups = changed.module.layers[2].weight.reshape(-1, m)  # type: ignore[index, union-attr]
    assert bool(((groups != 0).sum(1) <= n).all())
    assert f"in a {n}:{m} pattern" in changed.notes[0]


class Recurrent(nn.Module):
    """Two recurrent layers and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.recurrent = nn.GRU(8, 16, num_layers=2, batch_first=True)
        self.classify = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classify(self.recurrent(x[:, None])[0][:, -1])
        return scores


@pytest.mark.parametrize("by", ["magnitude", "obd"])
def test_recurrent_layers_lose_weights_but_no_biases(by: str) -> None:
    module = Recurrent().eval()
    Sparsify().apply(job(module), SparsifyOptions(amount=0.5, scope="local", by=by))  # type: ignore[arg-type]
    shares = {name: float((p == 0).float().mean()) for name, p in module.recurrent.named_parameters()}
    assert len(shares) == 8
    assert all(share == pytest.approx(0.5 if "weight" in name else 0.0) for name, share in shares.items())


@pytest.mark.parametrize("options", [{"n": 4, "m": 2}, {"n": 2}, {"m": 4}, {"amount": 1.5}, {"by": "luck"}])
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        parse(options, SparsifyOptions, "step 1")


def test_a_model_without_weights_is_an_error() -> None:
    with pytest.raises(CompressionError, match="no convolution, linear, recurrent or attention layer"):
        Sparsify().apply(job(nets.NoWeights()), SparsifyOptions())


def test_a_pattern_goes_along_the_inputs_of_each_place_of_a_kernel() -> None:
    """As kernels for it want: NVIDIA's take channels innermost."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.ConvTranspose2d(8, 6, 2)).eval()
    work = ModelJob(module, Workload("net", module, (torch.zeros(1, 3, 9, 9),)))
    changed = Sparsify().apply(work, SparsifyOptions(n=2, m=4))
    first, second, transposed = (weight.data for weight in changed.module.parameters() if weight.dim() == 4)
    assert bool((first != 0).all())
    assert bool(((second.permute(0, 2, 3, 1).reshape(-1, 4) != 0).sum(1) == 2).all())
    assert bool(((transposed.permute(1, 2, 3, 0).reshape(-1, 4) != 0).sum(1) == 2).all())
    rest = 216 / (216 + 576 + 192) * 100
    assert f"in a 2:4 pattern of inputs, {rest:.1f} % have not 4 inputs together and stay" in changed.notes[0]


def test_a_pattern_that_no_layer_has_inputs_for_is_an_error() -> None:
    with pytest.raises(CompressionError, match=r"nothing to zero .*16 is too many"):
        Sparsify().apply(job(nets.Dense(8).eval(), trains=False), SparsifyOptions(n=2, m=16))


@pytest.mark.parametrize("by", ["magnitude", "lamp", "obd"])
def test_a_weight_of_two_layers_is_one(by: str) -> None:
    module = nets.Dense(8).eval()
    tied = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    tied[2].weight = tied[0].weight
    work = ModelJob(tied, Workload("net", module, (nets.features(),), training=nets.training((8,), 4)))
    options = SparsifyOptions(amount=0.5, scope="local", by=by, fine_tune=False)  # type: ignore[arg-type]
    changed = Sparsify().apply(work, options)
    assert changed.notes == ("set 50.0 % of 96 weights to zero, not retrained",)


class Attention(nn.Module):
    """Attention as torch has it, with keys of another size or not, and a classifier."""

    def __init__(self, keys: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.keys = keys
        self.attend = nn.MultiheadAttention(8, 2, kdim=keys, batch_first=True)
        self.classify = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, None]
        scores: torch.Tensor = self.classify(self.attend(x, x[..., : self.keys], x)[0][:, 0])
        return scores


@pytest.mark.parametrize("by", ["magnitude", "lamp", "obd"])
@pytest.mark.parametrize("keys", [8, 4])
def test_attention_loses_the_weights_of_its_projections_too(by: str, keys: int) -> None:
    options = SparsifyOptions(amount=0.5, scope="local", by=by)  # type: ignore[arg-type]
    changed = Sparsify().apply(job(Attention(keys).eval()), options)
    shares = {name: float((p == 0).float().mean()) for name, p in changed.module.named_parameters()}
    projections = {name: share for name, share in shares.items() if name.endswith("proj_weight")}
    assert len(projections) == (1 if keys == 8 else 3)
    assert all(share == pytest.approx(0.5) for share in projections.values())
    count = 3 * 64 + 64 + 32 - (8 - keys) * 8
    assert changed.notes[0].startswith(f"set 50.0 % of {count} weights to zero")


def test_attention_has_patterns_along_its_inputs() -> None:
    changed = Sparsify().apply(job(Attention(8).eval()), SparsifyOptions(n=2, m=4))
    weight = changed.module.get_parameter("attend.in_proj_weight")
    assert bool(((weight.reshape(-1, 4) != 0).sum(1) == 2).all())


def parametrized() -> nn.Module:
    """Layers of 64, 64 and 32 weights, of which the second one's are computed."""
    torch.manual_seed(0)
    second = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
    return nn.Sequential(nn.Linear(8, 8), second, nn.Linear(8, 4)).eval()


@pytest.mark.parametrize("scope", ["global", "local"])
def test_weights_that_are_computed_stay_and_count(scope: Any) -> None:
    module = parametrized()
    changed = Sparsify().apply(job(module, trains=False), SparsifyOptions(amount=0.5, scope=scope))
    assert changed.notes == (
        "set 30.0 % of 160 weights to zero, not retrained",
        "left dense, since their weights are computed anew in every run: 1, 64 weights",
    )
    assert sum(int((p == 0).sum()) for p in changed.module.parameters() if p.dim() == 2) == 48


@pytest.mark.parametrize("named", [True, False])
def test_nothing_but_weights_that_are_computed_is_an_error(named: bool) -> None:
    module = parametrized() if named else nn.Sequential(parametrized()[1])  # type: ignore[index]
    options = SparsifyOptions(layers=("0", "1") if named else ())
    said = f"the weights of '{int(named)}' are computed anew whenever it runs.*remove_parametrizations"
    with pytest.raises(CompressionError) as error:
        Sparsify().apply(job(module, trains=False), options)
    assert re.search(said, str(error.value))


def test_weights_of_the_older_weight_norm_stay_too() -> None:
    """Zeros among its lengths would empty whole rows."""
    with pytest.warns(FutureWarning, match="deprecated"):
        second = nn.utils.weight_norm(nn.Linear(8, 8))
    module = nn.Sequential(nn.Linear(8, 8), second)
    changed = Sparsify().apply(job(module, trains=False), SparsifyOptions(amount=0.5))
    assert changed.notes[0] == "set 25.0 % of 128 weights to zero, not retrained"
    assert bool((changed.module.get_parameter("1.weight_g") != 0).all())


@pytest.mark.parametrize("by", ["magnitude", "lamp", "obd"])
@pytest.mark.parametrize("scope", ["global", "local"])
@pytest.mark.parametrize("amount", [0.3, 0.6])
def test_of_equal_weights_as_many_go_as_asked(by: Any, scope: Any, amount: float) -> None:
    module = nets.Dense(32).eval()
    layers = [layer for layer in module.layers if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.sign_()
    options = SparsifyOptions(amount=amount, by=by, scope=scope, fine_tune=False)
    Sparsify().apply(job(module), options)
    zeros = [int((layer.weight == 0).sum()) for layer in layers]
    if scope == "global":
        assert sum(zeros) == int(amount * (8 * 32 + 32 * 4))
    else:
        assert zeros == [int(amount * 8 * 32), int(amount * 32 * 4)]


def test_of_equal_weights_those_that_go_are_spread() -> None:
    module = nets.Dense(32).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.sign_()
    Sparsify().apply(job(module, trains=False), SparsifyOptions(amount=0.5, by="magnitude"))
    assert all(0.3 < share < 0.7 for share in zeros(module))


def test_zeros_stay_however_few_are_asked_for() -> None:
    module = nets.Dense(32).eval()
    first = module.layers[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.weight[::2] = 0
    Sparsify().apply(job(module), SparsifyOptions(amount=0.1))
    assert bool((first.weight[::2] == 0).all())


@pytest.mark.parametrize(
    "options", [{"by": "magnitude"}, {"by": "lamp"}, {"by": "obd"}, {"n": 2, "m": 4}], ids=str
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(options: Any, value: float) -> None:
    module = nets.Dense().eval()
    with torch.no_grad():
        module.get_parameter("layers.2.weight")[0, :3] = value
    with pytest.raises(
        CompressionError, match=r"3 of the 256 weights of 'layers\.2\.weight' are NaN or infinite"
    ):
        Sparsify().apply(job(module), SparsifyOptions(**options))


class Standardised(nn.Linear):
    """Multiplies by weights whose mean is zero, among which a zero is none."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(input, self.weight - self.weight.mean(1, keepdim=True), self.bias)


class Scaled(nn.Linear):
    """Multiplies by other weights too, in which zeros stay."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(input, weight=self.weight / self.weight.abs().max(), bias=self.bias)


class Clamped(nn.Linear):
    """Does something before, and multiplies by its weights as they are."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(input.clamp(-6, 6), self.weight, self.bias)


def test_a_forward_that_fills_zeros_is_found_by_running_it() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(Clamped(8, 8), Standardised(8, 8), Scaled(8, 8), nn.Linear(8, 4)).eval()
    weight = module.get_parameter("1.weight").detach().clone()
    changed = Sparsify().apply(job(module, trains=False), SparsifyOptions(amount=0.5, scope="local"))
    assert changed.notes == (
        "set 35.7 % of 224 weights to zero, not retrained",
        "left dense, since their weights are computed anew in every run: 1, 64 weights",
    )
    assert torch.equal(changed.module.get_parameter("1.weight"), weight)
    assert int((changed.module.get_parameter("2.weight") == 0).sum()) == 32
    assert not any(layer._forward_pre_hooks for layer in module)
    with pytest.raises(CompressionError, match=r"the weights of '1' are computed anew .* its own forward"):
        Sparsify().apply(job(module, trains=False), SparsifyOptions(layers=("1",)))
