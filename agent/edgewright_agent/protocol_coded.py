"""The header of an entropy-coded file: see :mod:`.unpack_coded`, which reads what it announces."""

from dataclasses import dataclass
from typing import Tuple

MAGIC = b"EWCODED1"
#: Probabilities are multiples of 1 / 2 ** PRECISION.
PRECISION = 14
#: A lane's state stays between this and its square.
LOWEST = 1 << 16


@dataclass(frozen=True)
class Part:
    """A stretch of the file.

    Attributes:
        size_bytes: of what comes out; for codes a multiple of ``item_bytes``.
        coded_bytes: of its payload.
        item_bytes: of one value; 0 for a raw part.
        lanes: how many states the indices are coded in.
        frequencies: of each value, of 2 ** PRECISION in all; the codebook itself is first in the payload.
    """

    size_bytes: int
    coded_bytes: int
    item_bytes: int = 0
    lanes: int = 0
    frequencies: Tuple[int, ...] = ()


@dataclass(frozen=True)
class Header:
    """What the coded file says of the decoded one."""

    sha256: str
    size_bytes: int
    parts: Tuple[Part, ...]
