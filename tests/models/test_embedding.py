"""A face track -> evidence: in chunks as in one pass, and the sign of the offset."""

import threading

import numpy as np
import pytest
import torch

from src.models import embedding
from src.models.embedding import embed_audio, embed_video
from src.models.normalization import (
    crop_face_region,
    measure_bands,
    mfcc_to_bands,
    normalise_bands,
)
from src.models.spec import ModelSpec
from src.models.sync_model import SyncModel
from src.preprocessing.clip_features import AudioFeatures, ClipFeatures, TrackFeatures
from src.preprocessing.sample_file import CropFile, read_sample, sample_dtype, write_sample
from src.scoring import clip_evidence
from src.scoring.clip_evidence import compute_clip_evidence, compute_evidence
from src.scoring.evidence import compare, similarity_curve

SPEC = ModelSpec(48, 40, 16, 16, 2, 0.4)


@pytest.fixture
def model() -> SyncModel:
    torch.manual_seed(0)
    return SyncModel(SPEC).eval()


def track(frames: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    crops = rng.integers(0, 256, (frames, 48, 48), dtype=np.uint8)
    mfcc = rng.normal(0, 20, (4 * frames, 40)).astype(np.float32)
    return crops, mfcc, rng.random(frames) < 0.7


@pytest.mark.parametrize("frames", [5, 9, 10, 11, 14, 15, 31])
def test_video_in_chunks_is_embedded_as_in_one_pass(model, monkeypatch, frames):
    crops, _, _ = track(frames)
    one_pass = embed_video(model, crops)
    monkeypatch.setattr(embedding, "CHUNK", 10)
    chunked = embed_video(model, crops)
    assert one_pass.shape == chunked.shape == (frames - 4, 16)
    np.testing.assert_allclose(chunked, one_pass, atol=1e-5)


def test_brightness_is_normalised_over_the_whole_track(model):
    crops, _, _ = track(20)
    regions = crop_face_region(torch.from_numpy(crops), SPEC).float() / 255
    regions = (regions - regions.mean()) / regions.std(correction=0)
    with torch.no_grad():
        expected = model.video(regions[None])[0]
    np.testing.assert_allclose(embed_video(model, crops), expected, atol=1e-4)


def test_audio_is_embedded_every_10_ms(model):
    _, mfcc, speech = track(12)
    embeddings = embed_audio(model, mfcc, speech)
    assert embeddings.shape == (4 * 8 - 3, 16)
    has_speech = torch.from_numpy(speech).repeat_interleave(4)[None]
    bands = mfcc_to_bands(torch.from_numpy(mfcc))[None]
    bands = normalise_bands(bands, *measure_bands(bands, has_speech))
    with torch.no_grad():
        for hop in (0, 5, 28):
            single = model.audio(bands[:, hop : hop + 20])[0, 0]
            np.testing.assert_allclose(embeddings[hop], single, atol=1e-5)


def test_evidence_takes_memory_mapped_records(model, tmp_path):
    crops, mfcc, speech = track(12)
    sample = np.zeros(12, sample_dtype(48, 40, 4))
    sample["crop"], sample["mfcc"], sample["speech"] = crops, mfcc.reshape(12, 4, 40), speech
    np.save(tmp_path / "sample.npy", sample)
    records = read_sample(tmp_path / "sample.npy")
    evidence = compute_evidence(model, records["crop"], mfcc, records["speech"], reach=20)
    assert evidence.first_frame == 0 and evidence.similarity.shape == (8, 41)
    np.testing.assert_array_equal(
        evidence.similarity, compute_evidence(model, crops, mfcc, speech, 20).similarity
    )


class Echo(torch.nn.Module):
    """Encoders whose embedding is a number that both video and audio carry."""

    def __init__(self):
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.zeros(()))
        self.spec = SPEC

    @staticmethod
    def code(number: torch.Tensor) -> torch.Tensor:
        return torch.stack([number.sin(), number.cos()], -1)

    def video(self, regions):
        return self.code(3 * regions.mean((2, 3))[:, 2:-2])

    def audio(self, bands):
        return self.code(3 * bands.unfold(1, 4, 4).mean((2, 3))[:, 2:-2])


@pytest.mark.parametrize("lead", [-5, 0, 3])
def test_audio_that_leads_has_a_positive_offset(monkeypatch, lead):
    monkeypatch.setattr(embedding, "normalise_regions", lambda regions, *_: regions)
    monkeypatch.setattr(embedding, "normalise_bands", lambda bands, *_: bands)
    monkeypatch.setattr(embedding, "mfcc_to_bands", lambda mfcc: mfcc)
    numbers = np.random.default_rng(1).integers(0, 256, 80)
    crops = np.broadcast_to(numbers[10:70, None, None], (60, 48, 48)).astype(np.uint8)
    audio = np.repeat(numbers[10 + lead : 70 + lead] / 255, 4)
    mfcc = np.broadcast_to(audio[:, None], (240, 40)).astype(np.float32)
    curve = similarity_curve([compute_evidence(Echo(), crops, mfcc, np.ones(60, bool), reach=40)])
    assert curve.offsets[np.nanargmax(curve.similarity)] == 4 * lead


