"""A track -> evidence: in pieces as in one pass, and with the sign of the project."""

import numpy as np
import pytest
import torch

from src.models import embedding
from src.models.embedding import embed_audio, embed_video
from src.models.normalization import bands_of, central_view, normalise_bands
from src.models.spec import ModelSize
from src.models.sync_model import SyncModel
from src.preprocessing.clip_features import AudioFeatures, ClipFeatures, TrackFeatures
from src.preprocessing.track_file import CropFile, read_sample, record_type, write_sample
from src.scoring import clip_evidence
from src.scoring.clip_evidence import evidence_of, evidence_of_faces
from src.scoring.evidence import compare, curve_of

SIZE = ModelSize(48, 40, 16, 16, 2, 0.4)


@pytest.fixture
def model() -> SyncModel:
    torch.manual_seed(0)
    return SyncModel(SIZE).eval()


def track(frames: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    crops = rng.integers(0, 256, (frames, 48, 48), dtype=np.uint8)
    mfcc = rng.normal(0, 20, (4 * frames, 40)).astype(np.float32)
    return crops, mfcc, rng.random(frames) < 0.7


@pytest.mark.parametrize("frames", [5, 9, 10, 11, 14, 15, 31])
def test_pieces_give_what_one_pass_gives(model, monkeypatch, frames):
    crops, _, _ = track(frames)
    whole = embed_video(model, crops)
    monkeypatch.setattr(embedding, "CHUNK", 10)
    pieces = embed_video(model, crops)
    assert whole.shape == pieces.shape == (frames - 4, 16)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


def test_the_whole_track_decides_the_brightness(model):
    crops, _, _ = track(20)
    views = central_view(torch.from_numpy(crops), SIZE).float() / 255
    views = (views - views.mean()) / views.std(correction=0)
    with torch.no_grad():
        expected = model.video(views[None])[0]
    np.testing.assert_allclose(embed_video(model, crops), expected, atol=1e-4)


def test_audio_is_embedded_every_10_ms(model):
    _, mfcc, speech = track(12)
    found = embed_audio(model, mfcc, speech)
    assert found.shape == (4 * 8 - 3, 16)
    counted = torch.from_numpy(speech).repeat_interleave(4)[None]
    bands = normalise_bands(bands_of(torch.from_numpy(mfcc))[None], counted)
    with torch.no_grad():
        for step in (0, 5, 28):
            alone = model.audio(bands[:, step : step + 20])[0, 0]
            np.testing.assert_allclose(found[step], alone, atol=1e-5)


def test_evidence_takes_memory_mapped_records(model, tmp_path):
    crops, mfcc, speech = track(12)
    sample = np.zeros(12, record_type(48, 40, 4))
    sample["crop"], sample["mfcc"], sample["speech"] = crops, mfcc.reshape(12, 4, 40), speech
    np.save(tmp_path / "one.npy", sample)
    records = read_sample(tmp_path / "one.npy")
    found = evidence_of(model, records["crop"], mfcc, records["speech"], reach=20)
    assert found.first_frame == 0 and found.similarity.shape == (8, 41)
    np.testing.assert_array_equal(
        found.similarity, evidence_of(model, crops, mfcc, speech, 20).similarity
    )


class Echo(torch.nn.Module):
    """Encoders whose embedding is a number that picture and sound both carry."""

    def __init__(self):
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.zeros(()))
        self.size = SIZE

    @staticmethod
    def code(number: torch.Tensor) -> torch.Tensor:
        return torch.stack([number.sin(), number.cos()], -1)

    def video(self, views):
        return self.code(3 * views.mean((2, 3))[:, 2:-2])

    def audio(self, bands):
        return self.code(3 * bands.unfold(1, 4, 4).mean((2, 3))[:, 2:-2])


