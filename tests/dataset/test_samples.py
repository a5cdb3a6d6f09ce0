"""Samples of an index: splits that do not leak, reading that re-times."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from src.core.config import parse_config
from src.core.errors import DatasetError
from src.dataset.samples import Sample, load_samples
from src.dataset.splits import other_clip_partners, other_speaker_partners, split_samples
from src.training.batches import SegmentSampler
from tests.support.dataset_helpers import write_set

pytest_plugins = ("tests.support.dataset_fixtures",)


def samples_of(clips: int, tracks: int = 1) -> list[Sample]:
    return [
        Sample(f"{clip}#{track}", f"{clip}", "", f"{clip}", Path(), 100)
        for clip in range(clips)
        for track in range(tracks)
    ]


def training(**settings):
    return parse_config({"training": settings}, "test").training


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
    one, again, other = (split_samples(samples, training(split_seed=seed)) for seed in (1, 1, 2))
    assert one == again and one != other
    shuffled = split_samples(samples[::-1], training(split_seed=1))
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
    parts = split_samples(samples, training(split_seed=seed))
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
        list(SegmentSampler(samples, 10, 2).in_order())


def test_a_split_by_speaker_needs_speakers(tmp_path, data):
    index = write_set(tmp_path, [20] * 4, speaker=["anna", "anna", "", "bob"])
    assert len(load_samples(index, data, "clip")) == 4
    with pytest.raises(DatasetError, match=r"clip2\.mp4 lies in no folder of its speaker"):
        load_samples(index, data, "speaker")


# --- re-timing


def write_delayed(folder: Path, offset_ms: float, frames: int = 30) -> Sample:
    """A counted track whose sound is early by ``offset_ms`` (whole steps): what is seen in frame
    t is heard ``offset_ms`` before."""
    config = parse_config({"data": {"input_size": 48}}, "test")
    index = write_set(folder, [frames], config, offset_ms=[offset_ms], offset_known=[True])
    records = np.load(folder / "0.npy")
    steps = 4 * np.arange(frames)[:, None] + np.arange(4) + round(offset_ms / 10)
    records["mfcc"] = (steps / 4)[..., None]
    records["speech"] = np.round((4 * np.arange(frames) + round(offset_ms / 10)) / 4) % 5 != 0
    np.save(folder / "0.npy", records)
    (sample,) = load_samples(index, config.data)
    return sample


@pytest.mark.parametrize("offset_ms", [0, 10, 20, 30, 40, 70, 120, -10, -20, -40, -50, -130])
def test_the_sound_is_moved_by_the_own_offset(tmp_path, offset_ms):
    """Afterwards the sound under frame t is that of frame t, to the step."""
    sample = write_delayed(tmp_path, offset_ms)
    track = sample.read()
    frames = track.crop[:, 0, 0].astype(int)
    assert sample.n_frames == len(frames) == 30 - -(-abs(offset_ms) // 40)
    assert frames.tolist() == list(range(sample.first, sample.first + len(frames)))
    assert np.allclose(track.mfcc[:, 0], frames[0] + np.arange(4 * len(frames)) / 4)
    assert track.mfcc.shape == (4 * len(frames), 40) and track.speech.shape == frames.shape
    if offset_ms % 40 == 0:
        assert track.speech.tolist() == [frame % 5 != 0 for frame in frames]


def test_speech_moves_with_the_sound_to_the_nearest_frame(tmp_path):
    for offset_ms, frames_late in ((10, 0), (30, 1), (-10, 0), (-30, -1), (50, 1)):
        sample = write_delayed(tmp_path, 0, 40)
        heard = np.load(sample.path)["speech"]
        moved = replace(sample, offset_ms=offset_ms)
        found = moved.read().speech[2:-2]
        at = moved.first + 2 - frames_late
        assert found.tolist() == heard[at : at + len(found)].tolist(), offset_ms


@pytest.mark.parametrize("offset_ms", [0, 30, -50])
def test_a_part_is_a_part_of_the_whole(tmp_path, offset_ms):
    sample = write_delayed(tmp_path, offset_ms)
    whole, part = sample.read(), sample.read(7, 11)
    assert np.array_equal(part.crop, whole.crop[7:18])
    assert np.array_equal(part.mfcc, whole.mfcc[28:72])
    assert np.array_equal(part.speech, whole.speech[7:18])


def test_offsets_are_moved_in_steps_of_10_ms(tmp_path):
    sample = write_delayed(tmp_path, 0)
    for offset_ms, moved in ((14.9, 10), (15.1, 20), (-24.0, -20), (4.0, 0)):
        assert replace(sample, offset_ms=offset_ms).moved_ms == moved


def test_samples_without_evidence_are_left_out_unless_all_are_wanted(tmp_path, data):
    index = write_set(tmp_path, [20, 20, 20], offset_ms=[0.0, 12.0, 0.0],
                      offset_known=[False, True, True])  # fmt: skip
    assert [sample.clip for sample in load_samples(index, data)] == ["clip1.mp4", "clip2.mp4"]
    every = load_samples(index, data, every=True)
    assert [sample.known for sample in every] == [False, True, True]
    assert every[1].offset_ms == 12


def test_too_little_left_after_moving_is_left_out(tmp_path, data):
    index = write_set(tmp_path, [20, 20], offset_ms=[640.0, 600.0], offset_known=[True, True])
    assert [sample.n_frames for sample in load_samples(index, data)] == [5]


def test_who_speaks_and_where_a_clip_comes_from():
    def named(clip, speaker):
        return Sample("1", clip, speaker, "group", Path(), 100)

    assert named("tv__anna/x/1.mp4", "tv__anna").source == "tv"
    assert named("anna/1.mp4", "anna").source == "anna" and named("1.mp4", "").source == "–"
    assert named("anna/1.mp4", "anna").person == "anna"
    assert named("1.mp4", "").person == "group", "copies of a clip are one person"


# --- whose sound stands for a wrong one


def spoken_by(number: int, speaker: str, length: int = 100) -> Sample:
    name = f"{speaker}/{number}.mp4"
    return Sample(f"{name}#0", name, speaker, name, Path(), length)


def test_the_sound_of_a_stranger():
    samples = [spoken_by(n, f"s{n // 2}", 50 + 10 * n) for n in range(6)] + [spoken_by(9, "", 60)]
    for one, other in zip(samples, other_speaker_partners(samples), strict=True):
        assert other.person != one.person
        longer = [s for s in samples if s.n_frames >= one.n_frames and s.person != one.person]
        assert other.n_frames >= one.n_frames or not longer
    assert other_clip_partners(samples) == other_speaker_partners(samples)


def test_strangers_are_many_even_among_clips_of_one_length():
    samples = [spoken_by(n, f"s{n % 4}", 30) for n in range(200)]
    strangers = other_speaker_partners(samples)
    assert len({one.id for one in strangers}) > 90
    pairs = {(one.person, other.person) for one, other in zip(samples, strangers, strict=True)}
    assert len(pairs) == 12, "everybody with everybody else"


def test_the_sound_of_another_clip_where_there_is_nobody_else():
    alone = [spoken_by(n, "anna") for n in range(3)]
    assert other_speaker_partners(alone) == alone
    assert other_clip_partners(alone) == [*alone[1:], alone[0]]
    assert other_clip_partners(alone[:1]) == alone[:1] and other_clip_partners([]) == []
