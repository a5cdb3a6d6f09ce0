"""Every bad clip ends in a result that says what was left out, or in one line with its reason."""

import csv
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from src import data_processing
from src.core.config import DEFAULT_CONFIG, DataConfig
from src.core.errors import LipSyncError, MediaError, UnreadableMediaError
from src.dataset.build import process_clip
from src.dataset.clips import Clip, find_clips
from src.dataset.index import INDEX_NAME, read_index
from src.faces.detection import make_detector
from src.media.container import probe
from src.media.reader import read_audio, read_frames, stream_audio
from src.preprocessing.extract import extract_clip
from tests.support import bad_clips
from tests.support.bad_clips import FACE, FRAMES, ODD_NAMES, name_of
from tests.support.films import ffmpeg, write_sound

# What the reason of each unusable clip must say, besides its name.
UNUSABLE = {
    "zero bytes": "the file is empty",
    "text": "cannot read",
    "cut, contents in front": rf"breaks off: \d+ of {FRAMES} frames could be read",
    "cut, contents at the end": "cannot read",
    "cut.mkv": rf"breaks off: \d+ of {FRAMES} frames could be read",
    "cut.avi": rf"breaks off: \d+ of {FRAMES} frames could be read",
    "cut.flv": r"breaks off: \d+ of \d+ frames could be read",
    "zeros": rf"breaks off: \d+ of {FRAMES} frames could be read",
    "flipped every 2 KiB": rf"\d+ of {FRAMES} pictures of .* are damaged",
    "flipped in every picture": rf"\d+ of {FRAMES} pictures of .* are damaged",
    "sound only": "no video stream",
    "mp3 by another name": "no video stream",
    "picture only": "no matching audio file",
    "silence": "silent throughout",
    "noise": "no face found in 25 of 25 frames",
    "nobody": rf"no face found in {FRAMES} of {FRAMES} frames",
    "nobody speaks": "nobody speaks while the face is seen",
    "four frames": "only 4 of the 5 frames",
    "standing": r"stands still in \d+ of 100 frames",
    "now and then": r"the longest stretch has \d of the 15 frames",
    "too small": "pixels wide",
    "sound is empty": r"empty\.wav: the file is empty",
    "sound is text": r"cannot read .*text\.wav",
    "sound is a picture": r"picture\.wav has no sound",
    "sound is short": r"short\.wav lasts only 100 ms",
    "sound is a silent film": r"film\.wav has no sound",
}
# Named like films, and no files.
PLACES = {
    "folder": "is a folder, not a file",
    "pipe": "is a pipe or a device, not a file",
    "loop": "a link that leads nowhere",
    "nowhere": "a link that leads nowhere",
}
# What is said of each clip that can be used in part.
IN_PART = {
    "a third": rf"{FRAMES - FACE[1] + FACE[0]} of {FRAMES} frames without a face are left out",
    "leaves": rf"\d\d of {FRAMES} frames without a face are left out",
    "two": "other faces left out: 1",
    "sound 10 s longer": "the last 10.0 s of the sound come after the picture",
    "sound 10 s shorter": "the sound ends 10.0 s before the picture",
    "flipped every 64 KiB": rf"\d+ of {FRAMES} pictures are damaged",
    "sound is damaged": r"^\d+ % of the sound is damaged",
}

pytestmark = pytest.mark.slow


@dataclass
class Ran:
    """What the command was given, said and left."""

    videos: Path
    audios: Path
    processed: Path
    done: subprocess.CompletedProcess
    before: dict[str, str]
    after: dict[str, str]

    def table(self, name: str) -> dict[str, str]:
        with open(self.processed / f"{name}.csv", encoding="utf-8-sig", newline="") as file:
            return dict(list(csv.reader(file))[1:])

    @property
    def samples(self) -> dict[str, list[dict]]:
        found: dict[str, list[dict]] = {}
        for sample in read_index(self.processed / INDEX_NAME)["samples"]:
            found.setdefault(sample["clip"], []).append(sample)
        return found


