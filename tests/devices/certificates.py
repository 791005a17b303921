"""Certificates for the processes of a farm: an authority of the test's own, and one it vouches for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def make_certificates(folder: Path) -> tuple[str, ...]:
    """The words of a command that say which they are."""
    folder.mkdir(parents=True)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    _certificate(folder / "ca.pem", "authority", authority, authority, is_authority=True)
    _certificate(folder / "cert.pem", "farm", key, authority, is_authority=False)
    content = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(content)
    pairs = [(f"--tls-{name}", str(folder / f"{name}.pem")) for name in ("ca", "cert", "key")]
    return tuple(word for pair in pairs for word in pair)


def _certificate(
    path: Path,
    name: str,
    key: ec.EllipticCurvePrivateKey,
    authority: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool,
) -> None:
    now, day = datetime.now(UTC), timedelta(days=1)
    common = x509.oid.NameOID.COMMON_NAME
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(common, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(common, "authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(authority, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
