"""Content Credentials (C2PA): a file whose lips were re-made says so, signed, inside itself.

Nothing here uses the network: no time stamps, no manifests from elsewhere, no revocation lists.
"""

import io
import json
import mimetypes
import os
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ..core.errors import OutputError, UnreadableMediaError
from ..core.files import file_sha256, written_atomically
from ..i18n.messages import tr
from .container import check_file
from .signing_certificate import SigningCertificate

FORMATS = {".mp4": "video/mp4", ".mov": "video/quicktime"}  # that can hold the credentials
ASSERTION = "org.lipsync.presenter"
# IPTC: real media of which a part was re-made by a trained model.
DIGITAL_SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
DESCRIPTION = "The lips were re-made for this speech by a trained model"
MANIFEST_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
MAX_BOXES = 1000  # at the top of a file; the manifest is among the first
# What a certificate may be for: e-mail protection, document signing, C2PA claim signing.
PURPOSES = ("1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36", "1.3.6.1.4.1.62558.2.1")
SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    # Larger copies are made in a temporary file: they would take twice their size in memory.
    "core": {"allowed_network_hosts": [], "backing_store_memory_threshold_in_mb": 16},
    "builder": {"thumbnail": {"enabled": False}, "ignore_ingredient_errors": True},
    "trust": {"trust_config": "\n".join(PURPOSES)},
}
# Neither means that the file was changed.
HARMLESS = {"signingCredential.untrusted", "signingCredential.expired"}


@dataclass(frozen=True)
class FileDigest:
    """A file by its name, without the folder, and its content.

    Attributes:
        sha256: hexadecimal.
    """

    name: str
    sha256: str


@dataclass(frozen=True)
class RemadeSources:
    """What a file with re-made lips was made from.

    Attributes:
        base_video: the footage onto which the mouth was composited.
        audio: the new speech.
        presenter: name of the presenter.
        footage: that of the presenter.
        sync_model: checkpoint of the sync network that was used.
        voice: of the speech synthesis; None: the audio is a recording.
    """

    base_video: Path
    audio: Path
    presenter: str
    footage: tuple[FileDigest, ...]
    sync_model: Path
    voice: str | None = None


@dataclass(frozen=True)
class RemadeInfo:
    """What a file says of its re-made lips; as ``RemadeSources``, and:

    Attributes:
        software: name and version of the program that re-made them.
        signer: the name in the certificate; anybody can make one with any name.
        is_intact: whether the file, its manifest and the signature are unchanged since it was
            signed. A certificate that nobody vouches for, or that has expired, is no change.
    """

    base_video: FileDigest
    audio: FileDigest
    presenter: str
    footage: tuple[FileDigest, ...]
    sync_model: FileDigest
    voice: str | None
    software: str
    signer: str
    is_intact: bool


# -------------------------------------------------------------------------------- writing


def check_container(output: str | Path) -> None:
    """Reject an output that cannot hold Content Credentials, before the work that produces it.

    Raises:
        OutputError.
    """
    if Path(output).suffix.lower() not in FORMATS:
        raise OutputError(
            tr("{path}: only {suffixes} files can say that the lips were re-made; choose such a "
               "name, or leave the Content Credentials out with --no-credentials",
               path=output, suffixes=" ".join(sorted(FORMATS)))
        )  # fmt: skip


def sign_remade(
    source: str | Path,
    output: str | Path,
    sources: RemadeSources,
    certificate: SigningCertificate,
) -> None:
    """Write a copy with a signed C2PA manifest that says that, and from what, the lips were
    re-made. Video and audio are copied bit by bit; manifests of ``source`` itself are dropped,
    those of the base video and the audio are kept as their history. Takes up to 0.6 GB of memory,
    and for a large file twice its size in the system's folder for temporary files.

    Args:
        source: mp4 or mov.
        output: of the same container; may be ``source``.
        certificate: of ``signing_certificate.load_certificate``.

    Raises:
        MediaError: ``source``, or one of ``sources``, cannot be read.
        OutputError: the container cannot hold credentials (``check_container``), the certificate
            does not satisfy C2PA, or the output cannot be written.
    """
    source, output = Path(source), Path(output)
    check_container(output)
    check_file(source)
    manifest = _manifest(output, _assertion(sources))
    with (
        written_atomically(output) as temporary,
        open(source, "rb") as original,
        _OutputFile(temporary, "w+b") as signed,
        _readable_errors(output, signed),
        _open_builder(manifest, certificate) as builder,
    ):
        _add_input(builder, sources.base_video, "base_video", "parentOf")
        _add_input(builder, sources.audio, "audio", "componentOf")
        builder.sign(FORMATS[output.suffix.lower()], original, signed)


