"""Signatures: the RFC's own, honest ones by another implementation, and all that is nearly one."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright_agent.ed25519 import is_key, verify

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493

#: RFC 8032, section 7.1: secret key, public key, message, signature.
VECTORS = {
    "TEST 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    "TEST 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "TEST 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    "TEST SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
}

#: Every point whose order divides 8, in its one form: under such a key one signature fits many messages.
SMALL = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
]


def reference(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize("name", VECTORS)
def test_the_vectors_of_the_rfc(name: str) -> None:
    _, key, message, signature = (bytes.fromhex(text) for text in VECTORS[name])
    assert verify(key, message, signature)
    assert not verify(key, message + b"\0", signature)


seeds = st.binary(min_size=32, max_size=32)


@settings(max_examples=40, deadline=None)
@given(seeds, st.binary(max_size=200))
def test_what_another_implementation_signs_is_accepted(seed: bytes, message: bytes) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    key = private.public_key().public_bytes_raw()
    assert is_key(key)
    assert verify(key, message, private.sign(message))


@settings(max_examples=120, deadline=None)
@given(seeds, st.binary(max_size=40), st.integers(0, 3), st.integers(0, 511), st.integers(1, 255))
def test_one_changed_byte_is_noticed(seed: bytes, message: bytes, part: int, at: int, bits: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    pieces = [private.public_key().public_bytes_raw(), message + b"x", private.sign(message + b"x")]
    altered = bytearray(pieces[part % 3])
    altered[at % len(altered)] ^= bits
    pieces[part % 3] = bytes(altered)
    assert not verify(*pieces)
    assert not reference(*pieces)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=70), st.binary(max_size=40), st.binary(max_size=140))
def test_bytes_at_random_are_no_signature(key: bytes, message: bytes, signature: bytes) -> None:
    assert not verify(key, message, signature)


@settings(max_examples=30, deadline=None)
@given(seeds, st.binary(max_size=40), st.integers(1, 15))
def test_an_s_that_is_not_reduced_is_refused(seed: bytes, message: bytes, times: int) -> None:
    """The same equation holds: without the check a signature could be written in several ways."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    signature = private.sign(message)
    s = int.from_bytes(signature[32:], "little") + times * ORDER
    if s < 1 << 256:
        other = signature[:32] + s.to_bytes(32, "little")
        assert not verify(private.public_key().public_bytes_raw(), message, other)


@pytest.mark.parametrize("text", SMALL)
def test_a_key_that_fits_any_message_is_refused(text: str) -> None:
    """R is the neutral point and S is 0: under the neutral key that is a signature of everything."""
    key = bytes.fromhex(text)
    signature = bytes([1]) + bytes(63)
    assert not is_key(key)
    assert not any(verify(key, bytes([byte]), signature) for byte in range(16))


@pytest.mark.parametrize("y", [0, 1, 3, 4, 5, 18])
@pytest.mark.parametrize("sign", [0, 1])
def test_a_key_in_a_form_other_than_its_one_is_refused(y: int, sign: int) -> None:
    """Each y below 19 could also be written as y + p; and the neutral point with a sign."""
    assert not is_key((y + P | sign << 255).to_bytes(32, "little"))


def test_the_neutral_point_with_a_sign_is_no_key() -> None:
    assert not is_key((1 | 1 << 255).to_bytes(32, "little"))


def test_about_every_other_y_has_a_point() -> None:
    points = sum(is_key(y.to_bytes(32, "little")) for y in range(2, 202))
    assert 70 < points < 130


def forged(seed: bytes, message: bytes, r: bytes) -> tuple[bytes, bytes]:
    """Key and signature for which the equation holds, with R the neutral point written as ``r``."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    key = private.public_key().public_bytes_raw()
    secret = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    secret = secret & ((1 << 254) - 8) | 1 << 254
    k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % ORDER
    return key, r + (k * secret % ORDER).to_bytes(32, "little")


def test_an_r_in_another_form_than_its_one_is_refused() -> None:
    """Whoever holds the key can sign so: the same point written as y + p, or with a sign that 0 has not."""
    seed, message = bytes(range(32)), b"m"
    key, signature = forged(seed, message, (1).to_bytes(32, "little"))
    assert verify(key, message, signature) and reference(key, message, signature)
    for other in (1 + P, 1 | 1 << 255):
        key, signature = forged(seed, message, other.to_bytes(32, "little"))
        assert not verify(key, message, signature)
