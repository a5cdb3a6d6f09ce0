"""Every bad clip is used with a note of what was skipped, or skipped with a reason in one line."""

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
from src.core.constants import SAMPLE_RATE
from src.core.errors import LipSyncError, MediaError, UnreadableMediaError
from src.dataset.build import process_clip
from src.dataset.clips import Clip, find_clips
from src.dataset.index import INDEX_NAME, read_index
from src.faces.detection import make_detector
from src.media.container import probe
from src.media.reader import read_audio, read_frames, stream_audio
from src.preprocessing.extract import ExtractOptions, extract_clip
from tests.support import bad_clips
from tests.support.bad_clips import FACE_SPAN, FRAMES, ODD_NAMES, name_of
from tests.support.limits import HANG_S
from tests.support.media_files import ffmpeg, write_audio

DAMAGED = r"\d+ of \d+ frames of .* are damaged: export or download it again"  # some are lost
# What the reason of each unusable clip must contain, besides its name.
UNUSABLE = {
    "zero bytes": "the file is empty",
    "text": "cannot read",
    "cut, contents in front": rf"is truncated: \d+ of {FRAMES} frames could be read",
    "cut, contents at the end": "cannot read",
    "cut.mkv": rf"is truncated: \d+ of {FRAMES} frames could be read",
    "cut.avi": rf"is truncated: \d+ of {FRAMES} frames could be read",
    "cut.flv": r"is truncated: \d+ of \d+ frames could be read",
    "zeros": rf"is truncated: \d+ of {FRAMES} frames could be read",
    "flipped every 512 bytes": DAMAGED,
    "flipped in every frame": DAMAGED,
    "audio only": "no video stream",
    "mp3 by another name": "no video stream",
    "video only": "no matching audio file",
    "silence": "silent throughout",
    "noise": "no face detected in 25 of 25 frames",
    "no face": rf"no face detected in {FRAMES} of {FRAMES} frames",
    "no speech": "no speech while a face is visible",
    "four frames": "only 4 of the 5 frames required",
    "frozen": r"is frozen in \d+ of 100 frames: no visible speech",
    "flicker": r"the longest face track has \d of the 15 frames required",
    "too small": "pixels wide",
    "audio is empty": r"empty\.wav: the file is empty",
    "audio is text": r"cannot read .*text\.wav",
    "audio is an image": r"cannot read .*image\.wav: unrecognised content",
    "audio is short": r"short\.wav is only 100 ms long; at least 200 ms required",
    "audio is a silent video": r"video\.wav has no audio",
}
# Named like videos, and not files.
NON_FILES = {
    "folder": "is a folder, not a file",
    "pipe": "is a pipe or a device, not a file",
    "loop": "a broken link to",
    "nowhere": "a broken link to",
}
# The note on each clip that can be used in part.
PARTIAL = {
    "a third": rf"{FRAMES - FACE_SPAN[1] + FACE_SPAN[0]} of {FRAMES} frames skipped: no face",
    "leaves": rf"\d\d of {FRAMES} frames skipped: no face",
    "two": "other faces skipped: 1",
    "audio 10 s longer": "the audio is 10.0 s longer than the video: analysed as far",
    "audio 10 s shorter": "the audio ends 10.0 s before the video",
    "flipped every 64 KiB": rf"\d+ of {FRAMES} frames are damaged",
    "audio is damaged": r"^\d+% of the audio is damaged",
}

pytestmark = pytest.mark.slow


@dataclass
class Run:
    """Inputs, output and result of the command."""

    videos: Path
    audios: Path
    processed: Path
    process: subprocess.CompletedProcess
    before: dict[str, str]
    after: dict[str, str]

    def table(self, name: str) -> dict[str, str]:
        with open(self.processed / f"{name}.csv", encoding="utf-8-sig", newline="") as file:
            return dict(list(csv.reader(file))[1:])

    @property
    def samples(self) -> dict[str, list[dict]]:
        samples_by_clip: dict[str, list[dict]] = {}
        for sample in read_index(self.processed / INDEX_NAME)["samples"]:
            samples_by_clip.setdefault(sample["clip"], []).append(sample)
        return samples_by_clip


def run_command(folder: Path, language: str = "en", workers: int = 0) -> Run:
    """Process ``folder/videos`` and ``folder/audios`` with the command."""
    folders = [folder / name for name in ("videos", "audios", "processed")]
    command = [sys.executable, data_processing.__file__, "--config", str(DEFAULT_CONFIG),
               "--set", f"data.num_workers={workers}"]  # fmt: skip
    for key, path in zip(("video_dir", "audio_dir", "processed_dir"), folders, strict=True):
        command += ["--set", f"data.{key}={path}"]
    before = bad_clips.contents(*folders[:2])
    process = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=HANG_S,
        env=os.environ | {"LIPSYNC_LANG": language, "PYTHONUTF8": "1"},
    )  # fmt: skip
    return Run(*folders, process, before, bad_clips.contents(*folders[:2]))