def run(folder: Path, language: str = "en", workers: int = 0) -> Ran:
    """Process ``folder/videos`` and ``folder/audios`` by the command."""
    places = [folder / name for name in ("videos", "audios", "processed")]
    command = [sys.executable, data_processing.__file__, "--config", str(DEFAULT_CONFIG),
               "--set", f"data.num_workers={workers}"]  # fmt: skip
    for key, place in zip(("video_dir", "audio_dir", "processed_dir"), places, strict=True):
        command += ["--set", f"data.{key}={place}"]
    before = bad_clips.contents(*places[:2])
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=600,
        env=os.environ | {"LIPSYNC_LANG": language, "PYTHONUTF8": "1"},
    )  # fmt: skip
    return Ran(*places, done, before, bad_clips.contents(*places[:2]))


@pytest.fixture(scope="module")
def ran(tmp_path_factory, talking_clip) -> Ran:
    """All the bad clips, processed at one go."""
    folder = tmp_path_factory.mktemp("bad")
    videos, audios, workplace = (folder / name for name in ("videos", "audios", "workplace"))
    for place in (videos, audios, workplace):
        place.mkdir()
    bad_clips.write_broken(videos, workplace)
    bad_clips.write_useless(videos)
    bad_clips.write_partial(videos, workplace)
    bad_clips.write_odd_names(videos, audios, talking_clip)
    bad_clips.write_bad_sounds(videos, audios, talking_clip)
    if os.name != "nt":
        bad_clips.write_odd_places(videos)
    return run(folder)


def test_the_command_goes_through(ran):
    assert ran.done.returncode == 0, ran.done.stderr
    assert "Done!" in ran.done.stdout
    assert "Traceback" not in ran.done.stdout + ran.done.stderr


def test_each_clip_is_in_the_index_or_among_the_skipped(ran):
    clips = {clip.name for clip in find_clips(settings_of(ran))}
    used, skipped = set(ran.samples), set(ran.table("skipped"))
    assert used | skipped == clips and not used & skipped
    names = [*UNUSABLE, *IN_PART, *(PLACES if os.name != "nt" else ())]
    assert clips == {*ODD_NAMES, "small.mp4", *map(name_of, names)}


def settings_of(ran: Ran) -> DataConfig:
    return DataConfig(
        video_dir=str(ran.videos), audio_dir=str(ran.audios), processed_dir=str(ran.processed)
    )


def check_reason(ran: Ran, name: str, expected: str) -> None:
    reason = ran.table("skipped")[name_of(name)]
    assert re.search(expected, reason), reason
    assert name in reason and len(reason.splitlines()) == 1
    assert "Error" not in reason and "Errno" not in reason, "no words of Python's"
    assert f"{name_of(name)}: {reason}" in ran.done.stdout


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_clip_is_skipped_for_a_reason_in_one_line(ran, name):
    check_reason(ran, name, UNUSABLE[name])


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")
@pytest.mark.parametrize("name", PLACES)
def test_what_is_no_file_is_skipped_for_a_reason_in_one_line(ran, name):
    check_reason(ran, name, PLACES[name])


@pytest.mark.parametrize("name", IN_PART)
def test_a_clip_used_in_part_says_what_was_left_out(ran, name):
    samples = ran.samples[f"{name}.mp4"]
    said = ran.table("used_in_part")[f"{name}.mp4"]
    assert re.search(IN_PART[name], said), said
    assert said == "; ".join(samples[0]["notes"])


def test_nothing_is_said_of_clips_that_are_whole(ran):
    assert set(ran.table("used_in_part")) == {f"{name}.mp4" for name in IN_PART}
    assert f"{len(IN_PART)} clips were used in part" in ran.done.stdout


