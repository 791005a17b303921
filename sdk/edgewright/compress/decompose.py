"""One layer as a chain of thinner ones: singular values, Tucker-2 and CP, and what rank to take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgewright.boundary import foreign
from edgewright.errors import CompressionError

from .vbmf import vbmf_rank

if TYPE_CHECKING:
    import torch
    from torch import nn

    Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d

    from .factorize import FactorizeOptions

Array = npt.NDArray[np.float32]

_CP_ITERATIONS = 200
_CP_RANK_SHARE = 1.5
#: VBMF takes most of a small layer for noise: of that much of its energy it is not believed.
_LEAST_ENERGY = 0.5


@dataclass(frozen=True)
class Decomposed:
    """What takes a layer's place, and its rank or ranks."""

    module: torch.nn.Module
    rank: str


def decomposed(layer: torch.nn.Module, options: FactorizeOptions) -> Decomposed | str:
    """The layer decomposed, or in a few words why it stays."""
    from torch import nn

    if isinstance(layer, nn.Linear):
        return _linear(layer, options) if options.linear else "linear"
    assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    if layer.groups != 1:
        return "grouped"
    if set(layer.kernel_size) == {1}:
        return _pointwise(layer, options) if options.linear else "1 x 1"
    if options.convolutions == "none":
        return "a convolution"
    weight = _array(layer.weight)
    if options.convolutions == "tucker":
        return _tucker(layer, weight, options)
    return _cp(layer, weight, options)


def _linear(layer: torch.nn.Linear, options: FactorizeOptions) -> Decomposed | str:
    from torch import nn

    weight = _array(layer.weight)
    rank = _rounded(_rank(weight, options, sum(weight.shape)), options, min(weight.shape))
    if not _pays(rank * sum(weight.shape), weight.size, options):
        return f"rank {rank} of {min(weight.shape)} saves too little"
    left, right = _split(weight, rank)
    chain = nn.Sequential(
        nn.Linear(layer.in_features, rank, bias=False),
        nn.Linear(rank, layer.out_features, bias=layer.bias is not None),
    )
    _fill(chain, [right, left], layer.bias)
    return Decomposed(chain, str(rank))


def _pointwise(layer: Convolution, options: FactorizeOptions) -> Decomposed | str:
    weight = _array(layer.weight).reshape(layer.out_channels, layer.in_channels)
    rank = _rounded(_rank(weight, options, sum(weight.shape)), options, min(weight.shape))
    if not _pays(rank * sum(weight.shape), weight.size, options):
        return f"rank {rank} of {min(weight.shape)} saves too little"
    left, right = _split(weight, rank)
    chain = _chain(layer, [(layer.in_channels, rank), (rank, layer.out_channels)], spatial=0)
    _fill(chain, [right, left], layer.bias)
    return Decomposed(chain, str(rank))


def _tucker(layer: Convolution, weight: Array, options: FactorizeOptions) -> Decomposed | str:
    outputs, inputs, *kernel = weight.shape
    area = int(np.prod(kernel))
    unfolded = weight.reshape(outputs, -1), np.moveaxis(weight, 1, 0).reshape(inputs, -1)
    if options.rank == "ratio":
        share = _tucker_share(outputs, inputs, area, options.ratio)
        ranks = max(1, round(share * outputs)), max(1, round(share * inputs))
    else:
        ranks = _rank(unfolded[0], options, 0), _rank(unfolded[1], options, 0)
    r_out, r_in = _rounded(ranks[0], options, outputs), _rounded(ranks[1], options, inputs)
    left = outputs * r_out + r_out * r_in * area + inputs * r_in
    if not _pays(left + (_entered(layer) - 1) * inputs * r_in, weight.size, options):
        return f"ranks {r_out} and {r_in} of {outputs} and {inputs} save too little"
    with foreign(CompressionError, "factorize (tensorly)"):
        from tensorly.decomposition import partial_tucker

        (core, (u_out, u_in)), _ = partial_tucker(weight, rank=[r_out, r_in], modes=[0, 1], init="svd")
    chain = _chain(layer, [(inputs, r_in), (r_in, r_out), (r_out, outputs)], spatial=1)
    _fill(chain, [u_in.T, core, u_out], layer.bias)
    return Decomposed(chain, f"{r_out} x {r_in}")