@pytest.fixture(scope="module")
def run(tmp_path_factory, talking_clip) -> Run:
    """All the bad clips, processed in one run."""
    folder = tmp_path_factory.mktemp("bad")
    videos, audios, temporary = (folder / name for name in ("videos", "audios", "temporary"))
    for path in (videos, audios, temporary):
        path.mkdir()
    bad_clips.write_broken(videos, temporary)
    bad_clips.write_unusable(videos)
    bad_clips.write_partial(videos, temporary)
    bad_clips.write_odd_names(videos, audios, talking_clip)
    bad_clips.write_bad_audio(videos, audios, talking_clip)
    if os.name != "nt":
        bad_clips.write_non_files(videos)
    return run_command(folder)


def test_the_command_succeeds(run):
    assert run.process.returncode == 0, run.process.stderr
    assert "Done!" in run.process.stdout
    assert "Traceback" not in run.process.stdout + run.process.stderr


def test_each_clip_is_in_the_index_or_among_the_skipped(run):
    clips = {clip.name for clip in find_clips(settings_of(run))}
    used, skipped = set(run.samples), set(run.table("skipped"))
    assert used | skipped == clips and not used & skipped
    names = [*UNUSABLE, *PARTIAL, *(NON_FILES if os.name != "nt" else ())]
    assert clips == {*ODD_NAMES, "small.mp4", *map(name_of, names)}


def settings_of(run: Run) -> DataConfig:
    return DataConfig(
        video_dir=str(run.videos), audio_dir=str(run.audios), processed_dir=str(run.processed)
    )


def check_reason(run: Run, name: str, expected: str) -> None:
    reason = run.table("skipped")[name_of(name)]
    assert re.search(expected, reason), reason
    assert name in reason and len(reason.splitlines()) == 1
    assert "Error" not in reason and "Errno" not in reason, "not Python's own messages"
    assert f"{name_of(name)}: {reason}" in run.process.stdout


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_clip_is_skipped_for_a_reason_in_one_line(run, name):
    check_reason(run, name, UNUSABLE[name])


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")
@pytest.mark.parametrize("name", NON_FILES)
def test_what_is_not_a_file_is_skipped_for_a_reason_in_one_line(run, name):
    check_reason(run, name, NON_FILES[name])


@pytest.mark.parametrize("name", PARTIAL)
def test_a_clip_used_in_part_notes_what_was_skipped(run, name):
    samples = run.samples[f"{name}.mp4"]
    text = run.table("used_in_part")[f"{name}.mp4"]
    assert re.search(PARTIAL[name], text), text
    assert text == "; ".join(samples[0]["notes"])


def test_complete_clips_have_no_note(run):
    partial = set(run.table("used_in_part"))
    # Whether the smallest face is found in all frames is the detector's.
    assert partial - {"small.mp4"} == {f"{name}.mp4" for name in PARTIAL}
    assert f"{len(partial)} clips were used in part" in run.process.stdout


def test_only_the_frames_with_the_face_are_used(run):
    (sample,) = run.samples["a third.mp4"]
    assert sample["first_frame"] == pytest.approx(FACE_SPAN[0], abs=4)
    assert sample["n_frames"] == pytest.approx(FACE_SPAN[1] - FACE_SPAN[0], abs=4)
    (sample,) = run.samples["leaves.mp4"]
    assert sample["first_frame"] == 0 and FRAMES // 2 <= sample["n_frames"] < 0.8 * FRAMES
    (sample,) = run.samples["two.mp4"]
    assert sample["faces"] == 2 and sample["n_frames"] == FRAMES


def test_a_face_of_27_pixels_is_used_or_reported_as_too_small(run):
    if "small.mp4" in run.samples:
        (sample,) = run.samples["small.mp4"]
        assert sample["face_share"] > 0.9
    else:
        assert re.search(r"too small|at least 20 pixels", run.table("skipped")["small.mp4"])


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_clip_of_any_name_is_processed_with_its_audio_file(run, name):
    (sample,) = run.samples[name]
    assert sample["n_frames"] == 50 and sample["face_share"] == 1
    assert len(sample["audio_sha256"]) == 64, "the audio file of its name is used"
    assert (run.processed / sample["file"]).is_file()


def test_a_link_to_the_parent_folder_is_not_followed_endlessly(run):
    assert not [name for name in run.samples if name.startswith("deep/")]


def test_no_file_of_the_user_is_changed(run):
    assert run.after == run.before and len(run.before) > 40


def test_no_unfinished_file_stays(run):
    files = {path.name for path in (run.processed / "samples").iterdir()}
    assert files == {
        Path(sample["file"]).name for samples in run.samples.values() for sample in samples
    }


def test_the_reasons_are_also_in_chinese(run):
    """In a second run, finished clips are reused and unusable ones are reported again."""
    again = run_command(run.videos.parent, "zh", workers=1)
    assert again.process.returncode == 0, again.process.stderr
    assert "Traceback" not in again.process.stdout + again.process.stderr
    assert set(again.table("skipped")) == set(run.table("skipped"))
    assert again.after == run.before
    assert f"跳过 {len(again.table('skipped'))} 个视频" in again.process.stdout


