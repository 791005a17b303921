"""Percentages, durations and sizes as people write them."""

from __future__ import annotations

import re

import click

_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?(s|m|min|h|)")
_NANOSECONDS = {"s": 1e9, "ms": 1e6, "us": 1e3, "\N{MICRO SIGN}s": 1e3, "ns": 1.0}
_LATENCY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(s|ms|us|\N{MICRO SIGN}s|ns)")
_BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SIZE = re.compile(r"([1-9][0-9]{0,5}) ?([KMG])(?:i?B)?", re.IGNORECASE)
_SHARE = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,6})?)( ?%)?")


def parse_share(text: str, option: str) -> float:
    """``5%`` or ``0.05`` as a share, above 0 and below 1."""
    match = _SHARE.fullmatch(text.strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < share < 1:
        raise click.BadParameter(
            f"{text!r} is not a percentage between 0% and 100%, such as 5%", param_hint=option
        )
    return share


def parse_drop(text: str, option: str) -> float:
    """``1%`` or ``0.01`` as a hundredth, ``0`` as nothing, ``1.5`` as it is: in the measure's own unit."""
    match = _SHARE.fullmatch(text.strip())
    if not match:
        raise click.BadParameter(
            f"{text!r} is no loss of quality, such as 1% for 0.01, or a number in the measure's own unit",
            param_hint=option,
        )
    return float(match[1]) / (100 if match[2] else 1)


def parse_duration(text: str, option: str) -> float:
    """``60s``, ``2m`` or a plain number of seconds, above 0."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise click.BadParameter(f"{text!r} is not a duration such as 60s or 2m", param_hint=option)
    return seconds


def parse_latency(text: str, option: str) -> float:
    """``4ms``, ``250us`` or ``0.1s`` in nanoseconds, above 0."""
    match = _LATENCY.fullmatch(text.strip())
    latency_ns = float(match[1]) * _NANOSECONDS[match[2]] if match else 0.0
    if latency_ns <= 0:
        raise click.BadParameter(
            f"{text!r} is not a latency such as 4ms or 250us, nor a percentage such as 60%", param_hint=option
        )
    return latency_ns


def parse_size(text: str, option: str) -> int:
    """``256M`` or ``2G`` in bytes; the letters stand for powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise click.BadParameter(f"{text!r} is not a size such as 256M or 2G", param_hint=option)
    return int(match[1]) * _BYTES[match[2].upper()]