def _cp(layer: Convolution, weight: Array, options: FactorizeOptions) -> Decomposed | str:
    outputs, inputs, *kernel = weight.shape
    area = int(np.prod(kernel))
    each = outputs + inputs + area
    if options.rank == "ratio":
        rank = max(1, int(options.ratio * weight.size / each))
    else:
        unfolded = weight.reshape(outputs, -1), np.moveaxis(weight, 1, 0).reshape(inputs, -1)
        rank = max(1, round(_CP_RANK_SHARE * max(_rank(matrix, options, 0) for matrix in unfolded)))
    rank = _rounded(rank, options, weight.size)
    if not _pays(rank * each + (_entered(layer) - 1) * inputs * rank, weight.size, options):
        return f"rank {rank} saves too little"
    with foreign(CompressionError, "factorize (tensorly)"):
        from tensorly.decomposition import parafac

        weights, factors = parafac(
            weight.reshape(outputs, inputs, area),
            rank=rank,
            n_iter_max=_CP_ITERATIONS,
            init="svd" if rank <= min(outputs, inputs, area) else "random",
            random_state=0,
            normalize_factors=True,
            l2_reg=1e-6,
        )
    u_out, u_in, u_area = factors
    # Spread evenly, so that no factor is much larger than another and training goes well.
    scale = np.cbrt(np.abs(weights))
    chain = _chain(layer, [(inputs, rank), (rank, rank), (rank, outputs)], spatial=1, groups=rank)
    last = u_out * scale * np.sign(weights)
    _fill(chain, [(u_in * scale).T, (u_area * scale).T, last], layer.bias)
    return Decomposed(chain, str(rank))


def _rank(matrix: Array, options: FactorizeOptions, each: int) -> int:
    """The rank for one matrix; ``each`` is what one more costs in weights, for ``ratio``."""
    match options.rank:
        case "vbmf":
            return max(_holding(matrix, _LEAST_ENERGY), vbmf_rank(matrix))
        case "energy":
            return _holding(matrix, options.energy)
    return max(1, int(options.ratio * matrix.size / each))


def _rounded(rank: int, options: FactorizeOptions, most: int) -> int:
    """A multiple that vector units like, since ranks are channels; never less than is to be kept."""
    share = rank / options.round_to
    whole = round(share) if options.rank == "ratio" else math.ceil(share)
    rounded = max(1, whole) * options.round_to
    return rounded if rounded < most else min(rank, most)


def _holding(matrix: Array, share: float) -> int:
    """The rank that keeps this share of the squared singular values."""
    energy = np.linalg.svd(matrix, compute_uv=False) ** 2
    return int(np.searchsorted(np.cumsum(energy) / energy.sum(), share)) + 1


def _tucker_share(outputs: int, inputs: int, area: int, ratio: float) -> float:
    """Which share of both channel counts leaves ``ratio`` of the weights."""
    quadratic, linear = outputs * inputs * area, outputs**2 + inputs**2
    goal = ratio * quadratic
    return float((-linear + np.sqrt(linear**2 + 4 * quadratic * goal)) / (2 * quadratic))


def _pays(left: int, of: int, options: FactorizeOptions) -> bool:
    """Each weight of the layer is one multiplication a position of its output; a chain has ``left`` of them.

    It has no more weights than that, so that one bound holds for both.
    """
    return left <= options.margin * of


def _entered(layer: Convolution) -> int:
    """Positions of the input to one of the output: how often the chain's first part is computed for each."""
    return math.prod(layer.stride)


def _split(matrix: Array, rank: int) -> tuple[Array, Array]:
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    root = np.sqrt(s[:rank])
    return (u[:, :rank] * root).astype(np.float32), (root[:, None] * v[:rank]).astype(np.float32)


def _chain(
    layer: Convolution, parts: list[tuple[int, int]], *, spatial: int, groups: int = 1
) -> torch.nn.Sequential:
    """Convolutions of these channels; the one at ``spatial`` moves over its input as the layer did.

    The others are 1 wide and those before it have no bias, so that any padding comes to the same after them.
    """
    from torch import nn

    kind = next(kind for kind in (nn.Conv1d, nn.Conv2d, nn.Conv3d) if isinstance(layer, kind))
    made = []
    for number, (inputs, outputs) in enumerate(parts):
        how: dict[str, Any] = {"kernel_size": 1}
        if number == spatial:
            names = ("kernel_size", "stride", "padding", "dilation", "padding_mode")
            how = {name: getattr(layer, name) for name in names} | {"groups": groups}
        has_bias = number == len(parts) - 1 and layer.bias is not None
        made.append(kind(inputs, outputs, bias=has_bias, **how))
    return nn.Sequential(*made)


def _fill(chain: torch.nn.Sequential, weights: list[Any], bias: torch.Tensor | None) -> None:
    import torch

    with torch.no_grad():
        for part, weight in zip(chain, weights, strict=True):
            assert isinstance(part.weight, torch.Tensor)
            values = torch.from_numpy(np.ascontiguousarray(weight, dtype=np.float32))
            part.weight.copy_(values.reshape(part.weight.shape))
        if bias is not None:
            chain[-1].bias.copy_(bias)  # type: ignore[operator]


def _array(weight: torch.Tensor) -> Array:
    return weight.detach().cpu().numpy().astype(np.float32)
