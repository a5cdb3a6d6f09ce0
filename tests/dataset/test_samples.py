"""Samples of an index: splits that do not leak, compensated clip offsets, partners."""

from dataclasses import replace
from pathlib import Path
from zlib import crc32

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


def test_all_tracks_of_a_clip_stay_together():
    samples = samples_of(30, tracks=3)
    parts = split_samples(samples, training())
    clips = [{sample.clip for sample in part} for part in parts]
    assert not clips[0] & clips[1] and not clips[0] & clips[2] and not clips[1] & clips[2]
    assert sorted(s.id for part in parts for s in part) == sorted(s.id for s in samples)
    assert [len(part) for part in parts] == [72, 9, 9]


def test_the_split_depends_on_the_seed_only():
    samples = samples_of(40)
    first, same, other = (split_samples(samples, training(split_seed=seed)) for seed in (1, 1, 2))
    assert first == same and first != other
    shuffled = split_samples(samples[::-1], training(split_seed=1))
    assert [sorted(s.id for s in part) for part in shuffled] == [
        sorted(s.id for s in part) for part in first
    ]


def test_shares_of_the_split_are_settings():
    parts = split_samples(samples_of(20), training(train_split=0.5, val_split=0.3, test_split=0.2))
    assert [len(part) for part in parts] == [10, 6, 4]


@pytest.mark.parametrize("clips", [0, 1, 2])
def test_fewer_than_three_clips_are_rejected(clips):
    with pytest.raises(
        DatasetError,
        match=f"{clips} usable clips?: at least 3 required to train, validate and test; add clips",
    ):
        split_samples(samples_of(clips, tracks=4), training())


@pytest.mark.parametrize(("lengths", "shift_ms"), [
    ([1500], 0), ([1500], 130), ([1500], -130), ([400, 300, 500, 300], 0), ([30] * 60, 0),
])  # fmt: skip
def test_one_long_video_is_split_by_stretches_with_a_gap(caplog, lengths, shift_ms):
    first_frames = np.cumsum([0, *lengths[:-1]])
    samples = [
        Sample(
            f"{number}", "me.mp4", "", "me", Path(), length, shift_ms, True, f"{number}", int(first)
        )
        for number, (length, first) in enumerate(zip(lengths, first_frames, strict=True))
    ]
    with caplog.at_level("INFO"):
        parts = split_samples(samples[::-1], training())
    assert "stretches of the video, 2 s apart" in caplog.text
    spans = [
        [(s.clip_frame + s.first_frame, s.clip_frame + s.first_frame + s.n_frames) for s in part]
        for part in parts
    ]
    train, val, test = ([min(b for b, _ in s), max(e for _, e in s)] for s in spans)
    assert val[0] - train[1] >= 50 and test[0] - val[1] >= 50
    total = sum(lengths)
    assert train[0] <= 4 and abs(val[0] - 0.8 * total) <= 4 and abs(test[0] - 0.9 * total) <= 4
    assert total - test[1] <= 4
    groups = [{sample.group for sample in part} for part in parts]
    assert all(len(group) == 1 for group in groups) and len(set.union(*groups)) == 3
    ids = [sample.fingerprint for part in parts for sample in part]
    assert len(set(ids)) == len(ids)


def test_a_part_of_a_sample_reads_its_own_frames(tmp_path, data):
    (sample,) = load_samples(write_set(tmp_path, [100]), data)
    part, whole = sample.part(40, 70, "me 1").read(), sample.read()
    assert len(part.crop) == 30 and len(part.mfcc) == 120
    assert np.array_equal(part.crop, whole.crop[40:70])
    assert np.array_equal(part.mfcc, whole.mfcc[160:280])
    assert np.array_equal(part.speech, whole.speech[40:70])


@pytest.mark.parametrize("seed", range(5))
def test_a_copy_of_a_clip_is_never_in_another_split(tmp_path, data, seed):
    digests = [f"{number % 4}" for number in range(12)]
    index = write_set(tmp_path, [10] * 12, video_sha256=digests)
    samples = load_samples(index, data)
    parts = split_samples(samples, training(split_seed=seed))
    digests_by_part = [{digests[int(s.id[4:-2])] for s in part} for part in parts]
    assert sum(map(len, digests_by_part)) == 4


def test_speakers_are_in_one_part_only(tmp_path, data):
    samples = load_samples(write_set(tmp_path, [10] * 12), data, "speaker")
    parts = split_samples(samples, training(split_by="speaker"))
    speakers = [{sample.group for sample in part} for part in parts]
    assert sum(map(len, speakers)) == 6 and [len(part) for part in parts] == [8, 2, 2]


def test_too_few_speakers_say_how_to_name_them(tmp_path, data):
    samples = load_samples(write_set(tmp_path, [10] * 4), data, "speaker")
    with pytest.raises(
        DatasetError,
        match=r"2 usable speakers.*; put each speaker's clips into a folder of their own in",
    ):
        split_samples(samples, training(split_by="speaker"))


