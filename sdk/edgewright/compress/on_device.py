"""What a device makes of a technique, in the words that several techniques share."""

from __future__ import annotations

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