# ---------------------------------------------------------------------------- inference


@pytest.fixture(scope="module")
def detector():
    return make_detector(DataConfig())


# There is a face, though nothing can be learned: that is a result, not an error.
SCORED = {"no speech", "frozen"}


@pytest.mark.parametrize("name", [name for name in UNUSABLE if name not in SCORED])
def test_scoring_an_unusable_clip_raises_one_line(run, detector, tmp_path, name):
    """The same files, read as ``src/inference.py`` does."""
    video, audio = run.videos / name_of(name), run.audios / f"{name}.wav"
    with pytest.raises(MediaError) as caught:
        extract_clip(
            video, audio if audio.exists() else None, DataConfig(), detector, tmp_path,
            ExtractOptions(threads=0),
        )  # fmt: skip
    text = str(caught.value)
    assert name in text and len(text.splitlines()) == 1


# ---------------------------------------------------------------------------- wrong headers


@pytest.mark.parametrize("rate", [0, 1, 1000, 2_000_000, (1 << 31) - 1])
def test_an_absurd_sample_rate_is_rejected_at_once(tmp_path, rate):
    """At 1 Hz, one second of samples would be hours of audio."""
    path = write_audio(tmp_path / "audio.wav", 16000, seconds=1.0, times=(0.5,))
    data = bytearray(path.read_bytes())
    position = data.index(b"fmt ") + 12
    data[position : position + 4] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UnreadableMediaError, match=r"audio\.wav"):
        read_audio(path)


@pytest.mark.parametrize("step_s", [200, 1700])
def test_many_gaps_are_not_filled_with_hours_of_silence(tmp_path, talking_clip, step_s):
    path = tmp_path / "gaps.ts"
    ffmpeg("-i", talking_clip, "-c", "copy", "-bsf:a", f"setts=ts=N*{step_s}/TB", path)
    with pytest.raises(UnreadableMediaError, match=rf"gaps\.ts.*jump by {step_s} s"):
        for block in stream_audio(path):
            assert len(block) <= 48000


def test_a_few_gaps_are_filled_with_silence(tmp_path, talking_clip):
    path = tmp_path / "gaps.ts"
    ffmpeg("-i", talking_clip, "-c", "copy", "-bsf:a", "setts=ts=PTS+floor(N/20)*60/TB", path)
    assert len(read_audio(path)) > 60 * SAMPLE_RATE


@pytest.mark.parametrize(("codec", "kind"), [(b"V_MPEG4/ISO/AVC", "video"), (b"A_AAC", "audio")])
def test_an_unknown_codec_is_reported(tmp_path, talking_clip, detector, codec, kind):
    path = tmp_path / "unknown.mkv"
    ffmpeg("-i", talking_clip, "-c", "copy", path)
    path.write_bytes(path.read_bytes().replace(codec, codec[:2] + b"X" * len(codec[2:])))
    with pytest.raises(
        UnreadableMediaError, match=rf"cannot read .*unknown\.mkv: unsupported {kind} codec$"
    ):
        extract_clip(path, None, DataConfig(), detector, tmp_path)


def test_an_absurd_pixel_aspect_ratio_is_ignored(tmp_path, talking_clip):
    path = tmp_path / "shape.mov"
    ffmpeg("-i", talking_clip, "-t", 0.4, "-vf", "setsar=4/3", "-c:v", "mpeg4", path)
    data = bytearray(path.read_bytes())
    position = data.index(b"pasp") + 4
    data[position : position + 8] = (60_000).to_bytes(4, "big") + (1).to_bytes(4, "big")
    path.write_bytes(data)
    frame = next(read_frames(path))
    assert (frame.width, frame.height) == (320, 320)


def test_a_long_last_frame_is_not_taken_for_truncation(tmp_path, talking_clip, detector):
    path = tmp_path / "slides.mp4"
    longer = "setts=duration=if(eq(N\\,49)\\,6/TB\\,DURATION)"
    ffmpeg("-i", talking_clip, "-c", "copy", "-bsf:v", longer, path)
    assert probe(path).video_s > 5
    assert extract_clip(path, None, DataConfig(), detector, tmp_path).n_frames == 50


# ---------------------------------------------------------------------------- permission


@contextmanager
def as_nobody():
    """Root may read everything, so temporarily this process has another user."""
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
def test_a_file_without_read_permission_is_named(talking_clip, locked, caplog):
    with TemporaryDirectory() as path:  # pytest's own folders are private to the owner
        folder = Path(path)
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
                assert f"cannot list {folder / 'videos'}: Permission denied" in caplog.messages
        (folder / locked).chmod(0o755)
        name = "videos/a.mp4" if locked == "videos" else locked
        assert result == f"no permission to read {folder / name}"
