"""How files reach the store: what is asked first, and the stream that carries them.

``receive`` takes an :class:`Inquiry` and answers a :class:`Stock`. Unless that lacks nothing it then takes a
:class:`Delivery` and frames, each a header and a payload, that give the bytes of the files in their order.
Inquiry and delivery are JSON, each after its length. The frames:

    RAW, ZLIB, ZSTD     the bytes, as they are or compressed by themselves; none at all asks for the progress
    BASE                no bytes: the SHA-256 of a file of the store that PATCH refers to from now on
    PATCH | packing     a table of segments and a residual; a segment says how many bytes are those of the
                        base from an offset on, exclusive-or the residual, or (LITERAL) the residual's

Whatever the frames, what has arrived is a beginning of the file, and any transfer can go on from there.

Standard library only, Python 3.8 or newer.
"""

import struct
from dataclasses import dataclass, field
from typing import Dict, Tuple

#: How many bytes of JSON follow, and how many may.
LENGTH, MAX_MESSAGE = struct.Struct(">I"), 1 << 20

#: Kind, how many bytes of the file it gives, how many bytes its payload has.
HEADER = struct.Struct(">BII")
RAW, ZLIB, ZSTD, BASE, PATCH = 0, 1, 2, 3, 16

#: How many segments; then of each how many bytes, and where in the base or LITERAL.
COUNT, SEGMENT, LITERAL = struct.Struct(">H"), struct.Struct(">Iq"), -1
MAX_SEGMENTS = 4096
MAX_TABLE = COUNT.size + MAX_SEGMENTS * SEGMENT.size

#: Bytes of the file that one frame gives at most, and the payload's bound: some content grows a little.
MAX_PLAIN = 1 << 20
MAX_PAYLOAD = MAX_PLAIN + MAX_TABLE + (1 << 14)


@dataclass(frozen=True)
class Inquiry:
    """What the files of a job are, and of which others there might be a copy to start from.

    Attributes:
        bases: files that resemble some of them.
        limit_bytes: what the store may hold; 0 leaves it to the device.
        holder: who asks, the same each time: what was asked for is kept for a while, or until it asks again.
    """

    sha256: Tuple[str, ...]
    bases: Tuple[str, ...] = ()
    limit_bytes: int = 0
    holder: str = ""


@dataclass(frozen=True)
class Stock:
    """What the store lacks and what it could take.

    Attributes:
        partial: how many bytes of a missing file are there already.
        free_bytes: free on the disk, were all removed that nobody needs.
        allowed_bytes: what the limit leaves, likewise.
        limit_bytes: the limit that holds.
    """

    missing: Tuple[str, ...]
    free_bytes: int
    allowed_bytes: int
    limit_bytes: int
    partial: Dict[str, int] = field(default_factory=dict)
    bases: Tuple[str, ...] = ()
    packings: Tuple[str, ...] = ("zlib",)


@dataclass(frozen=True)
class Parcel:
    """One file to come, from its byte ``from_bytes`` on."""

    sha256: str
    size_bytes: int
    from_bytes: int = 0


@dataclass(frozen=True)
class Delivery:
    """The files to come, in order."""

    files: Tuple[Parcel, ...]
