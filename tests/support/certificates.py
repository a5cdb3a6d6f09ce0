"""Certificates for tests, made without the code that is tested."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

EMAIL = x509.ExtendedKeyUsageOID.EMAIL_PROTECTION
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def make_chain(key=None, days=(-1.0, 30.0), purposes=(EMAIL,), name="Studio Anna"):
    """(PEM of a certificate and its root, private key of the certificate).

    Args:
        key: of the certificate; None: a new one on P-256.
        days: from when until when it is valid, from today.
        purposes: extended key usage.
    """
    key, root_key = key or ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(
        ec.SECP256R1()
    )  # fmt: skip
    root = _certificate(root_key, root_key, "Root", days, None)
    signing = _certificate(key, root_key, name, days, purposes)
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in (signing, root)), key


def _certificate(key, root_key, name, days, purposes):
    """``purposes`` None: that of the root."""
    is_root = purposes is None
    now, identity = datetime.now(timezone.utc), root_key.public_key()
    usage = {usage: usage == ("key_cert_sign" if is_root else USAGES[0]) for usage in USAGES}
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("Root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(is_root, None), True)
        .add_extension(x509.KeyUsage(**usage), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(identity), False)
    )
    if not is_root:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
    return builder.sign(root_key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(oid, text)
         for oid in (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME)]
    )  # fmt: skip


def write_key(path: Path, key, form=serialization.PrivateFormat.PKCS8) -> Path:
    """A private key as PEM without a passphrase."""
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return path


def write_pair(folder: Path, chain: bytes, key) -> tuple[Path, Path]:
    """The files of ``make_chain``: certificate, private key."""
    certificate = folder / "studio.pem"
    certificate.write_bytes(chain)
    return certificate, write_key(folder / "studio-key.pem", key)
