"""Quantization-aware training: what is rounded where, one training for both formats, integer files."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tests import nets
from tests.plain_runner import plain_run
from torch import nn

from edgewright.build import Plan, build
from edgewright.compress import Changed, FileJob, ModelJob, checkpoint, tuning
from edgewright.compress.qat import Qat, QatOptions
from edgewright.compress.qat_fakes import Activation, Bias, Phase, Weight
from edgewright.compress.qat_graph import Simulation, fold_norms
from edgewright.compress.qat_training import recognised
from edgewright.compress.quantize import Quantize, QuantizeOptions
from edgewright.compress.tuning import Tuning
from edgewright.errors import CompressionError, ConfigError, UnsupportedError
from edgewright.export import Request, exporter, formats
from edgewright.profiles import load_profile
from edgewright.recipe import Recipe, load_recipe
from edgewright.workload import Array, Training, Workload
from edgewright.workload_check import torch_outputs
from edgewright.workloads import WorkloadSource

X86, ARM = load_profile("x86-64-linux"), load_profile("raspberry-pi-5")
TRAINING = nets.training((3, 16, 16), 5, epochs=2, count=64)


class Norms(nn.Module):
    """Normalisations, one of them after no convolution, dropout, and a sum in place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(8, affine=False)
        self.alone = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.classify = nn.Linear(8, 5)
        for norm in (self.norm, self.norm2, self.alone):
            for name in ("running_mean", "running_var"):
                norm.get_buffer(name).uniform_(0.5, 2.0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu_(self.norm(self.first(image)))
        y = self.norm2(self.second(x))
        y += x
        y = self.alone(y).relu().mean((2, 3))
        scores: torch.Tensor = self.classify(self.drop(y))
        return scores


def trained(module: nn.Module, options: QatOptions | None = None, **more: Any) -> Changed:
    workload = Workload("net", module, (nets.image(),), training=more.pop("training", TRAINING))
    return Qat().apply(ModelJob(copy.deepcopy(module).eval(), workload, **more), options or QatOptions())


@pytest.fixture(scope="module")
def plain() -> Changed:
    return trained(nets.Residual(16))


def simulation(changed: Changed) -> Simulation:
    assert changed.finish is not None
    made = changed.finish.simulated
    assert isinstance(made, Simulation)
    return made


def written(changed: Changed, format: str, folder: Path, profile: Any = X86) -> tuple[Path, Path]:
    """The plain export and the finished file."""
    source, out = folder / f"plain.{format}", folder / f"finished.{format}"
    names = tuple(torch_outputs(changed.module, (nets.image(),), "test"))
    for parameter in changed.module.parameters():
        parameter.requires_grad_(False)
    exporter(format).export(Request(changed.module, (nets.image(),), names), source)
    assert changed.finish is not None
    samples = tuple(tuple(t.numpy() for t in sample) for sample in changed.finish.samples)
    changed.finish.write(FileJob(source, out, format, samples, profile))
    return source, out


def cosine(a: Array, b: Array) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def test_activations_are_rounded_to_256_levels_of_which_zero_is_one() -> None:
    phase = Phase(observes=True, rounds=False)
    rounding = Activation("x", phase)
    values = torch.linspace(-1.0, 3.0, 1001)
    assert torch.equal(rounding(values), values)
    phase.observes, phase.rounds = False, True
    rounded = rounding(values)
    assert len(rounded.unique()) == 256 and 0.0 in rounded
    assert float((rounded - values).abs().max()) <= 0.5001 * 4 / 255 + 4 / 255 / 2
    assert rounding(torch.tensor([9.0])) == rounded.max()


def test_a_range_that_is_infinite_rounds_nothing() -> None:
    phase = Phase(observes=True, rounds=False)
    rounding = Activation("x", phase)
    values = torch.tensor([0.3, -torch.inf])
    rounding(values)
    phase.observes, phase.rounds = False, True
    assert torch.equal(rounding(values), values)


@pytest.mark.parametrize(("bits", "most"), [(8, 127), (7, 64)])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_weights_lie_on_a_grid_that_is_found_again(bits: int, most: int, axis: int | None) -> None:
    rounding = Weight(axis, bits, Phase())
    weight = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    rounded = rounding(weight)
    steps = rounding.scale(weight).reshape((-1, 1) if axis == 0 else (1, -1))
    codes = rounded / steps
    assert torch.allclose(codes, codes.round(), atol=1e-3)
    assert float(codes.abs().max()) == pytest.approx(most)
    assert torch.allclose(rounding(rounded), rounded, atol=1e-7)


def test_gradients_pass_straight_through() -> None:
    weight = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    torch.autograd.backward(Weight(0, 8, Phase())(weight).sum())
    assert weight.grad is not None and torch.equal(weight.grad, torch.ones(4, 4))


def test_a_bias_has_the_steps_of_the_sums() -> None:
    phase = Phase()
    source, weight = Activation("x", phase), Weight(None, 8, phase)
    source.high.fill_(255.0)
    source.is_set.fill_(True)
    rounded = Bias(source, weight, phase)(torch.tensor([0.26, -0.9]), torch.full((2, 2), 0.5 * 127))
    assert torch.allclose(rounded, torch.tensor([0.5, -1.0]))


def test_normalisations_are_folded_and_the_rest_computes_the_same() -> None:
    module = Norms().eval()
    images = torch.cat([image for (image,) in nets.images(4)])
    want = module(images)
    assert fold_norms(module, (images,)) == 2
    assert isinstance(module.norm, nn.Identity) and isinstance(module.norm2, nn.Identity)
    assert isinstance(module.alone, nn.BatchNorm2d) and module.first.bias is not None
    assert torch.allclose(module(images), want, atol=1e-5)


def test_a_layer_that_is_used_twice_keeps_its_normalisation() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            once: torch.Tensor = self.norm(self.layer(x))
            return once + torch.relu(self.layer(x))

    assert fold_norms(Twice().eval(), (torch.randn(4, 3, 8, 8),)) == 0


def test_what_is_fused_is_rounded_once(plain: Changed) -> None:
    made = simulation(plain)
    # image, stem, two inner activations, the last inner convolution, sum, mean, scores, probabilities
    assert len(made.activations()) == 9
    assert sum(isinstance(module, Weight) for module in made.modules()) == 5
    assert sum(isinstance(module, Bias) for module in made.modules()) == 5
    assert all(place.is_finite for place in made.activations())
    assert plain.notes == (
        "trained for 8-bit activations and 8-bit weights per channel: 2 epochs,"
        " 1 normalisations folded beforehand",
    )


def test_the_module_has_the_weights_that_were_trained_on_their_grid() -> None:
    module = nets.Residual(16).eval()
    changed = trained(module, profile=X86)
    weight = changed.module.get_parameter("inner.2.weight")
    codes = weight.flatten(1) / weight.flatten(1).abs().amax(1, keepdim=True) * 64
    assert torch.allclose(codes, codes.round(), atol=1e-3)
    assert not torch.allclose(weight, module.get_parameter("inner.2.weight"), atol=1e-5)


def test_ranges_follow_for_the_first_epochs_only() -> None:
    def ranges(warmup: int) -> list[float]:
        options = QatOptions(warmup_epochs=warmup, tuning=Tuning(epochs=2, learning_rate=1e-2))
        return [float(place.high) for place in simulation(trained(nets.Residual(8), options)).activations()]

    never, once, always = ranges(0), ranges(1), ranges(2)
    assert never != once != always


def test_it_needs_training() -> None:
    with pytest.raises(CompressionError, match="needs the workload's training"):
        trained(nets.Residual(16), training=None)


def test_nothing_to_round_is_an_error() -> None:
    workload = Workload("net", nets.NoWeights(), (nets.features(),), training=nets.training((8,), 4))
    with pytest.raises(CompressionError, match="no layer of the model has weights"):
        Qat().apply(ModelJob(nets.NoWeights().eval(), workload), QatOptions())


def test_a_model_that_cannot_be_traced_is_an_error() -> None:
    class Branches(nets.Dense):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return super().forward(features) if float(features.sum()) > 0 else features[:, :4]

    workload = Workload("net", Branches(), (nets.features(),), training=nets.training((8,), 4))
    with pytest.raises(CompressionError, match=r"qat \(torch.export\)"):
        Qat().apply(ModelJob(Branches().eval(), workload), QatOptions())


@pytest.mark.parametrize("kind", ["response", "relation"])
def test_a_teacher_is_heard(kind: str, plain: Changed) -> None:
    taught = trained(nets.Residual(16), QatOptions(tuning=Tuning(distillation=kind)))  # type: ignore[arg-type]
    assert not torch.equal(
        taught.module.get_parameter("classify.weight"), plain.module.get_parameter("classify.weight")
    )


def test_a_teacher_of_features_says_what_to_do() -> None:
    with pytest.raises(CompressionError, match="finds no layers") as caught:
        trained(nets.Residual(16), QatOptions(tuning=Tuning(distillation="feature")))
    assert caught.value.mend == 'distillation = "response"'


def test_it_goes_on_after_a_kill(plain: Changed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "KEEP_EVERY_S", 0.0)

    class Killed(Exception):
        pass

    def die(said: str) -> None:
        if "epoch 2 " in said:
            raise Killed

    with pytest.raises(Killed):
        trained(nets.Residual(16), checkpoints=tmp_path, tell=die)
    told: list[str] = []
    again = trained(nets.Residual(16), checkpoints=tmp_path, tell=told.append)
    assert told[0].startswith("quantization-aware training: epoch 2 of 2")
    assert plain.kept is not None and again.kept is not None
    assert all(np.array_equal(again.kept[name], value) for name, value in plain.kept.items())


def test_what_was_kept_is_taken_up_without_training(plain: Changed) -> None:
    told: list[str] = []
    second = trained(nets.Residual(16), earlier=plain.kept, tell=told.append)
    assert told == [] and second.notes == plain.notes
    x = nets.image(7)
    with torch.no_grad():
        assert torch.equal(simulation(plain)(x), simulation(second)(x))
        assert torch.equal(plain.module(x), second.module(x))


def test_what_was_kept_of_another_model_is_not(plain: Changed) -> None:
    told: list[str] = []
    trained(nets.Residual(8), earlier=plain.kept, tell=told.append)
    assert any("epoch 1 of 2" in said for said in told)


@pytest.fixture(scope="module", params=[X86, ARM], ids=lambda profile: profile.name)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One training, written in both formats for a device."""
    profile = request.param
    changed = trained(nets.Residual(32), profile=profile)
    folder = tmp_path_factory.mktemp(profile.name)
    return profile, changed, {name: written(changed, name, folder, profile) for name in formats()}


@pytest.mark.parametrize("format", formats())
def test_the_file_computes_what_was_trained(both: Any, format: str) -> None:
    profile, changed, files = both
    source, out = files[format]
    assert out.stat().st_size < 0.7 * source.stat().st_size  # half of a file so small are names and shapes
    for seed in range(5):
        x = nets.image(seed)
        (got,) = plain_run([out], format, inputs=[x.numpy()], exact=profile is ARM).outputs.values()
        with torch.no_grad():
            want = simulation(changed)(x).numpy()
        assert np.abs(got - want).max() < 0.02
        assert cosine(got, want) > 0.999


def test_the_onnx_file_has_the_profile_s_integers(both: Any) -> None:
    profile, changed, files = both
    model = onnx.load(files["onnx"][1])
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weights = [value for value in tensors.values() if value.dtype == np.int8 and value.ndim > 1]
    assert len(weights) == 5
    reach = max(int(np.abs(value.astype(int)).max()) for value in weights)
    assert reach == (64 if profile is X86 else 127)
    assert not [name for name, value in tensors.items() if value.dtype == np.float32 and value.ndim > 1]
    kinds = {tensors[n.input[2]].dtype for n in model.graph.node if n.op_type == "QuantizeLinear"}
    assert kinds == {np.dtype(np.uint8 if profile is X86 else np.int8)}
    scales = {float(tensors[n.input[1]]) for n in model.graph.node if n.op_type == "QuantizeLinear"}
    learnt = {float(place.scale()) for place in simulation(changed).activations()}
    assert all(min(abs(scale / one - 1) for one in learnt) < 1e-5 for scale in scales)


def test_onnxruntime_executes_it_with_integer_kernels(both: Any, tmp_path: Path) -> None:
    import onnxruntime

    _, _, files = both
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")  # as it is on Arm
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(files["onnx"][1]), options, providers=["CPUExecutionProvider"])
    operators = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert operators["QLinearConv"] == 4 and operators["QGemm"] == 1 and operators["QLinearAdd"] == 1
    assert not operators["Conv"] and not operators["Gemm"] and not operators["FusedConv"]


def test_the_tflite_file_has_integers_on_the_same_grid(both: Any) -> None:
    from ai_edge_litert.interpreter import Interpreter

    profile, changed, files = both
    interpreter = Interpreter(model_path=str(files["tflite"][1]))
    details = interpreter.get_tensor_details()
    assert interpreter.get_input_details()[0]["dtype"] is np.float32
    interpreter.allocate_tensors()
    weights = [
        d for d in details if d["dtype"] is np.int8 and len(d["quantization_parameters"]["scales"]) > 1
    ]
    assert len(weights) == 5
    reach = max(int(np.abs(interpreter.get_tensor(d["index"]).astype(int)).max()) for d in weights)
    assert reach == (64 if profile is X86 else 127)
    learnt = max(float(place.scale()) for place in simulation(changed).activations())
    scales = [d["quantization_parameters"]["scales"] for d in details if d["dtype"] is np.int8]
    assert min(abs(float(s[0]) / learnt - 1) for s in scales if len(s) == 1) < 1e-5


class Places(nn.Module):
    """Three convolutions and something between, with every value of the last one an output."""

    def __init__(self, between: Callable[[Places, torch.Tensor], torch.Tensor], channels: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.branch = nn.Conv2d(8, 8, 3, padding=1)
        self.other = nn.Conv2d(8, 8, 1)
        self.up = nn.ConvTranspose1d(8, 8, 2, stride=2)
        self.groups = nn.ConvTranspose2d(8, 8, 2, stride=2, groups=4)
        with torch.no_grad():
            self.branch.weight *= 20
        self.last = nn.Conv2d(channels, 5, 1)
        self.between = between

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.last(self.between(self, self.first(image)))
        return made


def pooled(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.max_pool2d(x, 3, stride=1, padding=1)


#: What is between, its channels, and the share of values that may be a step away in TFLite, whose kernel for
#: going from one step to another knows their ratio to 8 bits.
BETWEEN: dict[str, tuple[Callable[[Places, torch.Tensor], torch.Tensor], int, float]] = {
    "concatenated": (lambda net, x: torch.cat([net.branch(x), pooled(net.other(x))], 1), 16, 0),
    "used twice": (lambda net, x: torch.cat([net.branch(x), pooled(x)], 1), 16, 0.25),
    "rectified and concatenated": (lambda net, x: torch.cat([net.branch(x).relu(), x.relu()], 1), 16, 0.25),
    "concatenated and rectified": (lambda net, x: torch.cat([net.branch(x), net.other(x)], 1).relu(), 16, 0),
    # What is fused into a slice is only there as the ends of its steps: those of the result begin below zero.
    "one part rectified": (lambda _, x: torch.cat([x[:, :4] * 2, x[:, 4:].relu()], 1), 8, 0.25),
    "bounds unlike": (
        lambda net, x: torch.cat([net.branch(x).clamp(0, 6), net.branch(pooled(x)).relu()], 1),
        16,
        0.25,
    ),
    "transposed": (lambda net, x: net.up(x.flatten(2)).relu().unflatten(2, (16, -1)), 8, 0),
    "transposed in groups": (lambda net, x: net.groups(pooled(x)).relu(), 8, 0),
    "a gate": (lambda net, x: x * net.branch(x).sigmoid(), 8, 0),
    "a gate, concatenated": (lambda net, x: torch.cat([net.branch(x).sigmoid(), x], 1), 16, 0.25),
    "nothing": (lambda net, x: (net.branch(x) - 1e4).relu(), 8, 0),
    "from -1 to 1": (lambda _, x: x.tanh(), 8, 0),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_both_files_round_where_the_training_did(between: str, tmp_path: Path) -> None:
    """To the step: one rounding more or fewer is seen in some of ten thousand values."""
    made, channels, allowed = BETWEEN[between]
    net = Places(made, channels)
    images = [nets.image(seed) for seed in range(32)]
    data = [(image[0], net(image)[0].detach()) for image in images]
    changed = trained(net, training=Training(data, nn.functional.mse_loss, epochs=1, batch_size=8))
    step = float(simulation(changed).activations()[-1].scale())
    for kind in formats():
        _, out = written(changed, kind, tmp_path)
        away = []
        for image in images[:8]:
            (got,) = plain_run([out], kind, inputs=[image.numpy()], exact=True).outputs.values()
            with torch.no_grad():
                away.append(np.abs(got - simulation(changed)(image).numpy()) / step)
        assert np.max(away) < 2.01
        assert np.mean(np.array(away) > 0.01) < (allowed if kind == "tflite" else 0) + 0.002


def lopsided() -> tuple[nn.Module, Training]:
    """A trained net whose channels differ a hundredfold, which rounding after the training ruins."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(3)
    samples = torch.randn((512, 1, 8, 8), generator=generator)
    labels = torch.stack([samples[:, 0, :4].mean((1, 2)), samples[:, 0, 4:].mean((1, 2))], 1).argmax(1)
    training = Training(
        torch.utils.data.TensorDataset(samples, labels),
        nn.functional.cross_entropy,
        epochs=12,
        batch_size=64,
        learning_rate=5e-3,
    )
    module = nn.Sequential(
        nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(256, 2),
    )  # fmt: skip
    workload = Workload("net", module, (samples[:1],), training=training)
    tuning.tune(ModelJob(module, workload), module, Tuning())
    factors = torch.logspace(-1.3, 1.3, 16)
    with torch.no_grad():
        module.get_parameter("0.weight").mul_(factors[:, None, None, None])
        module.get_parameter("0.bias").mul_(factors)
        module.get_parameter("2.weight").div_(factors[None, :, None, None])
    return module.eval(), training


def test_it_keeps_accuracy_where_rounding_afterwards_loses_it(tmp_path: Path) -> None:
    module, training = lopsided()
    samples, labels = training.data.tensors
    workload = Workload("net", module, (samples[:1],), training=training)
    options = QatOptions(per_channel=False)
    changed = Qat().apply(ModelJob(copy.deepcopy(module), workload, profile=X86), options)
    calibration = tuple((sample[None].numpy(),) for sample in samples[:64])

    def accuracy(path: Path, format: str) -> float:
        inputs = [samples[:1].numpy()]
        run = plain_run([path], format, inputs=inputs, evaluation=[samples.numpy()])
        (scores,) = run.evaluation.values()
        return float((scores.argmax(1) == labels.numpy()).mean())

    for kind in formats():
        found = {}
        for name, made in (("ptq", module), ("qat", changed.module)):
            source, out = tmp_path / f"{name}.{kind}", tmp_path / f"{name}.int8.{kind}"
            made.requires_grad_(False)
            exporter(kind).export(Request(made, (samples[:1],), ("output",)), source)
            job = FileJob(source, out, kind, calibration, X86)
            if name == "ptq":
                Quantize().apply(job, QuantizeOptions(per_channel=False))
                found["float"] = accuracy(source, kind)
            else:
                assert changed.finish is not None
                changed.finish.write(job)
            found[name] = accuracy(out, kind)
        assert found["qat"] > found["ptq"] + 0.02, found
        assert found["qat"] > found["float"] - 0.02, found


def test_a_tensor_is_known_by_what_it_holds() -> None:
    one, two = np.arange(6.0), np.arange(6.0) * 1.01

    def observe(_: tuple[Array, ...]) -> Mapping[str, Array]:
        turned = one.reshape(2, 3).T.astype(np.float32)
        return {"turned": turned, "other": turned + 1, "small": turned[:1], "none": turned * 0}

    wanted: dict[str, list[Array]] = {"a": [two], "b": [one], "dead": [np.zeros(6)]}
    assert recognised(observe, ((),), wanted) == {"turned": "b"}


def test_a_file_of_something_else_is_an_error(plain: Changed, tmp_path: Path) -> None:
    other = replace(plain, module=nets.Residual(32).eval())
    with pytest.raises(CompressionError, match="8 of 9 learnt ranges are of no tensor"):
        written(other, "onnx", tmp_path)


def test_unsigned_weights_are_refused() -> None:
    int8 = replace(X86.numeric.int8, weight="uint8")
    profile = replace(X86, numeric=replace(X86.numeric, int8=int8))
    with pytest.raises(UnsupportedError, match="qat trains int8 weights"):
        Qat().profile_facts(QatOptions(), profile, "onnx")


WORKLOAD = """
import torch
from torch import nn
from edgewright.workload import Evaluation, Training, Workload

def workload():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3))
    images = torch.randn(64, 1, 8, 8)
    data = torch.utils.data.TensorDataset(images, torch.randint(0, 3, (64,)))
    training = Training(data, nn.functional.cross_entropy, epochs=2, batch_size=16)
    judged = Evaluation("spread", (images[:8].numpy(),), lambda outputs: float(outputs[0].std()))
    return Workload("small", model.eval(), (images[:1],), training=training, evaluate=judged)
"""


def test_one_training_serves_both_formats(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(WORKLOAD)
    source, recipe = WorkloadSource.parse(f"{tmp_path}/net.py:workload"), load_recipe("qat")
    told: list[str] = []

    def made(kind: str) -> Any:
        told.clear()
        return build(source, recipe, X86.name, X86, kind, cache=tmp_path / "cache", progress=told.append)

    first = made("onnx")
    assert any("epoch" in said for said in told) and "writing the file" in told
    assert first.parity.cosine > 0.999 and first.quality is not None
    assert "static int8: uint8 activations x int8 weights in 7 bits per channel" in first.provenance.notes
    second = made("tflite")
    assert not any("epoch" in said for said in told)
    assert second.parity.cosine > 0.999
    assert second.provenance.notes[0] == first.provenance.notes[0]


def test_a_training_is_shared_by_formats_and_batches_but_not_by_integer_formats() -> None:
    source, recipe = WorkloadSource.parse(f"{__file__}:workload"), load_recipe("qat")

    def key(kind: str, profile: Any = X86, batch: int = 0) -> str:
        return Plan(source, recipe, profile, kind, batch).step_key(0)

    assert key("onnx") == key("tflite") == key("onnx", batch=4)
    assert key("onnx", ARM) != key("onnx")


def test_prune_train_for_integers_and_distil_in_one_recipe(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        WORKLOAD.replace(
            "Conv2d(1, 8, 3), nn.BatchNorm2d(8)", "Conv2d(1, 32, 3), nn.BatchNorm2d(32)"
        ).replace("288", "1152")
    )
    recipe = load_recipe("prune50-qat-distill")
    source = WorkloadSource.parse(f"{tmp_path}/net.py:workload")
    made = build(source, recipe, X86.name, X86, "onnx", cache=tmp_path / "cache")
    assert made.provenance is not None
    pruned, learnt, stored = made.provenance.notes[:3]
    assert pruned.startswith("pruned 5") and learnt.startswith("trained for 8-bit")
    assert stored.startswith("static int8")


def recipe_of(tmp_path: Path, *techniques: str) -> Recipe:
    path = tmp_path / "recipe.toml"
    steps = "".join(f'[[steps]]\ntechnique = "{name}"\n' for name in techniques)
    path.write_text(f'description = "x"\n{steps}')
    return load_recipe(path)


def test_the_order_is_checked(tmp_path: Path) -> None:
    assert [s.technique for s in recipe_of(tmp_path, "prune", "qat").steps] == ["prune", "qat"]

    def refusal(*techniques: str) -> str:
        with pytest.raises(ConfigError) as caught:
            recipe_of(tmp_path, *techniques)
        return str(caught.value).partition(": ")[2]

    assert refusal("quantize", "qat") == (
        "step 2: 'qat' (quantization-aware training) edits the model, but 'quantize' (post-training"
        " quantization) before it edits the exported file (put 'qat' before 'quantize')"
    )
    assert refusal("qat", "quantize") == (
        "step 2: 'quantize' (post-training quantization) needs a file in floats, but 'qat'"
        " (quantization-aware training) before it has quantized the file already"
        " (leave out 'quantize' or 'qat')"
    )
    assert refusal("qat", "prune") == (
        "step 2: 'prune' edits the model, but 'qat' (quantization-aware training) before it has fitted the"
        " model to its integers (put 'prune' before 'qat')"
    )
    for name in ("fp16", "share", "quantize-weights"):
        assert "quantized the file already" in refusal("qat", name)
    assert refusal("qat", "qat").endswith("(train once)")
