"""Batches of pieces whose picture and sound belong together, and what the network takes."""

import numpy as np
import pytest
import torch

from src.dataset.samples import SampleData, load_samples
from src.models.spec import ModelSize
from src.training.batches import Batch, SegmentSampler, collate, network_input, windows_of
from tests.support.dataset_helpers import write_set

pytest_plugins = ("tests.support.dataset_fixtures",)

SIZE = ModelSize(48, 40, 16, 16, 1, 0.0)


# --- the pieces


def frames_of(batch: Batch) -> list[list[int]]:
    """Frame numbers of each row, after picture, sound and speech were seen to agree on them."""
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


def test_picture_and_sound_of_a_piece_come_from_the_same_place(samples):
    for pieces in (
        SegmentSampler(samples, 32, 3).shuffled(4),
        SegmentSampler(samples, 32, 3).in_order(),
    ):
        for batch in pieces:
            assert frames_of(batch)


def test_number_of_pieces_and_batches(samples):
    pieces = SegmentSampler(
        samples, 32, 3
    )  # 100, 70, 64, 20 and 7 frames: 3 + 2 + 2 + 1 + 1 pieces
    batches = list(pieces.in_order())
    assert len(batches) == len(pieces) == 3
    assert [len(batch.crops) for batch in batches] == [3, 3, 3]
    assert len(SegmentSampler(samples, 32, 4)) == 3 and len(SegmentSampler(samples, 32, 10)) == 1


def test_in_order_covers_every_frame_of_whole_multiples(tmp_path, data):
    samples = load_samples(write_set(tmp_path, [96] * 3), data)
    seen = [n for batch in SegmentSampler(samples, 32, 2).in_order() for row in frames_of(batch)
            for n in row]  # fmt: skip
    assert sorted(seen) == [1000 * clip + frame for clip in range(3) for frame in range(96)]


def test_short_samples_are_padded_and_masked(samples):
    (batch,) = SegmentSampler(samples[3:], 32, 8).in_order()
    assert batch.valid.sum(1).tolist() == [20, 7] and batch.crops.shape == (2, 20, 48, 48)
    assert batch.mfcc.shape == (2, 80, 40)
    usable, exist = windows_of(batch)
    assert exist.sum(1).tolist() == [16, 3]
    middles = [3000 + window + 2 for window in range(16)]
    assert usable[0].tolist() == [middle % 5 != 0 for middle in middles]
    assert not usable[1].any(), "a choice among three windows says nothing"


def test_less_than_a_window_asks_nothing():
    few = SampleData(
        np.zeros((3, 48, 48), np.uint8), np.zeros((12, 40), np.float32), np.ones(3, bool)
    )
    batch = collate([few], [0])
    usable, exist = windows_of(batch)
    assert batch.crops.shape[1] == 5 and not exist.any() and not usable.any()


def test_an_epoch_is_repeatable_and_another_one_differs(samples):
    def places(seed, epoch):
        return [frames_of(batch) for batch in SegmentSampler(samples, 32, 3, seed).shuffled(epoch)]

    assert places(1, 0) == places(1, 0)
    assert places(1, 0) != places(1, 1) and places(1, 0) != places(2, 0)


def test_random_places_reach_both_ends(tmp_path, data):
    samples = load_samples(write_set(tmp_path, [12] * 3), data)
    starts = {
        row[0] % 1000
        for epoch in range(30)
        for batch in SegmentSampler(samples, 8, 3).shuffled(epoch)
        for row in frames_of(batch)
    }
    assert starts == {0, 1, 2, 3, 4}


# --- what the network takes


def test_network_input_without_augmentation(samples):
    batch = next(SegmentSampler(samples[3:], 32, 8).in_order())
    views, bands = network_input(batch, SIZE)
    assert views.shape == (2, 20, *SIZE.view) and bands.shape == (2, 80, 40)
    for row, n in enumerate((20, 7)):
        assert float(views[row, :n].mean()) == pytest.approx(0, abs=1e-3)
        assert float(views[row, :n].std(correction=0)) == pytest.approx(1, abs=1e-2)


def test_batch_moves_whole(samples):
    batch = next(SegmentSampler(samples[3:], 32, 8).in_order()).to(torch.device("meta"))
    assert {getattr(batch, name).device.type for name in ("crops", "mfcc", "speech", "valid")} == {
        "meta"
    }


# --- balance


def frames_by_speaker(pieces: SegmentSampler, epochs: int) -> dict[int, float]:
    """Pieces an epoch of each clip, by its number."""
    counts: dict[int, int] = {}
    for epoch in range(epochs):
        for batch in pieces.shuffled(epoch):
            for row in frames_of(batch):
                counts[row[0] // 1000] = counts.get(row[0] // 1000, 0) + 1
    return {clip: count / epochs for clip, count in sorted(counts.items())}


@pytest.mark.parametrize("balance", [0, 0.5, 1])
def test_speakers_are_balanced(tmp_path, data, balance):
    """Eight clips of one speaker against two of another and one of nobody in particular."""
    lengths = [32] * 8 + [64] * 2 + [32]
    index = write_set(tmp_path, lengths, speaker=["anna"] * 8 + ["bob"] * 2 + [""])
    pieces = SegmentSampler(load_samples(index, data), 32, 4, balance=balance)
    found = frames_by_speaker(pieces, 60)
    by_speaker = [sum(found[clip] for clip in part) for part in (range(8), (8, 9), (10,))]
    wanted = np.array([8, 4, 1.0]) ** (1 - balance)
    assert np.allclose(by_speaker, 13 * wanted / wanted.sum(), rtol=0.15)
    assert sum(by_speaker) == pytest.approx(13), "an epoch stays as long as it was"
    assert len(pieces) == len(list(pieces.shuffled(0))) == 4


def test_a_moved_sound_is_moved_in_the_pieces(tmp_path, data):
    index = write_set(tmp_path, [40], offset_ms=[40.0], offset_known=[True])
    (batch,) = SegmentSampler(load_samples(index, data), 64, 1).in_order()
    assert batch.crops.shape[1] == 39
    assert (batch.mfcc[0, ::4, 0] + 1 == batch.crops[0, :, 0, 0]).all(), "one frame later"