@contextmanager
def _open_builder(manifest: dict, certificate: SigningCertificate):
    """The library's ``Builder`` of a manifest to be signed with the certificate."""
    import c2pa

    algorithm = c2pa.C2paSigningAlg[certificate.algorithm]
    info = c2pa.C2paSignerInfo(algorithm, certificate.chain, certificate.private_key, None)
    with (
        c2pa.Signer.from_info(info) as signer,
        c2pa.Context.from_dict(SETTINGS, signer) as context,
        c2pa.Builder(manifest, context) as builder,
    ):
        yield builder


def _add_input(builder, path: str | Path, label: str, relationship: str) -> None:
    """Name a file in the manifest, with the manifest that it has itself, if any."""
    title = _text(Path(path).name)
    content_type = mimetypes.guess_type(title)[0] or "application/octet-stream"
    with open(path, "rb") as file:
        ingredient = {"title": title, "label": label, "relationship": relationship}
        builder.add_ingredient(ingredient, content_type, file)


@contextmanager
def _readable_errors(output: Path, signed: "_OutputFile"):
    """The library's errors, in one line; those of the output file as they are."""
    import c2pa

    try:
        yield
    except c2pa.C2paError as error:
        if signed.error:
            raise signed.error from None
        raise OutputError(
            tr("cannot write Content Credentials to {path}: {why}",
               path=output, why=" ".join(str(error).split()))
        ) from None  # fmt: skip


class _OutputFile(io.FileIO):
    """The library hides what goes wrong in a file it is given.

    Attributes:
        error: the first error of ``write``.
    """

    error: OSError | None = None

    def write(self, data) -> int:
        rest = memoryview(data)
        try:
            while rest:  # a disk that is nearly full takes a part
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = self.error or error
            raise
        return len(data)


def _assertion(sources: RemadeSources) -> dict:
    """The part of the manifest that only this project writes and reads."""
    return {
        "base_video": _file(sources.base_video),
        "audio": _file(sources.audio),
        "text_to_speech_voice": None if sources.voice is None else _text(sources.voice),
        "presenter": _text(sources.presenter),
        "footage": [
            {"name": _text(file.name), "sha256": file.sha256} for file in sources.footage
        ],
        "sync_model": _file(sources.sync_model),
    }  # fmt: skip


def _file(path: str | Path) -> dict[str, str]:
    path = Path(path)
    check_file(path)
    try:
        return {"name": _text(path.name), "sha256": file_sha256(path)}
    except OSError as error:
        raise UnreadableMediaError(
            tr("cannot read {path}: {why}", path=path, why=error.strerror or error)
        ) from None


def _text(name: str) -> str:
    """A name of which the bytes that are not UTF-8 are replaced: JSON cannot hold them."""
    return os.fsencode(name).decode("utf-8", "replace")


def _manifest(output: Path, assertion: dict) -> dict:
    version = import_module(__package__.partition(".")[0]).__version__
    software = {"name": "lipsync", "version": version}
    actions = [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": ["base_video"]}},
        {"action": "c2pa.placed", "parameters": {"ingredientIds": ["audio"]}},
        {
            "action": "c2pa.edited",
            "description": DESCRIPTION,
            "digitalSourceType": DIGITAL_SOURCE_TYPE,
            "softwareAgent": software,
            "parameters": {"ingredientIds": ["presenter", "sync_model"]},
        },
    ]
    return {
        "title": _text(output.name),
        "claim_generator_info": [software],
        "ingredients": [
            {"title": assertion["presenter"], "relationship": "inputTo", "label": "presenter"},
            {"title": assertion["sync_model"]["name"], "relationship": "inputTo",
             "label": "sync_model", "data_types": [{"type": "c2pa.types.model.pytorch"}]},
        ],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}, "created": True},
            {"label": ASSERTION, "data": assertion, "created": True},
        ],
    }  # fmt: skip


