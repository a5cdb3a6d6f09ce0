"""Video and audio that are not equally long."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from src.core.errors import ConfigError
from src.correction import remux
from src.correction.duration import audio_end, match_duration, measure_audio
from src.media import reader
from src.media.streams import read_source
from src.scoring.timeline import Segment, Timeline
from tests.support.media_files import (
    SECONDS,
    VP9,
    burst_delays,
    count_frames,
    ffmpeg,
    make_video,
    read_frame_numbers,
    video_packets,
    write_audio,
)


def constant(ms: float) -> Timeline:
    return Timeline("constant", (Segment(0.0, math.inf, ms),))


def lengths(path: Path) -> tuple[float, float]:
    """Decoded seconds of the video and of the audio, from the first frame."""
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        end = max(frame.time + frame.samples / frame.sample_rate
                  for frame in container.decode(audio=0))  # fmt: skip
    return max(times) - min(times) + 0.04, end - min(times)


# fit, seconds of the audio, its delay in ms -> seconds of the output
LENGTHS = [
    ("pad", 1.5, 200, SECONDS), ("pad", 9.0, 200, SECONDS),
    ("trim", 1.5, 200, 1.7), ("trim", 9.0, 200, SECONDS), ("trim", 2.0, -300, 1.7),
    ("loop", 9.0, 200, 9.2), ("loop", 9.0, -500, 8.5), ("loop", 1.5, 200, SECONDS),
]  # fmt: skip


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(("fit", "seconds", "delay_ms", "expected"), LENGTHS)
def test_lengths(tmp_path, suffix, fit, seconds, delay_ms, expected):
    source, target = make_video(tmp_path / "video.mp4"), tmp_path / f"target.{suffix}"
    audio = write_audio(tmp_path / "audio.wav", 48000, 1, (0.9,), seconds)
    notes = remux.retime_audio(source, audio, target, constant(delay_ms), fit)
    cut_s = seconds + delay_ms / 1000 - expected
    assert [note for note in notes if "are cut" in note] == [
        f"the last {cut_s:.1f} s of the audio are cut: the video ends first"
    ] * (cut_s > 0.5)  # never where the video loops until the audio ends
    video_s, audio_s = lengths(target)
    # B-frames: a copied video ends up to three frames later.
    assert expected - 0.002 <= video_s <= expected + 0.16
    assert abs(audio_s - video_s) <= 0.03
    before, after = video_packets(source), video_packets(target)
    assert after == [before[k % len(before)] for k in range(len(after))], "the video is copied"
    numbers = read_frame_numbers(target)
    assert (numbers == np.arange(len(numbers)) % 90).all() and len(numbers) == len(after)
    corrected = reader.read_audio(target)
    assert np.abs(burst_delays(corrected, (0.9 + delay_ms / 1000,))).max() <= 0.001


@pytest.mark.parametrize(("fit", "seconds", "n_frames"), [("trim", 1.5, 43), ("loop", 9.0, 230)])
def test_re_encoded_video_ends_with_the_audio(tmp_path, fit, seconds, n_frames):
    source, target = make_video(tmp_path / "video.mp4"), tmp_path / "target.webm"
    audio = write_audio(tmp_path / "audio.wav", 48000, 1, (0.9,), seconds)
    notes = remux.retime_audio(source, audio, target, constant(200), fit)
    assert notes and count_frames(target) == n_frames
    numbers = read_frame_numbers(target)
    assert (numbers == np.arange(n_frames) % 90).all()


def test_videos_that_do_not_start_at_zero_can_loop(tmp_path):
    audio = write_audio(tmp_path / "audio.wav", 48000, 1, (0.9,), 8.0)
    cases = {
        "late.ts": {"audio_start": 0.4}, "video_late.mkv": {"video_start": 0.4},
        "ntsc.mp4": {"fps": Fraction(30000, 1001)}, "it's.webm": {"options": VP9},
    }  # fmt: skip
    for name, arguments in cases.items():
        source = make_video(tmp_path / name, **arguments)
        target = tmp_path / f"target{source.suffix}"
        remux.retime_audio(source, audio, target, constant(0), "loop")
        before, after = video_packets(source), video_packets(target)
        assert after == [before[k % len(before)] for k in range(len(after))], name
        with av.open(str(target)) as container:
            times = sorted(frame.time for frame in container.decode(video=0))
        rate = float(arguments.get("fps", 25))
        # The last frame of a repetition is displayed until the next one starts.
        assert np.abs(np.array(times) - times[0] - np.arange(len(times)) / rate).max() < 0.003, name
        assert 8.0 - 0.002 <= len(times) / rate <= 8.2, name


def test_chapters_end_with_a_video_that_is_cut(tmp_path):
    template = "[CHAPTER]\nTIMEBASE=1/1\nSTART={}\nEND={}\n"
    metadata = ";FFMETADATA1\n" + template.format(0, 1) + template.format(1, 4)
    (tmp_path / "metadata.txt").write_text(metadata)
    ffmpeg("-i", make_video(tmp_path / "video.mp4"), "-i", tmp_path / "metadata.txt",
           "-map_chapters", 1, "-c", "copy", tmp_path / "chapters.mp4")  # fmt: skip
    audio = write_audio(tmp_path / "audio.wav", 48000, 1, (0.9,), 1.5)
    remux.retime_audio(tmp_path / "chapters.mp4", audio, tmp_path / "t.mp4", constant(0), "trim")
    with av.open(str(tmp_path / "t.mp4")) as container:
        ends = [float(chapter["end"] * chapter["time_base"]) for chapter in container.chapters()]
        assert container.duration / av.time_base <= 1.65
    assert ends[0] == 1 and 1.5 <= ends[1] <= 1.65


def test_unknown_fits_are_rejected(tmp_path):
    with pytest.raises(ConfigError, match="fit stretch: allowed: pad, trim, loop"):
        remux.retime_audio(
            make_video(tmp_path / "a.mp4"), None, tmp_path / "b.mp4", constant(0), "stretch"
        )


def test_the_end_of_audio_along_a_timeline(tmp_path):
    audio = write_audio(tmp_path / "audio.wav", 16000, 1, (0.5,), 4.0)
    drift = Timeline("drift", (Segment(0.0, 60.0, 100.0, 2.0),))
    jumps = Timeline("jumps", (Segment(0.0, 2.0, 0.0), Segment(2.0, 60.0, -300.0)))
    late_jump = Timeline("jumps", (Segment(0.0, 5.0, 500.0), Segment(5.0, 60.0, -300.0)))
    extent = measure_audio(audio, 16000)
    assert (extent.end_s, extent.decoded_s, extent.overlap_s) == (4.0, 4.0, 0.0)
    assert audio_end(extent.end_s, constant(250)) == pytest.approx(4.25)
    # t − (0.1 + 0.002 t) = 4
    assert audio_end(extent.end_s, drift) == pytest.approx(4.1 / 0.998)
    assert audio_end(extent.end_s, jumps) == pytest.approx(3.7)
    assert audio_end(extent.end_s, late_jump) == pytest.approx(4.5)


def test_where_a_copied_video_can_end(tmp_path):
    source = read_source(make_video(tmp_path / "video.mp4"))
    # In decoding order: an I-frame, then groups of a P-frame and the B-frames before it.
    times = np.array([0, 4, 2, 1, 3, 8, 6, 5, 7]) / 25
    reordered = replace(source, frame_times_s=times, n_frames=9, duration_s=9 / 25)
    assert reordered.find_end(0.02, copied=True) == (1, pytest.approx(1 / 25))
    assert reordered.find_end(0.06, copied=True) == (5, pytest.approx(5 / 25))
    assert reordered.find_end(0.06, copied=False) == (2, pytest.approx(2 / 25))
    assert reordered.find_end(5 / 25, copied=True) == (5, pytest.approx(5 / 25))
    assert reordered.find_end(9.0, copied=True) == (9, pytest.approx(9 / 25))
    target = match_duration(reordered, "loop", 0.8, copied=True)
    assert (target.n_plays, target.n_frames, target.is_cut) == (3, 23, True)
    assert target.duration_s == pytest.approx(2 * 0.36 + 0.2)
