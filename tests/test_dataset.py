"""index -> pieces: splits that do not leak, pieces whose picture and sound belong together."""

from pathlib import Path

import numpy as np
import pytest
import torch

from src.config import Config, parse_config
from src.dataset import (
    Batch,
    Pieces,
    Sample,
    collate,
    load_samples,
    network_input,
    split_samples,
    windows_of,
)
from src.errors import DatasetError
from src.model import ModelSize
from src.sample_file import record_type
from src.sample_index import sample_settings, write_index

SIZE = ModelSize(48, 40, 16, 16, 1, 0.0)


def samples_of(clips: int, tracks: int = 1) -> list[Sample]:
    return [
        Sample(f"{clip}#{track}", f"{clip}", f"{clip}", Path(), 100)
        for clip in range(clips)
        for track in range(tracks)
    ]


def training(**settings):
    return parse_config({"training": settings}, "test").training


def counted_track(first: int, frames: int, size: int = 48, n_mfcc: int = 40) -> np.ndarray:
    """A sample in which picture and sound both say which frame (and step) they are of."""
    number = first + np.arange(frames)
    records = np.zeros(frames, record_type(size, n_mfcc, 4))
    records["crop"] = number[:, None, None] % 256
    records["mfcc"] = (number[:, None] + np.arange(4) / 10)[..., None]
    records["speech"] = number % 5 != 0
    return records


def write_set(folder: Path, lengths, config: Config | None = None, **fields) -> Path:
    """An index with counted tracks of these lengths; ``fields`` override by number of the clip."""
    config = config or parse_config({"data": {"input_size": 48}}, "test")
    records = []
    for number, frames in enumerate(lengths):
        file = f"{number}.npy"
        np.save(folder / file, counted_track(1000 * number, frames))
        record = {"id": f"clip{number}#0", "file": file, "clip": f"clip{number}.mp4",
                  "speaker": f"speaker{number // 2}", "n_frames": frames,
                  "video_sha256": f"{number:064x}"}  # fmt: skip
        records.append(record | {key: values[number] for key, values in fields.items()})
    write_index(folder / "index.pkl", sample_settings(config.data), records)
    return folder / "index.pkl"


@pytest.fixture
def data():
    return parse_config({"data": {"input_size": 48}}, "test").data


@pytest.fixture
def samples(tmp_path, data) -> list[Sample]:
    return load_samples(write_set(tmp_path, [100, 70, 64, 20, 7]), data)


# --- the split


@pytest.mark.parametrize(
    ("clips", "counts"),
    [(100, (80, 10, 10)), (95, (76, 9, 10)), (10, (8, 1, 1)), (5, (3, 1, 1)), (3, (1, 1, 1))],
)
def test_split_counts(clips, counts):
    assert tuple(map(len, split_samples(samples_of(clips), training()))) == counts


def test_all_pieces_of_a_clip_stay_together():
    samples = samples_of(30, tracks=3)
    parts = split_samples(samples, training())
    clips = [{sample.clip for sample in part} for part in parts]
    assert not clips[0] & clips[1] and not clips[0] & clips[2] and not clips[1] & clips[2]
    assert sorted(s.id for part in parts for s in part) == sorted(s.id for s in samples)
    assert [len(part) for part in parts] == [72, 9, 9]


def test_split_follows_the_seed():
    samples = samples_of(40)
    one, again, other = (split_samples(samples, training(seed=seed)) for seed in (1, 1, 2))
    assert one == again and one != other
    shuffled = split_samples(samples[::-1], training(seed=1))
    assert [sorted(s.id for s in part) for part in shuffled] == [
        sorted(s.id for s in part) for part in one
    ]


def test_other_shares():
    parts = split_samples(samples_of(20), training(train_split=0.5, val_split=0.3, test_split=0.2))
    assert [len(part) for part in parts] == [10, 6, 4]


@pytest.mark.parametrize("clips", [0, 1, 2])
def test_fewer_than_three_clips_are_an_error(clips):
    with pytest.raises(DatasetError, match=f"{clips} usable clips: at least 3"):
        split_samples(samples_of(clips, tracks=4), training())


@pytest.mark.parametrize("seed", range(5))
def test_a_copy_of_a_clip_is_never_in_another_split(tmp_path, data, seed):
    same = [f"{number % 4}" for number in range(12)]
    index = write_set(tmp_path, [10] * 12, video_sha256=same)
    samples = load_samples(index, data)
    parts = split_samples(samples, training(seed=seed))
    contents = [{same[int(s.id[4:-2])] for s in part} for part in parts]
    assert sum(map(len, contents)) == 4


def test_split_by_speaker(tmp_path, data):
    samples = load_samples(write_set(tmp_path, [10] * 12), data, "speaker")
    parts = split_samples(samples, training(split_by="speaker"))
    speakers = [{sample.group for sample in part} for part in parts]
    assert sum(map(len, speakers)) == 6 and [len(part) for part in parts] == [8, 2, 2]


def test_too_few_speakers_say_how_to_name_them(tmp_path, data):
    samples = load_samples(write_set(tmp_path, [10] * 4), data, "speaker")
    with pytest.raises(DatasetError, match=r"2 usable speakers.*folder"):
        split_samples(samples, training(split_by="speaker"))


