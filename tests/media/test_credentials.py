"""Content Credentials: what a file with re-made lips says of itself, and whether it still holds."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import c2pa
import numpy as np
import pytest
from cryptography import x509

import src
from src.core.errors import MediaError, MissingFileError, OutputError
from src.media import credentials
from src.media.credentials import (
    FileDigest,
    RemadeInfo,
    RemadeSources,
    check_container,
    read_remade,
    sign_remade,
)
from src.media.signing_certificate import load_certificate
from src.media.source_note import append_note, read_note
from src.media.writer import write_clip, write_wav
from tests.support.certificates import make_chain, write_pair
from tests.support.media_files import code_image, ffmpeg

ROOT = Path(__file__).resolve().parents[2]
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@pytest.fixture(scope="module", autouse=True)
def config(tmp_path_factory):
    """A configuration folder for this module, and no network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIPSYNC_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        patch.setattr(socket, "socket", no_network)
        patch.setattr(socket, "getaddrinfo", no_network)
        yield


def no_network(*_, **__):
    raise AssertionError("the network is used")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """``remade.mp4``, ``remade.mov``, ``remade.mkv`` and what they were made from."""
    folder = tmp_path_factory.mktemp("clips")
    tone = (0.3 * np.sin(np.arange(16_000) / 5)).astype(np.float32)
    for name in ("remade.mp4", "remade.mov", "remade.mkv"):
        write_clip(folder / name, map(code_image, range(25)), 25, tone)
    write_clip(folder / "base.mp4", map(code_image, range(25, 30)), 25, None)
    write_wav(folder / "speech.wav", tone)
    (folder / "sync.pth").write_bytes(b"weights")
    return folder


@pytest.fixture(scope="module")
def sources(folder) -> RemadeSources:
    base, audio = folder / "base.mp4", folder / "speech.wav"
    footage = (FileDigest("base.mp4", sha256(base)), FileDigest("two.mov", "ab" * 32))
    return RemadeSources(base, audio, "Anna", footage, folder / "sync.pth", "en-us+f2")


@pytest.fixture(scope="module")
def signed(folder, sources) -> Path:
    sign_remade(folder / "remade.mp4", folder / "signed.mp4", sources, load_certificate())
    return folder / "signed.mp4"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def decoded(path: Path) -> list[tuple]:
    """(stream, time, content) of each decoded frame of video and audio."""
    with av.open(str(path)) as container:
        return [
            (frame.__class__.__name__, frame.time, frame.to_ndarray().tobytes())
            for frame in container.decode()
        ]


def manifest_of(path: Path, kind="video/mp4") -> tuple[dict, dict]:
    """The active manifest and the results of its validation, read with the library alone."""
    with open(path, "rb") as file, c2pa.Reader(kind, file) as reader:
        store = json.loads(reader.json())
    return store["manifests"][store["active_manifest"]], store["validation_results"]


# ------------------------------------------------------------------------ what it says


@pytest.mark.parametrize("name", ["remade.mp4", "remade.mov"])
def test_the_note_on_the_source_survives_signing(folder, sources, tmp_path, name):
    """It is written before, and covered by the signature."""
    note = "0123456789abcdef" * 2
    path = Path(shutil.copy(folder / name, tmp_path))
    append_note(path, note)
    sign_remade(path, path, sources, load_certificate())
    assert read_note(path) == note and read_remade(path).is_intact


def test_what_is_written_is_read(folder, sources, signed):
    assert read_remade(signed) == RemadeInfo(
        base_video=FileDigest("base.mp4", sha256(folder / "base.mp4")),
        audio=FileDigest("speech.wav", sha256(folder / "speech.wav")),
        presenter="Anna",
        footage=sources.footage,
        sync_model=FileDigest("sync.pth", hashlib.sha256(b"weights").hexdigest()),
        voice="en-us+f2",
        software=f"lipsync {src.__version__}",
        signer="lipsync (self-made certificate): signer",
        is_intact=True,
    )


