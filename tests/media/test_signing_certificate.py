"""The certificate that signs Content Credentials: the user's own, or a self-made one."""

import os
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from src.core.errors import ConfigError, OutputError
from src.media import signing_certificate
from src.media.signing_certificate import config_folder, load_certificate
from tests.support.certificates import make_chain, write_key, write_pair
from tests.support.limits import HANG_S

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch) -> Path:
    """An empty configuration folder."""
    folder = tmp_path / "config"
    monkeypatch.setenv("LIPSYNC_CONFIG_DIR", str(folder))
    return folder


def test_self_made_certificate_is_made_once(config):
    first = load_certificate()
    names = {path.name for path in (config / "credentials").iterdir()}
    assert names == {"certificate_chain.pem", "private_key.pem", "root.pem"}
    assert load_certificate() == first
    assert [path.name for path in config.iterdir()] == ["credentials"]


def test_self_made_certificate_satisfies_the_profile(config):
    made = load_certificate()
    signing, root = x509.load_pem_x509_certificates(made.chain)
    signing.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert made.algorithm == "ES256" and isinstance(signing.public_key().curve, ec.SECP256R1)
    key = serialization.load_pem_private_key(made.private_key, None)
    signing.public_key().verify(key.sign(b"x", ec.ECDSA(hashes.SHA256())), b"x",
                                ec.ECDSA(hashes.SHA256()))  # fmt: skip

    def extension(certificate, kind):
        return certificate.extensions.get_extension_for_class(kind)

    usage = extension(signing, x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    assert extension(root, x509.KeyUsage).value.key_cert_sign
    purposes = extension(signing, x509.ExtendedKeyUsage).value
    assert list(purposes) == [x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]
    assert not extension(signing, x509.BasicConstraints).value.ca
    assert extension(root, x509.BasicConstraints).value.ca
    authority = extension(signing, x509.AuthorityKeyIdentifier).value.key_identifier
    assert authority == extension(root, x509.SubjectKeyIdentifier).value.digest
    assert signing.not_valid_before_utc < datetime.now(timezone.utc)
    assert (config / "credentials" / "root.pem").read_bytes() in made.chain


def test_private_key_is_not_shown():
    made = load_certificate()
    assert "PRIVATE" not in repr(made)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_only_the_user_may_read_the_key(config):
    before = os.umask(0)
    try:
        load_certificate()
    finally:
        os.umask(before)
    folder = config / "credentials"
    assert stat.S_IMODE((folder / "private_key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_another_process_that_is_faster_wins(config, monkeypatch):
    make_pair, others = signing_certificate._make_pair, []

    def slow_make_pair():
        monkeypatch.setattr(signing_certificate, "_make_pair", make_pair)
        others.append(load_certificate())  # the other process, from beginning to end
        return make_pair()

    monkeypatch.setattr(signing_certificate, "_make_pair", slow_make_pair)
    assert load_certificate() == others[0]
    assert [path.name for path in config.iterdir()] == ["credentials"]


def test_processes_that_begin_together_get_one_certificate(tmp_path, config):
    go = tmp_path / "go"
    code = (
        "import hashlib, pathlib, sys, time\n"
        "from src.media.signing_certificate import load_certificate\n"
        "import cryptography.x509\n"
        "print('ready', flush=True)\n"
        f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.001)\n"
        "made = load_certificate()\n"
        "print(hashlib.sha256(made.chain + made.private_key).hexdigest())\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    go.touch()
    digests = {process.communicate(timeout=HANG_S)[0] for process in processes}
    assert len(digests) == 1 and digests != {""}
    assert [path.name for path in config.iterdir()] == ["credentials"]


@pytest.mark.parametrize("damage", ["missing key", "other key", "empty chain", "expired"])
def test_damaged_self_made_certificate_says_how_to_renew_it(config, damage):
    load_certificate()
    folder = config / "credentials"
    if damage == "missing key":
        (folder / "private_key.pem").unlink()
    elif damage == "other key":
        write_key(folder / "private_key.pem", ec.generate_private_key(ec.SECP256R1()))
    elif damage == "empty chain":
        (folder / "certificate_chain.pem").write_bytes(b"")
    else:
        chain, key = make_chain(days=(-20, -10))
        (folder / "certificate_chain.pem").write_bytes(chain)
        write_key(folder / "private_key.pem", key)
    with pytest.raises(ConfigError) as caught:
        load_certificate()
    assert f"delete the folder {folder}" in str(caught.value) and "\n" not in str(caught.value)


def test_unwritable_configuration_folder(tmp_path, config, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIPSYNC_CONFIG_DIR", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot create the folder"):
        load_certificate()


def test_full_disk_leaves_nothing(config, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(signing_certificate, "_write_private", full)
    with pytest.raises(OutputError, match="No space left on device"):
        load_certificate()
    assert list(config.iterdir()) == []


# ------------------------------------------------------------------------ the user's own


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ec.generate_private_key(ec.SECP521R1()), "ES512"),
        (rsa.generate_private_key(65537, 2048), "PS256"),
        (ed25519.Ed25519PrivateKey.generate(), "ED25519"),
    ],
)
def test_own_certificate(tmp_path, config, key, algorithm):
    paths = write_pair(tmp_path, *make_chain(key))
    loaded = load_certificate(*paths)
    assert loaded.algorithm == algorithm and loaded.chain == paths[0].read_bytes()
    assert not config.exists()


def test_key_in_the_older_format(tmp_path):
    chain, key = make_chain()
    certificate, _ = write_pair(tmp_path, chain, key)
    older = write_key(
        tmp_path / "older.pem", key, serialization.PrivateFormat.TraditionalOpenSSL
    )  # fmt: skip
    assert b"EC PRIVATE KEY" in older.read_bytes()
    assert b"BEGIN PRIVATE KEY" in load_certificate(certificate, older).private_key


def test_one_without_the_other(tmp_path):
    certificate, key = write_pair(tmp_path, *make_chain())
    for arguments in ((certificate, None), (None, key)):
        with pytest.raises(ConfigError, match="give both"):
            load_certificate(*arguments)


def test_unusable_pairs(tmp_path):
    certificate, key = write_pair(tmp_path, *make_chain())
    secret = serialization.BestAvailableEncryption(b"secret")
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret
        )
    )
    other = write_key(tmp_path / "other.pem", ec.generate_private_key(ec.SECP256R1()))
    curve = write_key(tmp_path / "curve.pem", ec.generate_private_key(ec.SECP256K1()))
    kind = write_key(tmp_path / "kind.pem", dsa.generate_private_key(1024))
    missing, text = tmp_path / "missing.pem", tmp_path / "text.pem"
    text.write_text("no PEM")
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for arguments, says in (
        ((missing, key), f"cannot read {missing}: No such file"),
        ((certificate, missing), f"cannot read {missing}: No such file"),
        ((tmp_path, key), f"cannot read {tmp_path}: "),
        ((text, key), f"{text} holds no certificate"),
        ((broken, key), f"{broken} holds no certificate"),
        ((key, key), f"{key} holds no certificate"),
        ((certificate, text), f"{text} holds no private key"),
        ((certificate, certificate), f"{certificate} holds no private key"),
        ((certificate, locked), f"{locked} is protected by a passphrase"),
        ((certificate, other), f"{other} is not the private key of the first certificate"),
        ((certificate, curve), f"{curve}: this kind of key cannot sign"),
        ((certificate, kind), f"{kind}: this kind of key cannot sign"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_certificate(*arguments)
        assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("days", "says"), [((-9, -3), "expired on"), ((3, 9), "not valid before")])
def test_dates(tmp_path, days, says):
    with pytest.raises(ConfigError) as caught:
        load_certificate(*write_pair(tmp_path, *make_chain(days=days)))
    day = (datetime.now(timezone.utc) + timedelta(days=-3 if days[0] < 0 else 3)).date()
    assert f"{says} {day}" in str(caught.value)


# ------------------------------------------------------------------------ where it is kept


def test_configuration_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("LIPSYNC_CONFIG_DIR", str(tmp_path / "named"))
    assert config_folder() == tmp_path / "named"
    monkeypatch.delenv("LIPSYNC_CONFIG_DIR")
    for platform, variable, in_home in (
        ("linux", "XDG_CONFIG_HOME", ".config"),
        ("win32", "APPDATA", "AppData/Roaming"),
    ):
        monkeypatch.setattr(signing_certificate.sys, "platform", platform)
        monkeypatch.setenv(variable, str(tmp_path / "set"))
        assert config_folder() == tmp_path / "set" / "lipsync"
        for unusable in ("", "relative"):
            monkeypatch.setenv(variable, unusable)
            assert config_folder() == tmp_path / "home" / in_home / "lipsync"
        monkeypatch.delenv(variable)


def test_no_home_folder(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("LIPSYNC_CONFIG_DIR", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(signing_certificate.Path, "home", no_home)
    with pytest.raises(ConfigError, match="set LIPSYNC_CONFIG_DIR"):
        config_folder()
