"""The drawn talker: its sound, its mouth, its picture, and how they fit together."""

import csv
import itertools

import av
import numpy as np
import pytest

from src.errors import LipSyncError
from tools import synthetic_talker as talker

RATE = talker.SAMPLE_RATE
SENTENCE = "Papa, my mother bought a big map. Bob made a farm far away."


@pytest.fixture(scope="module")
def speech():
    return talker.synthesise_speech(SENTENCE, talker.Voice())


def test_phonemes_lie_in_order_inside_the_sound(speech):
    samples, rate, phonemes = speech
    assert samples.dtype == np.float32 and np.abs(samples).max() <= 1
    assert len(phonemes) > 30
    assert all(0 <= start < end <= len(samples) / rate for start, end, _ in phonemes)
    assert all(one[1] == pytest.approx(two[0]) for one, two in itertools.pairwise(phonemes))


def test_speech_is_the_same_every_time(speech):
    talker.synthesise_speech("Something else.", talker.Voice("en+f2"))
    again, _, phonemes = talker.synthesise_speech(SENTENCE, talker.Voice())
    assert np.array_equal(again, speech[0]) and phonemes == speech[2]


def test_sound_is_quiet_in_pauses_and_loud_in_vowels(speech):
    samples, rate, phonemes = speech

    def level(names):
        parts = [samples[int(s * rate) : int(e * rate)] for s, e, n in phonemes if names(n)]
        return np.sqrt(np.mean(np.concatenate(parts) ** 2))

    assert level(lambda n: n.lstrip("',")[:1] in tuple("aAV")) > 10 * level(lambda n: n == "_")


@pytest.mark.parametrize("name", ["es+m1", "de+f2", "it+m3", "cmn+f1", "en-gb-scotland+f4"])
def test_other_languages_speak(name):
    text = talker.make_sentence(np.random.default_rng(0), name.split("+")[0])
    samples, _, phonemes = talker.synthesise_speech(text, talker.Voice(name))
    assert samples.std() > 0.01 and len(phonemes) > 8


def test_an_unknown_voice_is_a_readable_error():
    with pytest.raises(LipSyncError, match="no voice 'xx'"):
        talker.synthesise_speech("Hello.", talker.Voice("xx"))


def test_a_long_data_path_is_shortened(tmp_path, monkeypatch):
    import espeakng_loader

    deep = tmp_path / ("x" * 90) / ("y" * 90)
    deep.parent.mkdir(parents=True)
    try:
        deep.symlink_to(espeakng_loader.get_data_path(), target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(deep))
    _, data = talker._espeak_paths.__wrapped__()
    assert len(data) <= talker._LONGEST_PATH


def test_lips_close_for_m_b_p_and_open_for_a(speech):
    _, _, phonemes = speech
    centre = {}
    for start, end, name in phonemes:
        if name == "_" and end - start < 0.1:
            continue  # spoken through
        letter = name.lstrip("',")[0]
        mouth = talker.mouth_at(phonemes, [(start + end) / 2])[0]
        centre.setdefault(letter, []).append(float(mouth[0]))
    for letter in "pbm":
        assert max(centre[letter]) < 0.02, letter
    assert np.mean(centre["A"]) > 0.6
    assert max(centre["_"]) < 0.05


def test_mouth_moves_smoothly_within_its_range(speech):
    _, _, phonemes = speech
    mouth = talker.mouth_at(phonemes, np.arange(-0.5, 5, 0.001))
    assert mouth.min() >= 0 and mouth.max() <= 1
    assert np.abs(np.diff(mouth, axis=0)).max() < 0.05  # 1 ms steps
    assert mouth[0] == pytest.approx(talker.REST) and mouth[-1] == pytest.approx(talker.REST)


def test_mouth_track_samples_the_start_of_each_frame(speech):
    track = talker.mouth_track(speech[2], 50)
    assert track.shape == (50, 5) and track.dtype == np.float32
    assert np.array_equal(track[30], talker.mouth_at(speech[2], [30 / 25])[0])