# --- the index


def test_an_index_of_other_settings_is_refused(tmp_path):
    index = write_set(tmp_path, [10] * 3)
    other = parse_config({"data": {"input_size": 96}}, "test").data
    with pytest.raises(DatasetError, match=r"data\.input_size = 48, the settings say 96"):
        load_samples(index, other)


def test_settings_samples_do_not_depend_on_may_change(tmp_path):
    index = write_set(tmp_path, [10] * 3)
    other = parse_config({"data": {"input_size": 48, "num_workers": 7}}, "test").data
    assert len(load_samples(index, other)) == 3


def test_a_missing_index_says_what_to_run(tmp_path, data):
    with pytest.raises(DatasetError, match=r"none\.pkl not found: run python src/data_proc"):
        load_samples(tmp_path / "none.pkl", data)


def test_a_missing_sample_is_named(tmp_path, data):
    samples = load_samples(write_set(tmp_path, [10] * 3), data)
    samples[1].path.unlink()
    with pytest.raises(DatasetError, match=r"1\.npy"):
        list(Pieces(samples, 10, 2).in_order())


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
    for pieces in (Pieces(samples, 32, 3).shuffled(4), Pieces(samples, 32, 3).in_order()):
        for batch in pieces:
            assert frames_of(batch)


def test_number_of_pieces_and_batches(samples):
    pieces = Pieces(samples, 32, 3)  # 100, 70, 64, 20 and 7 frames: 3 + 2 + 2 + 1 + 1 pieces
    batches = list(pieces.in_order())
    assert len(batches) == len(pieces) == 3
    assert [len(batch.crops) for batch in batches] == [3, 3, 3]
    assert len(Pieces(samples, 32, 4)) == 3 and len(Pieces(samples, 32, 10)) == 1


def test_in_order_covers_every_frame_of_whole_multiples(tmp_path, data):
    samples = load_samples(write_set(tmp_path, [96] * 3), data)
    seen = [n for batch in Pieces(samples, 32, 2).in_order() for row in frames_of(batch)
            for n in row]  # fmt: skip
    assert sorted(seen) == [1000 * clip + frame for clip in range(3) for frame in range(96)]


def test_short_samples_are_padded_and_masked(samples):
    (batch,) = Pieces(samples[3:], 32, 8).in_order()
    assert batch.valid.sum(1).tolist() == [20, 7] and batch.crops.shape == (2, 20, 48, 48)
    assert batch.mfcc.shape == (2, 80, 40)
    usable, exist = windows_of(batch)
    assert exist.sum(1).tolist() == [16, 3]
    middles = [3000 + window + 2 for window in range(16)]
    assert usable[0].tolist() == [middle % 5 != 0 for middle in middles]
    assert not usable[1].any(), "a choice among three windows says nothing"


def test_less_than_a_window_asks_nothing():
    records = np.zeros(3, [("crop", "u1", (48, 48)), ("mfcc", "<f4", (4, 40)), ("speech", "?")])
    records["speech"] = True
    batch = collate([records])
    usable, exist = windows_of(batch)
    assert batch.crops.shape[1] == 5 and not exist.any() and not usable.any()


def test_an_epoch_is_repeatable_and_another_one_differs(samples):
    def places(seed, epoch):
        return [frames_of(batch) for batch in Pieces(samples, 32, 3, seed).shuffled(epoch)]

    assert places(1, 0) == places(1, 0)
    assert places(1, 0) != places(1, 1) and places(1, 0) != places(2, 0)


def test_random_places_reach_both_ends(tmp_path, data):
    samples = load_samples(write_set(tmp_path, [12] * 3), data)
    starts = {
        row[0] % 1000
        for epoch in range(30)
        for batch in Pieces(samples, 8, 3).shuffled(epoch)
        for row in frames_of(batch)
    }
    assert starts == {0, 1, 2, 3, 4}


# --- what the network takes


def test_network_input_without_augmentation(samples):
    batch = next(Pieces(samples[3:], 32, 8).in_order())
    views, bands = network_input(batch, SIZE)
    assert views.shape == (2, 20, *SIZE.view) and bands.shape == (2, 80, 40)
    for row, n in enumerate((20, 7)):
        assert float(views[row, :n].mean()) == pytest.approx(0, abs=1e-3)
        assert float(views[row, :n].std(correction=0)) == pytest.approx(1, abs=1e-2)


def test_batch_moves_whole(samples):
    batch = next(Pieces(samples[3:], 32, 8).in_order()).to(torch.device("meta"))
    assert {getattr(batch, name).device.type for name in ("crops", "mfcc", "speech", "valid")} == {
        "meta"
    }


def test_a_split_by_speaker_needs_speakers(tmp_path, data):
    index = write_set(tmp_path, [20] * 4, speaker=["anna", "anna", "", "bob"])
    assert len(load_samples(index, data, "clip")) == 4
    with pytest.raises(DatasetError, match=r"clip2\.mp4 lies in no folder of its speaker"):
        load_samples(index, data, "speaker")