def test_other_software_can_read_it(signed):
    manifest, results = manifest_of(signed)
    codes = {failure["code"] for failure in results["activeManifest"]["failure"]}
    assert codes == {"signingCredential.untrusted"}
    assertions = {one["label"]: one for one in manifest["assertions"]}
    actions = assertions["c2pa.actions.v2"]["data"]["actions"]
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.placed", "c2pa.edited"]
    assert actions[2]["digitalSourceType"] == COMPOSITE
    assert actions[2]["softwareAgent"] == {"name": "lipsync", "version": src.__version__}
    ingredients = {one["title"]: one["relationship"] for one in manifest["ingredients"]}
    assert ingredients == {
        "base.mp4": "parentOf", "speech.wav": "componentOf", "Anna": "inputTo",
        "sync.pth": "inputTo",
    }  # fmt: skip
    linked = [len(action["parameters"]["ingredients"]) for action in actions]
    assert linked == [1, 1, 2]


def test_no_folder_is_named(folder, signed):
    assert str(folder).encode() not in signed.read_bytes()


def test_recorded_speech_has_no_voice(tmp_path, folder, sources):
    output = tmp_path / "signed.mp4"
    sign_remade(folder / "remade.mp4", output, replace(sources, voice=None), load_certificate())
    assert read_remade(output).voice is None and read_remade(output).is_intact


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_video_and_audio_are_unchanged(tmp_path, folder, sources, suffix):
    source, output = folder / f"remade.{suffix}", tmp_path / f"signed.{suffix.upper()}"
    before = source.read_bytes()
    sign_remade(source, output, sources, load_certificate())
    assert source.read_bytes() == before
    frames = decoded(source)
    assert len({kind for kind, _, _ in frames}) == 2 and decoded(output) == frames
    assert read_remade(output).is_intact
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_media_data_before_and_after_the_header(tmp_path, folder, sources):
    """The offsets in the header change with the manifest before it."""
    for flags in ([], ["-movflags", "+faststart"]):
        source, output = tmp_path / "source.mp4", tmp_path / "signed.mp4"
        ffmpeg("-i", folder / "remade.mp4", "-c", "copy", *flags, source)
        sign_remade(source, output, sources, load_certificate())
        assert decoded(output) == decoded(source) and read_remade(output).is_intact


def test_in_place(tmp_path, folder, sources):
    path = Path(shutil.copy(folder / "remade.mp4", tmp_path))
    for _ in range(2):  # the second replaces the manifest of the first
        sign_remade(path, path, sources, load_certificate())
        assert read_remade(path).is_intact and decoded(path) == decoded(folder / "remade.mp4")
    assert path.read_bytes().count(b"uuid" + credentials.MANIFEST_UUID) == 1


def test_all_files_are_signed_with_one_certificate(tmp_path, folder, sources, signed):
    output = tmp_path / "another.mp4"
    sign_remade(folder / "remade.mp4", output, sources, load_certificate())
    serials = {manifest_of(path)[0]["signature_info"]["cert_serial_number"] for path in
               (signed, output)}  # fmt: skip
    assert len(serials) == 1


@pytest.mark.parametrize("purpose", ["1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36",
                                     "1.3.6.1.4.1.62558.2.1"])  # fmt: skip
def test_own_certificate(tmp_path, folder, sources, purpose):
    chain, key = make_chain(purposes=[x509.ObjectIdentifier(purpose)])
    certificate = load_certificate(*write_pair(tmp_path, chain, key))
    sign_remade(folder / "remade.mp4", tmp_path / "signed.mp4", sources, certificate)
    info = read_remade(tmp_path / "signed.mp4")
    assert info.signer == "Studio Anna" and info.is_intact
    serial = x509.load_pem_x509_certificate(chain).serial_number
    signature = manifest_of(tmp_path / "signed.mp4")[0]["signature_info"]
    assert signature["cert_serial_number"] == str(serial)


def test_names_that_are_not_utf_8(tmp_path, folder, sources):
    name = os.fsdecode(b"caf\xe9.mp4")
    try:
        base = Path(shutil.copy(folder / "base.mp4", tmp_path / name))
    except OSError:
        pytest.skip("this file system has none")
    odd = replace(sources, base_video=base, presenter="王\t", voice=name)
    sign_remade(folder / "remade.mp4", tmp_path / f"out-{name}", odd, load_certificate())
    info = read_remade(tmp_path / f"out-{name}")
    assert info.base_video.name == info.voice == "caf�.mp4" and info.presenter == "王�"