def test_audio_in_chunks_is_embedded_as_in_one_pass(model, monkeypatch):
    _, mfcc, speech = track(40)
    one_pass = embed_audio(model, mfcc, speech)
    monkeypatch.setattr("src.models.embedding.CHUNK", 7)
    np.testing.assert_allclose(embed_audio(model, mfcc, speech), one_pass, atol=1e-5)
    assert one_pass.shape[0] == 4 * 36 - 3


# --- in chunks of time


@pytest.fixture
def clip(tmp_path) -> ClipFeatures:
    """Two faces that share frames and a third, with audio that ends before the video."""
    n_frames, n_audio_frames = 70, 64
    _, mfcc, speech = track(n_frames, seed=5)
    audio = AudioFeatures(tmp_path / "audio.rows", 40)
    audio.append(mfcc.reshape(n_frames, 4, 40)[:n_audio_frames], speech[:n_audio_frames])
    audio.records.close()
    tracks = []
    for number, (first, length) in enumerate([(0, 33), (7, 60), (40, 28)]):
        crops = CropFile(tmp_path / f"{number}.rows", 48)
        for crop in track(length, seed=number)[0] // (number + 1):
            crops.append(crop, np.zeros(4))
        crops.close()
        path = tmp_path / f"{number}.npy"
        write_sample(path, crops.records, audio, first)
        tracks.append(TrackFeatures(path, first, length, 9))
    return ClipFeatures(tracks, audio, n_frames, 1.0, 3, None)


@pytest.mark.parametrize("chunk", [10, 16, 250])
@pytest.mark.parametrize("reach", [3, 60])
def test_faces_in_chunks_have_the_evidence_of_the_whole_clip(
    model, clip, monkeypatch, chunk, reach
):
    audio = embed_audio(model, clip.mfcc, clip.speech)
    expected = [
        compare(embed_video(model, face.crops), audio, clip.speech, reach, face.first_frame)
        for face in clip.tracks
    ]
    monkeypatch.setattr(embedding, "CHUNK", chunk)
    monkeypatch.setattr(clip_evidence, "CHUNK", chunk)
    stages = []

    def progress(items, stage, total):
        stages.append((stage, total))
        return items

    computed = compute_clip_evidence(model, clip, reach, progress)
    assert stages == [("comparing lips and audio", -(-70 // chunk))]
    for face, reference, evidence in zip(clip.tracks, expected, computed, strict=True):
        assert evidence.first_frame == face.first_frame
        np.testing.assert_allclose(evidence.similarity, reference.similarity, atol=1e-5)
        np.testing.assert_array_equal(evidence.usable, reference.usable)
        assert evidence.usable.any() and np.abs(evidence.similarity).max() > 0.1


def test_a_clip_without_speech_is_normalised_over_all_of_it(model, clip, tmp_path):
    mfcc = clip.mfcc
    clip.audio = AudioFeatures(tmp_path / "quiet.rows", 40)
    clip.audio.append(mfcc.reshape(-1, 4, 40), np.zeros(70, bool))
    clip.audio.records.close()
    audio = embed_audio(model, mfcc, clip.speech)
    face = clip.tracks[1]
    expected = compare(embed_video(model, face.crops), audio, clip.speech, 9, face.first_frame)
    evidence = compute_clip_evidence(model, clip, 9)[1]
    np.testing.assert_allclose(evidence.similarity, expected.similarity, atol=1e-5)
    assert not evidence.usable.any()


@pytest.mark.parametrize("chunk", [7, 30])
def test_chunks_beside_each_other_are_compared_as_one_after_the_other(
    model, clip, monkeypatch, chunk
):
    monkeypatch.setattr(embedding, "CHUNK", chunk)
    monkeypatch.setattr(clip_evidence, "CHUNK", chunk)
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = compute_clip_evidence(model, clip, 9)
        torch.set_num_threads(3)
        computed = compute_clip_evidence(model, clip, 9)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(n_threads)
    for one, other in zip(expected, computed, strict=True):
        np.testing.assert_array_equal(one.usable, other.usable)
        np.testing.assert_allclose(one.similarity, other.similarity, atol=1e-5)
    assert not [thread for thread in threading.enumerate() if "side-by-side" in thread.name]