# -------------------------------------------------------------------------------- reading


def read_remade(path: str | Path) -> RemadeInfo | None:
    """What a file says of its re-made lips: in its manifest, or in one of an earlier version of
    the file that its manifest names as its parent. Fast for files without a manifest.

    Returns:
        None if it says nothing of the kind, or cannot be read.
    """
    if not _has_manifest(Path(path)):
        return None
    import c2pa

    try:
        with (
            open(path, "rb") as file,
            c2pa.Context.from_dict(SETTINGS) as context,
            c2pa.Reader("video/mp4", file, context=context) as reader,
        ):
            store = json.loads(reader.json())
    except (OSError, ValueError, c2pa.C2paError):
        return None
    return _find_remade(store)


def _has_manifest(path: Path) -> bool:
    """Whether an mp4 or mov file has a box for C2PA: a few bytes of each box are read."""
    try:
        if not path.is_file():  # a pipe would wait
            return False
        with open(path, "rb", buffering=0) as file:
            n_bytes, position = os.fstat(file.fileno()).st_size, 0
            for _ in range(MAX_BOXES):
                if position + 8 > n_bytes:
                    return False
                file.seek(position)
                head = file.read(32).ljust(32, b"\0")
                size, kind, long_size = struct.unpack_from(">I4sQ", head)
                start, size = (16, long_size) if size == 1 else (8, size)
                if kind == b"uuid" and head[start : start + 16] == MANIFEST_UUID:
                    return True
                if size < start:  # 0: the box ends with the file
                    return False
                position += size
    except OSError:
        pass
    return False


def _find_remade(store: dict) -> RemadeInfo | None:
    """The statement in the active manifest of a store, or else in the nearest of its parents."""
    manifests = store.get("manifests", {})
    checks = [store.get("validation_results", {})]
    checked = "activeManifest" in checks[0]
    label, seen = store.get("active_manifest"), set()
    while label in manifests and label not in seen:
        seen.add(label)
        manifest = manifests[label]
        for assertion in manifest.get("assertions", ()):
            if assertion.get("label") == ASSERTION:
                is_intact = checked and not any(map(_broken, checks))
                return _remade_info(manifest, assertion.get("data"), is_intact)
        inputs = manifest.get("ingredients", ())
        parent = next((one for one in inputs if one.get("relationship") == "parentOf"), {})
        checks.append(parent.get("validation_results", {}))
        label = parent.get("active_manifest")
    return None


def _broken(results: dict) -> bool:
    """Whether the library found a manifest, its signature or its file changed."""
    failures = results.get("activeManifest", {}).get("failure", ())
    return not HARMLESS.issuperset(failure.get("code") for failure in failures)


def _remade_info(manifest: dict, data, is_intact: bool) -> RemadeInfo | None:
    """None: this project did not write ``data``."""
    software = next(iter(manifest.get("claim_generator_info", ())), {})
    certificate = manifest.get("signature_info", {})
    try:
        voice = data["text_to_speech_voice"]
        return RemadeInfo(
            base_video=_digest(data["base_video"]),
            audio=_digest(data["audio"]),
            presenter=_shown(data["presenter"]),
            footage=tuple(map(_digest, data["footage"])),
            sync_model=_digest(data["sync_model"]),
            voice=None if voice is None else _shown(voice),
            software=_shown(f"{software.get('name', '')} {software.get('version', '')}".strip()),
            signer=_shown(certificate.get("common_name") or certificate.get("issuer") or ""),
            is_intact=is_intact,
        )
    except (KeyError, TypeError):
        return None


def _digest(value) -> FileDigest:
    return FileDigest(_shown(value["name"]), _shown(value["sha256"]))


def _shown(value) -> str:
    """Text from a file, fit for a terminal: control characters are replaced."""
    if not isinstance(value, str):
        raise TypeError
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)
