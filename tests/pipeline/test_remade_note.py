"""A video that says that its lips were re-made: the first note of its result."""

import json
from pathlib import Path

import numpy as np
import pytest

import src
from src.checkpoints.location import PRETRAINED
from src.core.notes import RemadeLips
from src.media.credentials import FileDigest, RemadeSources, sign_remade
from src.media.signing_certificate import load_certificate
from src.media.writer import write_wav
from src.pipeline.engine import LipSyncInference
from tools.synthetic_talker import make_clip

SECONDS = 3.0
SIGNED = RemadeLips(
    software=f"lipsync {src.__version__}", signer="lipsync (self-made certificate): signer",
    is_intact=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> LipSyncInference:
    return LipSyncInference(PRETRAINED, "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """``plain.mp4``, ``signed.mp4``, ``changed.mp4`` (after it was signed) and ``short.wav``."""
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder / "plain.mp4", 90_008, SECONDS)
    tone = (0.3 * np.sin(np.arange(16_000) / 5)).astype(np.float32)
    write_wav(folder / "short.wav", tone)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIPSYNC_CONFIG_DIR", str(folder / "config"))
        base, audio = folder / "plain.mp4", folder / "short.wav"
        sources = RemadeSources(base, audio, "Anna", (FileDigest("a.mp4", "ab" * 32),), audio)
        sign_remade(base, folder / "signed.mp4", sources, load_certificate())
    signed = (folder / "signed.mp4").read_bytes()
    (folder / "changed.mp4").write_bytes(signed + b"\x00\x00\x00\x10mdat12345678")
    return folder


def test_re_made_lips_are_the_first_note(engine, folder):
    result = engine.measure(folder / "signed.mp4", folder / "short.wav")
    assert result.notes[0] == SIGNED
    assert [note.code for note in result.notes[1:]] == ["audio_ends_early"]
    note = json.loads(json.dumps(result.to_dict("en")))["notes"][0]
    assert note["code"] == "remade_lips" and note["text"].startswith("synthetic: the lips")


def test_file_changed_since_it_was_signed(engine, folder):
    first = engine.measure(str(folder / "changed.mp4")).notes[0]
    assert first == SIGNED.model_copy(update={"is_intact": False})


def test_other_videos_have_no_such_note(engine, folder):
    notes = engine.measure(folder / "plain.mp4").notes
    assert not [note for note in notes if isinstance(note, RemadeLips)]