def test_same_seed_same_pictures_whatever_the_offset():
    one = talker.clip_parts(3, 0.4)
    two = talker.clip_parts(3, 0.4, shift_ms=120)
    other = talker.clip_parts(4, 0.4, speaker=3)
    pictures = [list(parts[1]) for parts in (one, two, other)]
    assert pictures[0][0].shape == (talker.SIZE, talker.SIZE, 3)
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    assert one[3]["voice"] == other[3]["voice"]
    assert two[3] == {**one[3], "offset_ms": 120}


@pytest.mark.parametrize("shift_ms", [200, -80, 33])
def test_shift_moves_the_sound_by_exactly_that(shift_ms):
    plain, moved = (talker.clip_parts(1, 2, shift)[2] for shift in (0, shift_ms))
    step = round(shift_ms * RATE / 1000)  # sound that leads has its later part now
    early, late = (moved, plain) if step > 0 else (plain, moved)
    assert len(plain) == len(moved) == 2 * RATE
    assert np.array_equal(early[: -abs(step)], late[abs(step) :])


def test_a_shift_out_of_reach_is_refused():
    with pytest.raises(LipSyncError, match="shift_ms"):
        talker.clip_parts(1, 2, shift_ms=5000)


def test_clip_on_disk_is_in_sync_with_itself(tmp_path):
    path = tmp_path / "clip.mp4"
    about = talker.make_clip(path, seed=5, duration_s=2, shift_ms=-40)
    mouth, frames, samples, _ = talker.clip_parts(5, 2, shift_ms=-40)
    assert about["offset_ms"] == -40 and about["seconds"] == 2 and about["text"]
    with av.open(str(path)) as container:
        video = list(container.decode(video=0))
        container.seek(0)
        audio = [(frame.time, frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
        assert container.streams.video[0].codec_context.name == "h264"
    assert [round(frame.time * talker.FPS) for frame in video] == list(range(50))
    for picture, frame in zip(frames, video, strict=True):
        decoded = frame.to_ndarray(format="bgr24").astype(int)
        assert np.abs(decoded - picture).mean() < 6

    heard = np.zeros(len(samples) + 4 * RATE, np.float32)
    for time, piece in audio:
        at = round(time * RATE) + RATE  # a second of room for what comes before zero
        heard[at : at + len(piece)] = piece
    spectrum = np.fft.rfft(heard) * np.conj(np.fft.rfft(samples, len(heard)))
    lag = int(np.argmax(np.fft.irfft(spectrum, len(heard)))) - RATE
    assert abs(lag) <= 0.001 * RATE
    assert mouth[:, 0].max() > 0.3


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_detector_finds_the_face_in_every_frame(seed):
    retinaface = pytest.importorskip("retinaface")
    for shape, picture in zip(*talker.clip_parts(seed, 0.6)[:2], strict=True):
        faces = retinaface.detect_faces(np.ascontiguousarray(picture[..., ::-1]))
        assert len(faces) == 1, shape
        right_eye, left_eye, nose, right_lip, left_lip = faces[0].landmarks
        assert right_eye.x < nose.x < left_eye.x and right_lip.x < nose.x < left_lip.x
        assert right_eye.y < nose.y < min(right_lip.y, left_lip.y)


def test_corpus_is_listed_and_made_once(tmp_path):
    rows = talker.make_corpus(tmp_path, 3, 0.4, seed=1, n_speakers=2)
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}
    assert sorted(made) == ["talker_000.mp4", "talker_001.mp4", "talker_002.mp4"]
    assert rows[0]["speaker"] == rows[2]["speaker"] != rows[1]["speaker"]
    (tmp_path / "videos" / "talker_001.mp4").unlink()
    talker.make_corpus(tmp_path, 3, 0.4, seed=1, n_speakers=2)
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}
    assert {name for name in made if made[name] != again[name]} == {"talker_001.mp4"}
    with (tmp_path / "corpus.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == sorted(made)
    assert all(row["text"] and float(row["offset_ms"]) == 0 for row in table)
