"""The clips of the drawn talker: sync of video and audio, the corpus, the command."""

import csv
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from src.core.constants import FPS
from src.core.errors import LipSyncError
from tools.drawn_face import SIZE
from tools.synthetic_talker import SAMPLE_RATE as RATE
from tools.synthetic_talker import clip_parts, main, make_clip, make_corpus, make_speaker

ROOT = Path(__file__).resolve().parents[2]


def test_same_seed_same_frames_whatever_the_offset():
    one = clip_parts(3, 0.4)
    two = clip_parts(3, 0.4, shift_ms=120)
    other = clip_parts(4, 0.4, speaker=3)
    images = [list(parts[1]) for parts in (one, two, other)]
    assert images[0][0].shape == (SIZE, SIZE, 3)
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])
    assert one[3]["voice"] == other[3]["voice"]
    assert two[3] == {**one[3], "offset_ms": 120}


@pytest.mark.parametrize("shift_ms", [200, -80, 33])
def test_shift_moves_the_audio_by_exactly_that(shift_ms):
    plain, moved = (clip_parts(1, 2, shift)[2] for shift in (0, shift_ms))
    step = round(shift_ms * RATE / 1000)  # leading audio starts with a later part
    early, late = (moved, plain) if step > 0 else (plain, moved)
    assert len(plain) == len(moved) == 2 * RATE
    assert np.array_equal(early[: -abs(step)], late[abs(step) :])


def test_a_shift_out_of_reach_is_refused():
    with pytest.raises(LipSyncError, match="5000"):
        clip_parts(1, 2, shift_ms=5000)


def test_a_clip_without_a_frame_is_refused():
    with pytest.raises(LipSyncError, match=r"0\.01"):
        clip_parts(1, 0.01)


def test_speakers_differ_and_come_again():
    people = [make_speaker(seed) for seed in range(20)]
    assert len(set(people)) == 20
    assert people == [make_speaker(seed) for seed in range(20)]


def test_clip_on_disk_is_in_sync_with_itself(tmp_path):
    path = tmp_path / "clip.mp4"
    about = make_clip(path, seed=5, duration_s=2, shift_ms=-40)
    mouth, frames, samples, _ = clip_parts(5, 2, shift_ms=-40)
    assert about["offset_ms"] == -40 and about["seconds"] == 2 and about["text"]
    with av.open(str(path)) as container:
        video = list(container.decode(video=0))
        container.seek(0)
        audio = [(frame.time, frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
        assert container.streams.video[0].codec_context.name == "h264"
    assert [round(frame.time * FPS) for frame in video] == list(range(50))
    for image, frame in zip(frames, video, strict=True):
        decoded = frame.to_ndarray(format="bgr24").astype(int)
        assert np.abs(decoded - image).mean() < 6

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
    for shape, image in zip(*clip_parts(seed, 0.6)[:2], strict=True):
        faces = retinaface.detect_faces(np.ascontiguousarray(image[..., ::-1]))
        assert len(faces) == 1, shape
        right_eye, left_eye, nose, right_lip, left_lip = faces[0].landmarks
        assert right_eye.x < nose.x < left_eye.x and right_lip.x < nose.x < left_lip.x
        assert right_eye.y < nose.y < min(right_lip.y, left_lip.y)


def test_corpus_is_listed_and_made_once(tmp_path):
    rows = make_corpus(tmp_path, 3, 0.4, seed=1, n_speakers=2)
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}
    assert sorted(made) == ["talker_000.mp4", "talker_001.mp4", "talker_002.mp4"]
    assert rows[0]["speaker"] == rows[2]["speaker"] != rows[1]["speaker"]
    (tmp_path / "videos" / "talker_001.mp4").unlink()
    make_corpus(tmp_path, 3, 0.4, seed=1, n_speakers=2)
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}
    assert {name for name in made if made[name] != again[name]} == {"talker_001.mp4"}
    with (tmp_path / "corpus.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == sorted(made)
    assert all(row["text"] and float(row["offset_ms"]) == 0 for row in table)


def test_command_writes_the_corpus(tmp_path, monkeypatch, capsys):
    words = f"talker --output {tmp_path} --num-clips 2 --seconds 0.2 --speakers 1 --seed 3"
    monkeypatch.setattr("sys.argv", words.split())
    assert main() == 0
    assert "2" in capsys.readouterr().out
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 2


@pytest.mark.parametrize("words", ["--num-clips 0", "--seconds -1", "--seed -1", "--seconds x"])
def test_command_refuses_impossible_numbers(words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["talker", *words.split()])
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == 2 and words.split()[0] in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_readable_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    command = [sys.executable, "tools/synthetic_talker.py", "--output", str(tmp_path / "file")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "file" in done.stderr