def test_only_the_frames_with_the_face_are_used(ran):
    (sample,) = ran.samples["a third.mp4"]
    assert sample["first_frame"] == pytest.approx(FACE[0], abs=4)
    assert sample["n_frames"] == pytest.approx(FACE[1] - FACE[0], abs=4)
    (sample,) = ran.samples["leaves.mp4"]
    assert sample["first_frame"] == 0 and FRAMES // 2 <= sample["n_frames"] < 0.8 * FRAMES
    (sample,) = ran.samples["two.mp4"]
    assert sample["faces"] == 2 and sample["n_frames"] == FRAMES


def test_a_face_of_27_pixels_is_found_or_said_to_be_small(ran):
    if "small.mp4" in ran.samples:
        (sample,) = ran.samples["small.mp4"]
        assert sample["face_share"] > 0.9
    else:
        assert re.search(r"too small|at least 36 pixels", ran.table("skipped")["small.mp4"])


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_clip_of_any_name_is_processed_with_its_sound_file(ran, name):
    (sample,) = ran.samples[name]
    assert sample["n_frames"] == 50 and sample["face_share"] == 1
    assert len(sample["audio_sha256"]) == 64, "the sound file of its name is used"
    assert (ran.processed / sample["file"]).is_file()


def test_a_link_to_the_folder_above_is_not_followed_for_ever(ran):
    assert not [name for name in ran.samples if name.startswith("deep/")]


def test_no_file_of_the_user_is_changed(ran):
    assert ran.after == ran.before and len(ran.before) > 40


def test_nothing_half_made_stays(ran):
    made = {path.name for path in (ran.processed / "samples").iterdir()}
    assert made == {
        Path(sample["file"]).name for samples in ran.samples.values() for sample in samples
    }


def test_the_reasons_are_said_in_chinese_too(ran):
    """Once more: what is done is taken as it is, what cannot be used is said again."""
    again = run(ran.videos.parent, "zh", workers=1)
    assert again.done.returncode == 0, again.done.stderr
    assert "Traceback" not in again.done.stdout + again.done.stderr
    assert set(again.table("skipped")) == set(ran.table("skipped"))
    assert again.after == ran.before
    assert f"跳过 {len(again.table('skipped'))} 个视频" in again.done.stdout


# ---------------------------------------------------------------------------- inference


@pytest.fixture(scope="module")
def detector():
    return make_detector(DataConfig())


# There is a face, though nothing to learn from: the verdict says so, not an error.
JUDGED = {"nobody speaks", "standing"}


@pytest.mark.parametrize("name", [name for name in UNUSABLE if name not in JUDGED])
def test_scoring_an_unusable_clip_raises_one_line(ran, detector, tmp_path, name):
    """The same files by the way that ``src/inference.py`` takes."""
    video, audio = ran.videos / name_of(name), ran.audios / f"{name}.wav"
    with pytest.raises(MediaError) as caught:
        extract_clip(
            video, audio if audio.exists() else None, DataConfig(), detector, tmp_path, threads=0
        )
    text = str(caught.value)
    assert name in text and len(text.splitlines()) == 1


# ---------------------------------------------------------------------------- headers that lie


@pytest.mark.parametrize("rate", [0, 1, 1000, 2_000_000, (1 << 31) - 1])
def test_a_sound_with_an_absurd_rate_is_refused_at_once(tmp_path, rate):
    """At 1 Hz, a second of samples would be hours of sound."""
    path = write_sound(tmp_path / "sound.wav", 16000, seconds=1.0, times=(0.5,))
    data = bytearray(path.read_bytes())
    place = data.index(b"fmt ") + 12
    data[place : place + 4] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UnreadableMediaError, match=r"sound\.wav"):
        read_audio(path)


@pytest.mark.parametrize("step_s", [200, 1700])
def test_many_gaps_do_not_make_hours_of_silence(tmp_path, talking_clip, step_s):
    path = tmp_path / "gaps.ts"
    ffmpeg("-i", talking_clip, "-c", "copy", "-bsf:a", f"setts=ts=N*{step_s}/TB", path)
    with pytest.raises(UnreadableMediaError, match=rf"gaps\.ts.*jump by {step_s} s"):
        for piece in stream_audio(path):
            assert len(piece) <= 48000