def test_inputs_that_cannot_hold_a_manifest(tmp_path, folder, sources):
    """A base video of another kind, or with a name of another kind, is named all the same."""
    misnamed = Path(shutil.copy(folder / "remade.mkv", tmp_path / "misnamed.mp4"))
    for base in (folder / "remade.mkv", misnamed):
        output = tmp_path / "signed.mp4"
        sign_remade(folder / "remade.mp4", output, replace(sources, base_video=base),
                    load_certificate())  # fmt: skip
        info = read_remade(output)
        assert info.is_intact and info.base_video == FileDigest(base.name, sha256(base))
        titles = [one["title"] for one in manifest_of(output)[0]["ingredients"]]
        assert base.name in titles


# ------------------------------------------------------------------------ history


def test_manifest_of_the_base_video_is_kept(tmp_path, folder, sources, signed):
    output = tmp_path / "twice.mp4"
    again = replace(sources, base_video=signed, presenter="Bert")
    sign_remade(folder / "remade.mp4", output, again, load_certificate())
    info = read_remade(output)
    assert info.presenter == "Bert" and info.base_video.name == "signed.mp4" and info.is_intact
    with open(output, "rb") as file, c2pa.Reader("video/mp4", file) as reader:
        assert len(json.loads(reader.json())["manifests"]) == 2


