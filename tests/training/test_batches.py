"""Batches of segments with matched video and audio, and the network's input."""

import numpy as np
import pytest
import torch

from src.dataset.samples import SampleData, load_samples
from src.models.spec import ModelSpec
from src.training.batches import Batch, SegmentSampler, collate, prepare_input, window_masks
from tests.support.dataset_helpers import write_set

pytest_plugins = ("tests.support.dataset_fixtures",)

SPEC = ModelSpec(48, 40, 16, 16, 1, 0.0)


# --- segments


def frames_of(batch: Batch) -> list[list[int]]:
    """Frame numbers of each row, after checking that video, audio and speech agree on them."""
    rows = []
    for crops, mfcc, speech, valid in zip(
        batch.crops, batch.mfcc.reshape(len(batch.crops), -1, 4, 40), batch.speech, batch.valid,
        strict=True,
    ):  # fmt: skip
        n = int(valid.sum())
        assert valid[:n].all(), "padding only at the end"
        numbers = mfcc[:n, 0, 0].round().long()
        expected = numbers[:, None] + torch.arange(4) / 10
        assert torch.allclose(mfcc[:n], expected[..., None].float().expand(n, 4, 40), atol=1e-3)
        assert (crops[:n] == (numbers % 256)[:, None, None]).all()
        assert torch.equal(speech[:n], numbers % 5 != 0) and not speech[n:].any()
        assert torch.equal(numbers, numbers[0] + torch.arange(n)), "one frame after the other"
        assert (crops[n:] == crops[n - 1]).all(), "padded with the last frame"
        rows.append(numbers.tolist())
    return rows


def test_video_and_audio_of_a_segment_match(samples):
    for batches in (
        SegmentSampler(samples, 32, 3).iter_random(4),
        SegmentSampler(samples, 32, 3).iter_evenly(),
    ):
        for batch in batches:
            assert frames_of(batch)


def test_number_of_segments_and_batches(samples):
    # 100, 70, 64, 20 and 7 frames: 3 + 2 + 2 + 1 + 1 segments
    sampler = SegmentSampler(samples, 32, 3)
    batches = list(sampler.iter_evenly())
    assert len(batches) == len(sampler) == 3
    assert [len(batch.crops) for batch in batches] == [3, 3, 3]
    assert len(SegmentSampler(samples, 32, 4)) == 3 and len(SegmentSampler(samples, 32, 10)) == 1


def test_even_segments_cover_every_frame_of_whole_multiples(tmp_path, data):
    samples = load_samples(write_set(tmp_path, [96] * 3), data)
    batches = SegmentSampler(samples, 32, 2).iter_evenly()
    frames = [n for batch in batches for row in frames_of(batch) for n in row]
    assert sorted(frames) == [1000 * clip + frame for clip in range(3) for frame in range(96)]


def test_short_samples_are_padded_and_masked(samples):
    (batch,) = SegmentSampler(samples[3:], 32, 8).iter_evenly()
    assert batch.valid.sum(1).tolist() == [20, 7] and batch.crops.shape == (2, 20, 48, 48)
    assert batch.mfcc.shape == (2, 80, 40)
    anchors, candidates = window_masks(batch)
    assert candidates.sum(1).tolist() == [16, 3]
    middles = [3000 + window + 2 for window in range(16)]
    assert anchors[0].tolist() == [middle % 5 != 0 for middle in middles]
    assert not anchors[1].any(), "a choice among three windows teaches nothing"


def test_segment_shorter_than_a_window_has_no_anchors():
    short = SampleData(
        np.zeros((3, 48, 48), np.uint8), np.zeros((12, 40), np.float32), np.ones(3, bool)
    )
    batch = collate([short], [0])
    anchors, candidates = window_masks(batch)
    assert batch.crops.shape[1] == 5 and not candidates.any() and not anchors.any()


def test_epochs_are_repeatable_and_differ(samples):
    def read_frames(seed, epoch):
        return [
            frames_of(batch) for batch in SegmentSampler(samples, 32, 3, seed).iter_random(epoch)
        ]

    assert read_frames(1, 0) == read_frames(1, 0)
    assert read_frames(1, 0) != read_frames(1, 1) and read_frames(1, 0) != read_frames(2, 0)


def test_random_segments_reach_both_ends(tmp_path, data):
    samples = load_samples(write_set(tmp_path, [12] * 3), data)
    starts = {
        row[0] % 1000
        for epoch in range(30)
        for batch in SegmentSampler(samples, 8, 3).iter_random(epoch)
        for row in frames_of(batch)
    }
    assert starts == {0, 1, 2, 3, 4}


# --- the network's input


def test_input_without_augmentation_is_normalised(samples):
    batch = next(SegmentSampler(samples[3:], 32, 8).iter_evenly())
    views, bands = prepare_input(batch, SPEC)
    assert views.shape == (2, 20, *SPEC.region_shape) and bands.shape == (2, 80, 40)
    for row, n in enumerate((20, 7)):
        assert float(views[row, :n].mean()) == pytest.approx(0, abs=1e-3)
        assert float(views[row, :n].std(correction=0)) == pytest.approx(1, abs=1e-2)


def test_batch_moves_all_tensors_to_a_device(samples):
    batch = next(SegmentSampler(samples[3:], 32, 8).iter_evenly()).to(torch.device("meta"))
    assert {getattr(batch, name).device.type for name in ("crops", "mfcc", "speech", "valid")} == {
        "meta"
    }


# --- balance


def mean_segments_by_clip(sampler: SegmentSampler, epochs: int) -> dict[int, float]:
    """The mean number of segments of each clip in an epoch, by the clip's number."""
    counts: dict[int, int] = {}
    for epoch in range(epochs):
        for batch in sampler.iter_random(epoch):
            for row in frames_of(batch):
                counts[row[0] // 1000] = counts.get(row[0] // 1000, 0) + 1
    return {clip: count / epochs for clip, count in sorted(counts.items())}


@pytest.mark.parametrize("balance", [0, 0.5, 1])
def test_speakers_are_balanced(tmp_path, data, balance):
    """Eight clips of one speaker, two of another and one of an unknown speaker."""
    lengths = [32] * 8 + [64] * 2 + [32]
    index = write_set(tmp_path, lengths, speaker=["anna"] * 8 + ["bob"] * 2 + [""])
    sampler = SegmentSampler(load_samples(index, data), 32, 4, balance=balance)
    mean_count = mean_segments_by_clip(sampler, 60)
    by_speaker = [sum(mean_count[clip] for clip in part) for part in (range(8), (8, 9), (10,))]
    expected = np.array([8, 4, 1.0]) ** (1 - balance)
    assert np.allclose(by_speaker, 13 * expected / expected.sum(), rtol=0.15)
    assert sum(by_speaker) == pytest.approx(13), "the length of an epoch does not change"
    assert len(sampler) == len(list(sampler.iter_random(0))) == 4


def test_shifted_audio_is_shifted_in_the_segments(tmp_path, data):
    index = write_set(tmp_path, [40], offset_ms=[40.0], offset_known=[True])
    (batch,) = SegmentSampler(load_samples(index, data), 64, 1).iter_evenly()
    assert batch.crops.shape[1] == 39
    assert (batch.mfcc[0, ::4, 0] + 1 == batch.crops[0, :, 0, 0]).all(), "one frame later"