# --- the index


def test_an_index_of_other_settings_is_rejected(tmp_path):
    index = write_set(tmp_path, [10] * 3)
    other = parse_config({"data": {"input_size": 96}}, "test").data
    with pytest.raises(
        DatasetError, match=r"data\.input_size = 48, the settings say 96: run python"
    ):
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
        list(SegmentSampler(samples, 10, 2).iter_evenly())


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
def test_a_sample_with_numbers_that_are_none_is_named(tmp_path, data, damage):
    samples = load_samples(write_set(tmp_path, [10] * 3), data)
    records = np.load(samples[1].path)
    records["mfcc"][7, 2, 5] = damage
    np.save(samples[1].path, records)
    with pytest.raises(DatasetError, match=r"1\.npy is damaged \(mfcc that are not numbers\)"):
        samples[1].read()
    assert samples[1].read(0, 7).mfcc.shape == (28, 40), "what is not read is not checked"


def test_a_sample_that_is_not_as_the_index_says_is_named(tmp_path, data):
    samples = load_samples(write_set(tmp_path, [10] * 3), data)
    np.save(samples[1].path, np.load(samples[1].path)[:6])
    with pytest.raises(DatasetError, match=r"1\.npy is damaged \(6 frames instead of 10\)"):
        samples[1].read()
    records = np.load(samples[2].path)
    size = (48, 48)
    for dtype in (
        [("crop", "f4", size), ("mfcc", "f4", (4, 40)), ("speech", "?"), ("box", "f4", (4,))],
        [("crop", "u1", (48,)), ("mfcc", "f4", (4, 40)), ("speech", "?"), ("box", "f4", (4,))],
        [("crop", "u1", size), ("mfcc", "f4", (5, 40)), ("speech", "?"), ("box", "f4", (4,))],
        [("crop", "u1", size), ("mfcc", "f4"), ("speech", "?"), ("box", "f4", (4,))],
        [("crop", "u1"), ("mfcc", "u1"), ("speech", "u1"), ("box", "u1")],
    ):
        np.save(samples[2].path, np.zeros(len(records), dtype))
        with pytest.raises(DatasetError, match=r"cannot read the sample .*2\.npy"):
            samples[2].read()
    np.save(samples[2].path, records[:, None])
    with pytest.raises(DatasetError, match=r"cannot read the sample .*2\.npy"):
        samples[2].read()


def test_a_split_by_speaker_needs_speakers(tmp_path, data):
    index = write_set(tmp_path, [20] * 4, speaker=["anna", "anna", "", "bob"])
    assert len(load_samples(index, data, "clip")) == 4
    with pytest.raises(DatasetError, match=r"clip2\.mp4 is not in a speaker's folder; put each"):
        load_samples(index, data, "speaker")


# --- clip offsets


def write_with_offset(folder: Path, offset_ms: float, n_frames: int = 30) -> Sample:
    """A numbered sample whose audio leads by ``offset_ms`` (whole hops)."""
    config = parse_config({"data": {"input_size": 48}}, "test")
    index = write_set(folder, [n_frames], config, offset_ms=[offset_ms], offset_known=[True])
    records = np.load(folder / "0.npy")
    hops = 4 * np.arange(n_frames)[:, None] + np.arange(4) + round(offset_ms / 10)
    records["mfcc"] = (hops / 4)[..., None]
    records["speech"] = np.round((4 * np.arange(n_frames) + round(offset_ms / 10)) / 4) % 5 != 0
    np.save(folder / "0.npy", records)
    (sample,) = load_samples(index, config.data)
    return sample