def edit_with_other_software(base: Path, source: Path, output: Path, relationship="parentOf"):
    """What an editor does that keeps Content Credentials."""
    chain, key = make_chain(name="Editor")
    folder = output.parent
    certificate = load_certificate(*write_pair(folder, chain, key))
    info = c2pa.C2paSignerInfo("es256", certificate.chain, certificate.private_key, None)
    actions = [{"action": "c2pa.opened" if relationship == "parentOf" else "c2pa.created",
                "digitalSourceType": "http://c2pa.org/digitalsourcetype/empty",
                "parameters": {"ingredientIds": ["base"]}}]  # fmt: skip
    manifest = {
        "claim_generator_info": [{"name": "editor", "version": "9"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }
    with (
        c2pa.Signer.from_info(info) as signer,
        c2pa.Builder(manifest) as builder,
        open(source, "rb") as original,
        open(output, "w+b") as written,
    ):
        if base:
            with open(base, "rb") as file:
                ingredient = {"title": "base", "label": "base", "relationship": relationship}
                builder.add_ingredient(ingredient, "video/mp4", file)
        builder.sign(signer, "video/mp4", original, written)
    return output


def test_file_edited_by_other_software(tmp_path, folder, signed):
    edited = edit_with_other_software(signed, folder / "base.mp4", tmp_path / "edited.mp4")
    info = read_remade(edited)
    assert info.presenter == "Anna" and info.is_intact
    assert info.software == f"lipsync {src.__version__}"
    twice = edit_with_other_software(edited, folder / "base.mp4", tmp_path / "twice.mp4")
    assert read_remade(twice) == info
    damaged = damage(signed, tmp_path / "damaged.mp4")
    edited = edit_with_other_software(damaged, folder / "base.mp4", tmp_path / "edited.mp4")
    assert not read_remade(edited).is_intact


def test_unrelated_manifests(tmp_path, folder, signed):
    other = edit_with_other_software(folder / "base.mp4", folder / "remade.mp4",
                                     tmp_path / "other.mp4")  # fmt: skip
    assert read_remade(other) is None
    part = edit_with_other_software(signed, folder / "base.mp4", tmp_path / "part.mp4", "inputTo")
    assert read_remade(part) is None  # the re-made file is not this one


# ------------------------------------------------------------------------ damage


def damage(path: Path, output: Path, at: int | None = None) -> Path:
    """A copy with one other byte: in the media data, or ``at``."""
    content = bytearray(path.read_bytes())
    content[content.rindex(b"mdat") + 1000 if at is None else at] ^= 0x55
    output.write_bytes(content)
    return output


def test_changed_media_data_is_noticed(tmp_path, signed):
    info = read_remade(damage(signed, tmp_path / "damaged.mp4"))
    assert not info.is_intact
    assert replace(info, is_intact=True) == read_remade(signed)


def test_appended_media_is_noticed(tmp_path, signed):
    longer = tmp_path / "longer.mp4"
    longer.write_bytes(signed.read_bytes() + b"\x00\x00\x00\x10mdat12345678")
    assert not read_remade(longer).is_intact


def test_manifest_moved_to_another_file_is_noticed(tmp_path, folder, signed):
    content = signed.read_bytes()
    start = content.index(credentials.MANIFEST_UUID) - 8
    box = content[start : start + int.from_bytes(content[start : start + 4], "big")]
    other = (folder / "base.mp4").read_bytes()
    ftyp = int.from_bytes(other[:4], "big")
    (tmp_path / "moved.mp4").write_bytes(other[:ftyp] + box + other[ftyp:])
    assert not read_remade(tmp_path / "moved.mp4").is_intact


def test_changed_statement_is_noticed(tmp_path, signed):
    content = signed.read_bytes()
    assert content.count(b"en-us+f2") == 1
    info = read_remade(damage(signed, tmp_path / "lie.mp4", content.index(b"en-us+f2")))
    assert info.voice == "0n-us+f2" and not info.is_intact


def test_no_damage_to_the_manifest_raises(tmp_path, signed):
    content = signed.read_bytes()
    start = content.index(credentials.MANIFEST_UUID) - 8
    size = int.from_bytes(content[start : start + 4], "big")
    intact = read_remade(signed)
    for at in np.random.default_rng(0).integers(start, start + size, 150):
        info = read_remade(damage(signed, tmp_path / "damaged.mp4", int(at)))
        assert info is None or not info.is_intact or info == intact
    for n_bytes in (0, 1, 7, 8, 30, start + 8, start + 24, start + size // 2, len(content) // 2):
        (tmp_path / "cut.mp4").write_bytes(content[:n_bytes])
        info = read_remade(tmp_path / "cut.mp4")
        assert info is None or not info.is_intact


def test_expired_certificate_is_no_damage(signed):
    results = {"activeManifest": {"failure": [{"code": "signingCredential.expired"}]}}
    assert not credentials._broken(results)
    results["activeManifest"]["failure"].append({"code": "assertion.bmffHash.mismatch"})
    assert credentials._broken(results)


@pytest.mark.parametrize("data", [None, [], "text", {}, {"base_video": "a"}])
def test_statements_of_another_form(data):
    assert credentials._remade_info({}, data, True) is None


def test_control_characters_are_not_shown(sources):
    assertion = credentials._assertion(replace(sources, presenter="\x1b[31m Anna\n"))
    info = credentials._remade_info({}, assertion, True)
    assert info.presenter == "\ufffd[31m Anna\ufffd"


# ------------------------------------------------------------------------ files without


def test_files_without_a_manifest(tmp_path, folder):
    (tmp_path / "text.mp4").write_text("no video " * 1000)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "box.mp4").write_bytes(b"\0\0\0\x28uuid" + credentials.MANIFEST_UUID + b"\0" * 16)
    (tmp_path / "huge.mp4").write_bytes(b"\0\0\0\x01free" + b"\xff" * 8)
    (tmp_path / "tiny.mp4").write_bytes(b"\0\0\0\x08free" * 5000)
    paths = [*tmp_path.iterdir(), tmp_path, tmp_path / "missing.mp4",
             *(folder / f"remade.{suffix}" for suffix in ("mp4", "mov", "mkv")),
             folder / "speech.wav"]  # fmt: skip
    assert [read_remade(path) for path in paths] == [None] * len(paths)


@pytest.mark.parametrize("size", [0, 4])
def test_nothing_is_looked_for_behind_an_impossible_size(tmp_path, size):
    box = b"\0\0\0\x20uuid" + credentials.MANIFEST_UUID + b"\0" * 8
    (tmp_path / "box.mp4").write_bytes(box)
    assert credentials._has_manifest(tmp_path / "box.mp4")
    (tmp_path / "odd.mp4").write_bytes(size.to_bytes(4, "big") + box)
    assert not credentials._has_manifest(tmp_path / "odd.mp4")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert read_remade(tmp_path / "pipe.mp4") is None


def test_manifest_behind_a_large_box(tmp_path, signed):
    """A size of 64 bits, and one that the file does not have: nothing is read to get past it."""
    content = signed.read_bytes()
    ftyp = int.from_bytes(content[:4], "big")
    skipped = b"\0\0\0\x01free" + (5_000_000_000).to_bytes(8, "big")
    large = tmp_path / "large.mp4"
    with open(large, "wb") as file:
        file.write(content[:ftyp] + skipped)
        file.seek(ftyp + 5_000_000_000)  # a hole: it takes no space
        file.write(content[ftyp : ftyp + 100])
    assert credentials._has_manifest(large)
    with open(large, "r+b") as file:
        file.truncate(ftyp + 1000)
    assert not credentials._has_manifest(large)


def test_unsigned_file_loads_no_library(folder):
    code = (
        "import sys; from src.media.credentials import read_remade;"
        f"assert read_remade({str(folder / 'remade.mp4')!r}) is None;"
        "print(*{'c2pa', 'cryptography'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


# ------------------------------------------------------------------------ errors


def one_line(caught) -> str:
    text = str(caught.value)
    assert "\n" not in text and text
    return text


def test_mkv_is_refused(tmp_path, folder, sources):
    for call in (
        lambda path: check_container(path),
        lambda path: sign_remade(folder / "remade.mkv", path, sources, load_certificate()),
    ):
        with pytest.raises(OutputError) as caught:
            call(tmp_path / "signed.mkv")
        text = one_line(caught)
        assert ".mov .mp4" in text and "--no-credentials" in text
    assert list(tmp_path.iterdir()) == []
    check_container("signed.MP4")


def test_source_that_is_no_mp4(tmp_path, folder, sources):
    with pytest.raises(OutputError) as caught:
        sign_remade(folder / "remade.mkv", tmp_path / "signed.mp4", sources, load_certificate())
    assert "cannot write Content Credentials to" in one_line(caught)
    assert list(tmp_path.iterdir()) == []


def test_certificate_for_another_purpose(tmp_path, folder, sources):
    purposes = [x509.ExtendedKeyUsageOID.CODE_SIGNING]
    certificate = load_certificate(*write_pair(tmp_path, *make_chain(purposes=purposes)))
    with pytest.raises(OutputError) as caught:
        sign_remade(folder / "remade.mp4", tmp_path / "signed.mp4", sources, certificate)
    assert "certificate" in one_line(caught)
    assert not (tmp_path / "signed.mp4").exists()


@pytest.mark.parametrize("field", ["base_video", "audio", "sync_model"])
def test_missing_inputs(tmp_path, folder, sources, field):
    lost = replace(sources, **{field: tmp_path / "lost.bin"})
    with pytest.raises(MissingFileError, match=r"lost\.bin"):
        sign_remade(folder / "remade.mp4", tmp_path / "signed.mp4", lost, load_certificate())
    assert list(tmp_path.iterdir()) == []


def test_missing_source_and_folder(tmp_path, folder, sources):
    with pytest.raises(MediaError, match="file not found"):
        sign_remade(tmp_path / "no.mp4", tmp_path / "signed.mp4", sources, load_certificate())
    with pytest.raises(OutputError, match="cannot write"):
        sign_remade(folder / "remade.mp4", tmp_path / "no" / "signed.mp4", sources,
                    load_certificate())  # fmt: skip


def test_full_disk(tmp_path, folder, sources):
    resource = pytest.importorskip("resource")
    certificate = load_certificate()
    output = tmp_path / "signed.mp4"
    output.write_bytes(b"an older file")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(OutputError, match="File too large") as caught:
            sign_remade(folder / "remade.mp4", output, sources, certificate)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"cannot write {output}" in one_line(caught)
    assert output.read_bytes() == b"an older file" and [*tmp_path.iterdir()] == [output]