@pytest.mark.parametrize("lead", [-5, 0, 3])
def test_a_sound_that_is_early_has_a_positive_offset(monkeypatch, lead):
    monkeypatch.setattr(embedding, "normalise_views", lambda views, *_: views)
    monkeypatch.setattr(embedding, "levelled_bands", lambda bands, *_: bands)
    monkeypatch.setattr(embedding, "bands_of", lambda mfcc: mfcc)
    said = np.random.default_rng(1).integers(0, 256, 80)
    crops = np.broadcast_to(said[10:70, None, None], (60, 48, 48)).astype(np.uint8)
    heard = np.repeat(said[10 + lead : 70 + lead] / 255, 4)
    mfcc = np.broadcast_to(heard[:, None], (240, 40)).astype(np.float32)
    curve = curve_of([evidence_of(Echo(), crops, mfcc, np.ones(60, bool), reach=40)])
    assert curve.offsets[np.nanargmax(curve.similarity)] == 4 * lead


def test_pieces_of_long_sound_give_the_result_of_one_pass(model, monkeypatch):
    _, mfcc, speech = track(40)
    whole = embed_audio(model, mfcc, speech)
    monkeypatch.setattr("src.models.embedding.CHUNK", 7)
    np.testing.assert_allclose(embed_audio(model, mfcc, speech), whole, atol=1e-5)
    assert whole.shape[0] == 4 * 36 - 3


# --- piece by piece along time


@pytest.fixture
def clip(tmp_path) -> ClipFeatures:
    """Two faces that share frames and a third, with a sound that ends before the picture."""
    frames, heard = 70, 64
    _, mfcc, speech = track(frames, seed=5)
    sound = AudioFeatures(tmp_path / "sound.rows", 40)
    sound.append(mfcc.reshape(frames, 4, 40)[:heard], speech[:heard])
    sound.rows.close()
    tracks = []
    for number, (first, length) in enumerate([(0, 33), (7, 60), (40, 28)]):
        crops = CropFile(tmp_path / f"{number}.rows", 48)
        for crop in track(length, seed=number)[0] // (number + 1):
            crops.append(crop, np.zeros(4))
        crops.close()
        path = tmp_path / f"{number}.npy"
        write_sample(path, crops.rows, sound, first)
        tracks.append(TrackFeatures(path, first, length, 9))
    return ClipFeatures(tracks, sound, frames, 1.0, 3, None)


@pytest.mark.parametrize("chunk", [10, 16, 250])
@pytest.mark.parametrize("reach", [3, 60])
def test_faces_in_pieces_have_the_evidence_of_the_whole_clip(
    model, clip, monkeypatch, chunk, reach
):
    sound = embed_audio(model, clip.mfcc, clip.speech)
    wholes = [
        compare(embed_video(model, face.crops), sound, clip.speech, reach, face.first_frame)
        for face in clip.tracks
    ]
    monkeypatch.setattr(embedding, "CHUNK", chunk)
    monkeypatch.setattr(clip_evidence, "CHUNK", chunk)
    told = []

    def progress(items, stage, total):
        told.append((stage, total))
        return items

    pieces = evidence_of_faces(model, clip, reach, progress)
    assert told == [("comparing mouth and sound", -(-70 // chunk))]
    for face, whole, piece in zip(clip.tracks, wholes, pieces, strict=True):
        assert piece.first_frame == face.first_frame
        np.testing.assert_allclose(piece.similarity, whole.similarity, atol=1e-5)
        np.testing.assert_array_equal(piece.usable, whole.usable)
        assert piece.usable.any() and np.abs(piece.similarity).max() > 0.1


def test_a_clip_without_speech_is_normalised_over_all_of_it(model, clip, tmp_path):
    mfcc = clip.mfcc
    clip.sound = AudioFeatures(tmp_path / "quiet.rows", 40)
    clip.sound.append(mfcc.reshape(-1, 4, 40), np.zeros(70, bool))
    clip.sound.rows.close()
    sound = embed_audio(model, mfcc, clip.speech)
    face = clip.tracks[1]
    whole = compare(embed_video(model, face.crops), sound, clip.speech, 9, face.first_frame)
    found = evidence_of_faces(model, clip, 9)[1]
    np.testing.assert_allclose(found.similarity, whole.similarity, atol=1e-5)
    assert not found.usable.any()