@pytest.mark.parametrize("offset_ms", [0, 10, 20, 30, 40, 70, 120, -10, -20, -40, -50, -130])
def test_the_audio_is_shifted_by_the_clip_offset(tmp_path, offset_ms):
    """Afterwards the audio under frame t is that of frame t, to the hop."""
    sample = write_with_offset(tmp_path, offset_ms)
    track = sample.read()
    frames = track.crop[:, 0, 0].astype(int)
    assert sample.n_frames == len(frames) == 30 - -(-abs(offset_ms) // 40)
    assert frames.tolist() == list(range(sample.first_frame, sample.first_frame + len(frames)))
    assert np.allclose(track.mfcc[:, 0], frames[0] + np.arange(4 * len(frames)) / 4)
    assert track.mfcc.shape == (4 * len(frames), 40) and track.speech.shape == frames.shape
    if offset_ms % 40 == 0:
        assert track.speech.tolist() == [frame % 5 != 0 for frame in frames]


def test_speech_is_shifted_with_the_audio_to_the_nearest_frame(tmp_path):
    for offset_ms, shift_frames in ((10, 0), (30, 1), (-10, 0), (-30, -1), (50, 1)):
        sample = write_with_offset(tmp_path, 0, 40)
        stored = np.load(sample.path)["speech"]
        shifted = replace(sample, offset_ms=offset_ms)
        speech = shifted.read().speech[2:-2]
        start = shifted.first_frame + 2 - shift_frames
        assert speech.tolist() == stored[start : start + len(speech)].tolist(), offset_ms


@pytest.mark.parametrize("offset_ms", [0, 30, -50])
def test_reading_a_part_equals_a_slice_of_the_whole(tmp_path, offset_ms):
    sample = write_with_offset(tmp_path, offset_ms)
    whole, part = sample.read(), sample.read(7, 11)
    assert np.array_equal(part.crop, whole.crop[7:18])
    assert np.array_equal(part.mfcc, whole.mfcc[28:72])
    assert np.array_equal(part.speech, whole.speech[7:18])


def test_offsets_are_rounded_to_hops(tmp_path):
    sample = write_with_offset(tmp_path, 0)
    for offset_ms, shift_ms in ((14.9, 10), (15.1, 20), (-24.0, -20), (4.0, 0)):
        assert replace(sample, offset_ms=offset_ms).shift_ms == shift_ms


def test_samples_without_a_measured_offset_are_skipped_by_default(tmp_path, data):
    index = write_set(tmp_path, [20, 20, 20], offset_ms=[0.0, 12.0, 0.0],
                      offset_known=[False, True, True])  # fmt: skip
    assert [sample.clip for sample in load_samples(index, data)] == ["clip1.mp4", "clip2.mp4"]
    all_samples = load_samples(index, data, include_unusable=True)
    assert [sample.offset_known for sample in all_samples] == [False, True, True]
    assert all_samples[1].offset_ms == 12


def test_samples_too_short_after_the_shift_are_skipped(tmp_path, data):
    index = write_set(tmp_path, [20, 20], offset_ms=[640.0, 600.0], offset_known=[True, True])
    assert [sample.n_frames for sample in load_samples(index, data)] == [5]


def test_speaker_and_source_of_a_sample():
    def make(clip, speaker):
        return Sample("1", clip, speaker, "group", Path(), 100)

    assert make("tv__anna/x/1.mp4", "tv__anna").source == "tv"
    assert make("anna/1.mp4", "anna").source == "anna" and make("1.mp4", "").source == "–"
    assert make("anna/1.mp4", "anna").speaker_id == "anna"
    assert make("1.mp4", "").speaker_id == "group", "copies of a clip have one speaker"


# --- mismatched partners


def sample_of(number: int, speaker: str, length: int = 100) -> Sample:
    name = f"{speaker}/{number}.mp4"
    return Sample(f"{name}#0", name, speaker, name, Path(), length)


def test_partners_are_of_another_speaker_and_long_enough():
    samples = [sample_of(n, f"s{n // 2}", 50 + 10 * n) for n in range(6)] + [sample_of(9, "", 60)]
    for sample, partner in zip(samples, other_speaker_partners(samples), strict=True):
        assert partner.speaker_id != sample.speaker_id
        others = [other for other in samples if other.speaker_id != sample.speaker_id]
        longer = [other for other in others if other.n_frames >= sample.n_frames]
        assert partner.n_frames >= sample.n_frames or not longer
    assert other_clip_partners(samples) == other_speaker_partners(samples)


def test_partners_vary_among_clips_of_equal_length():
    samples = [sample_of(n, f"s{n % 4}", 30) for n in range(200)]
    partners = other_speaker_partners(samples)
    assert len({partner.id for partner in partners}) > 90
    pairs = {
        (s.speaker_id, partner.speaker_id) for s, partner in zip(samples, partners, strict=True)
    }
    assert len(pairs) == 12, "every speaker with every other"


@pytest.mark.parametrize("n_speakers", [1, 2, 7])
def test_partners_are_found_in_a_time_that_grows_with_the_number_of_clips(monkeypatch, n_speakers):
    """Also where nearly all are of one speaker, in whose clips others were searched for."""
    speakers = [f"s{n % n_speakers}" if n % 97 == 5 else "s0" for n in range(1000)]
    samples = [sample_of(n, speaker, 30 + n % 11) for n, speaker in enumerate(speakers)]
    in_order = sorted(samples, key=lambda sample: (sample.n_frames, crc32(sample.id.encode())))
    expected = []
    for sample in samples:
        rank = in_order.index(sample)
        nearest = in_order[rank + 1 :] + in_order[:rank][::-1]
        expected.append(next((s for s in nearest if s.speaker != sample.speaker), sample))
    asked = []
    monkeypatch.setattr(
        Sample, "speaker_id", property(lambda self: asked.append(self.id) or self.speaker)
    )
    assert other_speaker_partners(samples) == expected
    assert len(asked) <= 4 * len(samples)


def test_partners_are_other_clips_where_there_is_one_speaker():
    single = [sample_of(n, "anna") for n in range(3)]
    assert other_speaker_partners(single) == single
    assert other_clip_partners(single) == [*single[1:], single[0]]
    assert other_clip_partners(single[:1]) == single[:1] and other_clip_partners([]) == []
