"""The certificate and private key that sign Content Credentials: the user's own, or self-made.

A self-made one is created on first use and kept in the user's configuration folder. Nobody else
trusts it; it shows whether a file changed since it was signed, and which files one key signed.
"""

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ..core.errors import ConfigError, OutputError
from ..core.files import ensure_folder
from ..i18n.messages import tr

CONFIG_VARIABLE = "LIPSYNC_CONFIG_DIR"
CHAIN_NAME, KEY_NAME, ROOT_NAME = "certificate_chain.pem", "private_key.pem", "root.pem"
OWNER = "lipsync (self-made certificate)"
NO_EXPIRY = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)  # RFC 5280, 4.1.2.5
EC_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
NO_USAGE = dict.fromkeys(
    ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
     "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    False,
)  # fmt: skip


@dataclass(frozen=True)
class SigningCertificate:
    """What signs: checked to belong together and to be valid today.

    Attributes:
        chain: PEM, the certificate that signs first.
        private_key: its key, unencrypted PEM (PKCS #8).
        algorithm: a name of ``c2pa.C2paSigningAlg``, such as ``"ES256"``.
    """

    chain: bytes
    private_key: bytes = field(repr=False)
    algorithm: str


def load_certificate(
    certificate: str | Path | None = None, private_key: str | Path | None = None
) -> SigningCertificate:
    """The user's own certificate, or the self-made one, created if there is none yet.

    Args:
        certificate: PEM, the certificate that signs first, then those that vouch for it. The C2PA
            profile: key usage digitalSignature, extended key usage emailProtection,
            documentSigning or C2PA claim signing.
        private_key: of that certificate, PEM without a passphrase. None of both: self-made.

    Raises:
        ConfigError: one of the two is missing, cannot be read or is not usable; they do not belong
            together; the certificate is expired or not valid yet.
        OutputError: the self-made one cannot be stored.
    """
    if certificate is not None and private_key is not None:
        return _read_pair(Path(certificate), Path(private_key))
    if certificate is not None or private_key is not None:
        raise ConfigError(tr("a certificate and its private key belong together: give both"))
    folder = config_folder() / "credentials"
    if not os.path.lexists(folder):
        _create_pair(folder)
    try:
        return _read_pair(folder / CHAIN_NAME, folder / KEY_NAME)
    except ConfigError as error:
        raise ConfigError(
            tr("{why}; delete the folder {folder}, and a new certificate is made",
               why=error, folder=folder)
        ) from None  # fmt: skip


def config_folder() -> Path:
    """The folder for what this project keeps of the user, not created yet.

    ``LIPSYNC_CONFIG_DIR``, else ``lipsync`` in ``%APPDATA%`` (Windows) or ``$XDG_CONFIG_HOME``
    (elsewhere), else in the home folder.

    Raises:
        ConfigError: the user has no home folder.
    """
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named)
    windows = sys.platform == "win32"
    base = os.environ.get("APPDATA" if windows else "XDG_CONFIG_HOME", "")
    if os.path.isabs(base):  # the XDG specification has relative ones ignored
        return Path(base) / "lipsync"
    try:
        return Path.home() / ("AppData/Roaming" if windows else ".config") / "lipsync"
    except RuntimeError:
        raise ConfigError(
            tr("no home folder to keep the certificate in: set {variable} to a folder",
               variable=CONFIG_VARIABLE)
        ) from None  # fmt: skip


# -------------------------------------------------------------------------------- reading


def _read_pair(certificate: Path, private_key: Path) -> SigningCertificate:
    from cryptography.hazmat.primitives import serialization

    chain = _content(certificate)
    signing = _first_certificate(certificate, chain)
    key = _private_key(private_key)
    algorithm = _algorithm(key)
    if algorithm is None:
        raise ConfigError(
            tr("{path}: this kind of key cannot sign; use a key on the curve P-256, P-384 or "
               "P-521, an RSA or an Ed25519 key", path=private_key)
        )  # fmt: skip
    if key.public_key() != signing.public_key():
        raise ConfigError(
            tr("{key} is not the private key of the first certificate in {certificate}",
               key=private_key, certificate=certificate)
        )  # fmt: skip
    _check_dates(certificate, signing)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key_pem = key.private_bytes(*pem, serialization.NoEncryption())
    return SigningCertificate(chain, key_pem, algorithm)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            tr("cannot read {path}: {why}", path=path, why=error.strerror or error)
        ) from None


def _first_certificate(path: Path, chain: bytes):
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise ConfigError(tr("{path} holds no certificate in PEM format", path=path)) from None


def _private_key(path: Path):
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(_content(path), password=None)
    except TypeError:
        raise ConfigError(
            tr("the private key {path} is protected by a passphrase: store it without one",
               path=path)
        ) from None  # fmt: skip
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(tr("{path} holds no private key in PEM format", path=path)) from None


def _algorithm(key) -> str | None:
    """The C2PA name of the signature algorithm for a private key; None: there is none."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey):
        return EC_ALGORITHMS.get(key.curve.name)
    if isinstance(key, rsa.RSAPrivateKey):
        return "PS256"
    return "ED25519" if isinstance(key, ed25519.Ed25519PrivateKey) else None


def _check_dates(path: Path, certificate) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    now = datetime.now(timezone.utc)
    if now > end:
        raise ConfigError(tr("the certificate {path} expired on {day}", path=path, day=end.date()))
    if now < start:
        raise ConfigError(
            tr("the certificate {path} is not valid before {day}", path=path, day=start.date())
        )


# -------------------------------------------------------------------------------- making


def _create_pair(folder: Path) -> None:
    """Make a certificate in ``folder``, unless another process does so at the same time: the folder
    is renamed into place with all it holds, and no folder takes the place of one with files."""
    ensure_folder(folder.parent)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for name, content in _make_pair().items():
                _write_private(temporary / name, content)
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # no other process was faster
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            tr("cannot write {path}: {why}", path=folder, why=error.strerror or error)
        ) from None


def _write_private(path: Path, content: bytes) -> None:
    """A new file that only the user may read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(handle)


def _make_pair() -> dict[str, bytes]:
    """File name -> PEM: a root, the chain it begins, and the key that signs. The root's own key is
    not kept: it vouches for this one certificate only."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _sign_certificate(root_key.public_key(), root_key, is_root=True)
    signing = _sign_certificate(key.public_key(), root_key, is_root=False)
    pem = serialization.Encoding.PEM
    root_pem = root.public_bytes(pem)
    return {
        ROOT_NAME: root_pem,
        CHAIN_NAME: signing.public_bytes(pem) + root_pem,
        KEY_NAME: key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }


def _sign_certificate(public_key, root_key, is_root: bool):
    """A certificate of the profile that the C2PA specification sets, signed by the root's key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    usage = ("key_cert_sign", "crl_sign") if is_root else ("digital_signature",)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name("root" if is_root else "signer"))
        .issuer_name(_name("root"))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(timezone.utc) - timedelta(days=1))  # clocks differ
        .not_valid_after(NO_EXPIRY)
        .add_extension(x509.BasicConstraints(is_root, 0 if is_root else None), critical=True)
        .add_extension(x509.KeyUsage(**NO_USAGE | dict.fromkeys(usage, True)), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if not is_root:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
        purposes = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(issuer, critical=False)
        builder = builder.add_extension(purposes, critical=False)
    return builder.sign(root_key, hashes.SHA256())


def _name(role: str):
    from cryptography import x509

    return x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, OWNER),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{OWNER}: {role}"),
        ]
    )