def test_a_few_gaps_are_silence(tmp_path, talking_clip):
    path = tmp_path / "gaps.ts"
    ffmpeg("-i", talking_clip, "-c", "copy", "-bsf:a", "setts=ts=PTS+floor(N/20)*60/TB", path)
    assert len(read_audio(path)) > 60 * 16000


@pytest.mark.parametrize(("codec", "kind"), [(b"V_MPEG4/ISO/AVC", "picture"), (b"A_AAC", "sound")])
def test_a_format_nobody_knows_is_said_to_be_one(tmp_path, talking_clip, detector, codec, kind):
    path = tmp_path / "strange.mkv"
    ffmpeg("-i", talking_clip, "-c", "copy", path)
    path.write_bytes(path.read_bytes().replace(codec, codec[:2] + b"X" * len(codec[2:])))
    with pytest.raises(UnreadableMediaError, match=rf"strange\.mkv: no decoder .* its {kind}$"):
        extract_clip(path, None, DataConfig(), detector, tmp_path)


def test_pixels_of_an_absurd_shape_are_taken_as_square(tmp_path, talking_clip):
    path = tmp_path / "shape.mov"
    ffmpeg("-i", talking_clip, "-t", 0.4, "-vf", "setsar=4/3", "-c:v", "mpeg4", path)
    data = bytearray(path.read_bytes())
    place = data.index(b"pasp") + 4
    data[place : place + 8] = (60_000).to_bytes(4, "big") + (1).to_bytes(4, "big")
    path.write_bytes(data)
    picture = next(read_frames(path))
    assert (picture.width, picture.height) == (320, 320)


def test_a_last_picture_that_stands_for_long_is_no_missing_end(tmp_path, talking_clip, detector):
    path = tmp_path / "slides.mp4"
    longer = "setts=duration=if(eq(N\\,49)\\,6/TB\\,DURATION)"
    ffmpeg("-i", talking_clip, "-c", "copy", "-bsf:v", longer, path)
    assert probe(path).video_s > 5
    assert extract_clip(path, None, DataConfig(), detector, tmp_path).n_frames == 50


# ---------------------------------------------------------------------------- permission


@contextmanager
def as_nobody():
    """Root may read everything, so for a while this process is somebody else."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
@pytest.mark.parametrize("locked", ["videos/a.mp4", "audios/a.wav", "videos"])
def test_a_file_nobody_may_read_is_named(talking_clip, locked, capsys):
    with TemporaryDirectory() as place:  # pytest's own folders are the owner's alone
        folder = Path(place)
        for name in ("videos/a.mp4", "audios/a.wav", "processed/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "videos/a.mp4").write_bytes(talking_clip.read_bytes())
        (folder / "audios/a.wav").write_bytes(talking_clip.read_bytes())
        folder.chmod(0o777)
        (folder / "processed").mkdir(exist_ok=True)
        (folder / "processed").chmod(0o777)
        (folder / locked).chmod(0)
        settings = DataConfig(
            video_dir=str(folder / "videos"), audio_dir=str(folder / "audios"),
            processed_dir=str(folder / "processed"),
        )  # fmt: skip
        clip = Clip("a.mp4", folder / "videos/a.mp4", folder / "audios/a.wav")
        with as_nobody():
            result = process_clip(settings, (clip, []))
            if locked == "videos":
                with pytest.raises(LipSyncError, match="no video in"):
                    find_clips(settings)
                assert (
                    f"cannot list {folder / 'videos'}: Permission denied" in capsys.readouterr().err
                )
        (folder / locked).chmod(0o755)
        named = "videos/a.mp4" if locked == "videos" else locked
        assert result == f"no permission to read {folder / named}"
