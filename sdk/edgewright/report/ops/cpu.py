"""What a processor's features mean for 8-bit and 16-bit arithmetic in ONNX Runtime.

Sources: the kernels ONNX Runtime chooses between (onnxruntime/core/mlas/lib/platform.cpp and qgemm.h), and
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html. Names are Linux's.
"""

from __future__ import annotations

from collections.abc import Collection

_X86 = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8", "avx512_fp16")
_ARM = ("asimddp", "i8mm", "fphp", "asimdhp", "sve2")
_VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")


def deciding(features: Collection[str]) -> list[str]:
    """Those of the features that decide, in a fixed order."""
    return [name for name in (*_X86, *_ARM) if name in features]


def integer_sentence(numbers: str, machine: str, features: Collection[str]) -> str:
    """How this processor multiplies ``uint8 x int8`` and the like; empty where nothing is known of it."""
    if machine in ("x86_64", "AMD64", "i686"):
        return _on_x86(numbers, features)
    if machine in ("aarch64", "arm64"):
        return _on_arm(features)
    return ""


def half_sentence(machine: str, features: Collection[str]) -> str:
    """Whether this processor computes in 16-bit floats."""
    is_arm = machine in ("aarch64", "arm64")
    name = "asimdhp" if is_arm else "avx512_fp16"
    has = name in features
    return f"The processor {'has' if has else 'lacks'} {name}, arithmetic in 16-bit floats."


def _on_x86(numbers: str, features: Collection[str]) -> str:
    if numbers.startswith("int8"):
        if "avx_vnni_int8" in features:
            return f"The processor multiplies {numbers} in one instruction (avx_vnni_int8)."
        return (
            f"ONNX Runtime has no vector kernel for {numbers} on x86 processors without avx_vnni_int8, and "
            "this one lacks it: quantize activations as uint8."
        )
    found = [name for name in _VNNI if name in features]
    if found:
        return f"The processor multiplies and adds {numbers} in one instruction ({', '.join(found)})."
    best = next((name for name in ("avx512f", "avx2") if name in features), "")
    having = f"has {best} but none" if best else "has none"
    return (
        f"The processor {having} of avx512_vnni, avx_vnni and amx_int8: to multiply and add {numbers} it "
        "takes several instructions instead of one."
    )


def _on_arm(features: Collection[str]) -> str:
    if "asimddp" not in features:
        return (
            "The processor lacks asimddp (dot product): to multiply and add 8-bit numbers it widens them "
            "first, in several instructions instead of one."
        )
    matrix = " and i8mm" if "i8mm" in features else ", but not i8mm"
    return f"The processor has asimddp{matrix}: it multiplies and adds four 8-bit numbers in one instruction."
