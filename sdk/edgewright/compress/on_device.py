"""What a device makes of a technique, in the words that several techniques share."""

from __future__ import annotations

from typing import Literal

from edgewright.errors import ConfigError
from edgewright.profile import DeviceProfile, Int8Format

#: CPU flags with which sums of 8-bit products take one instruction.
_DOT_PRODUCTS = {"asimddp", "i8mm", "svei8mm", "avx_vnni", "avx512_vnni", "amx_int8"}

FEWER_MULTIPLICATIONS = (
    "fewer multiplications on every processor; how much time that is, a measurement tells",
)
SMALLER_FILE = ("what is stored and pushed is smaller; it takes as long as before",)
READY_FOR_INTEGERS = (
    "it prepares the weights for the integers of a later step; what that is worth, accuracy tells",
)


def integers(chosen: Int8Format, profile: DeviceProfile) -> tuple[str, ...]:
    """The integers that were chosen for a device, and whether its processor is quick with them."""
    features = {name for feature in profile.hardware.features for name in feature.split("|")}
    found = sorted(features & _DOT_PRODUCTS)
    reduced = " of 7 bits" if chosen.reduce_range else ""
    return (
        f"ONNX: {chosen.activation} activations, {chosen.weight} weights{reduced}",
        f"it has 8-bit dot products ({', '.join(found)}): time may be saved"
        if found
        else "no 8-bit dot product is certain there: it may take longer than 32-bit floats",
    )


def with_wishes(
    default: Int8Format,
    who: str,
    *,
    activation: Literal["uint8", "int8"] | None = None,
    weight: Literal["uint8", "int8"] | None = None,
    per_channel: bool | None = None,
    reduce_range: bool | None = None,
) -> Int8Format:
    """``default``, which is a profile's, but for what a step's options say.

    Args:
        who: the step, for what is said when the two make a pair that no kernel takes.

    Raises:
        ConfigError: they do.
    """
    activations, weights = activation or default.activation, weight or default.weight
    if (activations, weights) == ("int8", "uint8"):
        said = f"{who}: no kernel multiplies int8 activations by uint8 weights"
        if activation is not None and weight is not None:
            raise ConfigError(said, mend="give both the same type")
        theirs, ours = ("activations", "weight") if activation is None else ("weights", "activation")
        raise ConfigError(f"{said}, and the profile has such {theirs}", mend=f"leave {ours} out")
    return Int8Format(
        activation=activations,
        weight=weights,
        per_channel=default.per_channel if per_channel is None else per_channel,
        reduce_range=default.reduce_range if reduce_range is None else reduce_range,
    )
