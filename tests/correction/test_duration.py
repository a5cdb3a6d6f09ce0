"""Pictures and sounds that are not of one length."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from src.core.errors import ConfigError
from src.correction import remux as muxing
from src.correction.duration import audio_end, match_duration
from src.media import reader as media
from src.media.streams import read_source
from src.scoring.timeline import Segment, Timeline
from tests.support.films import (
    SECONDS,
    VP9,
    burst_errors,
    count_pictures,
    ffmpeg,
    film,
    packets,
    shown_numbers,
    write_sound,
)


def constant(ms: float) -> Timeline:
    return Timeline("constant", (Segment(0.0, math.inf, ms),))


def lengths(path: Path) -> tuple[float, float]:
    """Seconds of the picture and of the sound, from the first picture, by decoding them."""
    with av.open(str(path)) as container:
        shown = [frame.time for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        end = max(frame.time + frame.samples / frame.sample_rate
                  for frame in container.decode(audio=0))  # fmt: skip
    return max(shown) - min(shown) + 0.04, end - min(shown)


# fit, seconds of the sound, its delay in ms -> seconds of the film
LENGTHS = [
    ("pad", 1.5, 200, SECONDS), ("pad", 9.0, 200, SECONDS),
    ("trim", 1.5, 200, 1.7), ("trim", 9.0, 200, SECONDS), ("trim", 2.0, -300, 1.7),
    ("loop", 9.0, 200, 9.2), ("loop", 9.0, -500, 8.5), ("loop", 1.5, 200, SECONDS),
]  # fmt: skip


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(("fit", "seconds", "delay_ms", "expected"), LENGTHS)
def test_lengths(tmp_path, suffix, fit, seconds, delay_ms, expected):
    source, target = film(tmp_path / "film.mp4"), tmp_path / f"target.{suffix}"
    sound = write_sound(tmp_path / "sound.wav", 48000, 1, (0.9,), seconds)
    notes = muxing.retime_audio(source, sound, target, constant(delay_ms), fit)
    cut_s = seconds + delay_ms / 1000 - expected
    assert [note for note in notes if "are cut" in note] == [
        f"the last {cut_s:.1f} s of the sound are cut, as the picture ends before them"
    ] * (cut_s > 0.5)  # never where the picture is shown until the sound ends
    video_s, sound_s = lengths(target)
    # B-frames: pictures that are copied end up to three pictures later.
    assert expected - 0.002 <= video_s <= expected + 0.16
    assert abs(sound_s - video_s) <= 0.03
    before, after = packets(source), packets(target)
    assert after == [before[k % len(before)] for k in range(len(after))], "they are copied"
    numbers = shown_numbers(target)
    assert (numbers == np.arange(len(numbers)) % 90).all() and len(numbers) == len(after)
    heard = media.read_audio(target)
    assert np.abs(burst_errors(heard, (0.9 + delay_ms / 1000,))).max() <= 0.001


@pytest.mark.parametrize(("fit", "seconds", "pictures"), [("trim", 1.5, 43), ("loop", 9.0, 230)])
def test_pictures_that_are_encoded_anew_end_where_the_sound_does(tmp_path, fit, seconds, pictures):
    source, target = film(tmp_path / "film.mp4"), tmp_path / "target.webm"
    sound = write_sound(tmp_path / "sound.wav", 48000, 1, (0.9,), seconds)
    notes = muxing.retime_audio(source, sound, target, constant(200), fit)
    assert notes and count_pictures(target) == pictures
    numbers = shown_numbers(target)
    assert (numbers == np.arange(pictures) % 90).all()


def test_clocks_that_do_not_start_at_zero_can_begin_anew(tmp_path):
    sound = write_sound(tmp_path / "sound.wav", 48000, 1, (0.9,), 8.0)
    cases = {
        "late.ts": {"late": 0.4}, "picture_late.mkv": {"picture_late": 0.4},
        "ntsc.mp4": {"fps": Fraction(30000, 1001)}, "it's.webm": {"options": VP9},
    }  # fmt: skip
    for name, arguments in cases.items():
        source = film(tmp_path / name, **arguments)
        target = tmp_path / f"target{source.suffix}"
        muxing.retime_audio(source, sound, target, constant(0), "loop")
        before, after = packets(source), packets(target)
        assert after == [before[k % len(before)] for k in range(len(after))], name
        with av.open(str(target)) as container:
            times = sorted(frame.time for frame in container.decode(video=0))
        rate = float(arguments.get("fps", 25))
        # The last picture of a pass is shown until the next one begins.
        assert np.abs(np.array(times) - times[0] - np.arange(len(times)) / rate).max() < 0.003, name
        assert 8.0 - 0.002 <= len(times) / rate <= 8.2, name


def test_chapters_end_with_a_picture_that_is_cut(tmp_path):
    chapter = "[CHAPTER]\nTIMEBASE=1/1\nSTART={}\nEND={}\n"
    about = ";FFMETADATA1\n" + chapter.format(0, 1) + chapter.format(1, 4)
    (tmp_path / "about.txt").write_text(about)
    ffmpeg("-i", film(tmp_path / "film.mp4"), "-i", tmp_path / "about.txt", "-map_chapters", 1,
           "-c", "copy", tmp_path / "chapters.mp4")  # fmt: skip
    sound = write_sound(tmp_path / "sound.wav", 48000, 1, (0.9,), 1.5)
    muxing.retime_audio(tmp_path / "chapters.mp4", sound, tmp_path / "t.mp4", constant(0), "trim")
    with av.open(str(tmp_path / "t.mp4")) as container:
        ends = [float(one["end"] * one["time_base"]) for one in container.chapters()]
        assert container.duration / av.time_base <= 1.65
    assert ends[0] == 1 and 1.5 <= ends[1] <= 1.65


def test_other_fits_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="fit stretch: allowed: pad, trim, loop"):
        muxing.retime_audio(
            film(tmp_path / "a.mp4"), None, tmp_path / "b.mp4", constant(0), "stretch"
        )


def test_where_a_sound_ends_along_a_timeline(tmp_path):
    sound = write_sound(tmp_path / "sound.wav", 16000, 1, (0.5,), 4.0)
    drift = Timeline("drift", (Segment(0.0, 60.0, 100.0, 2.0),))
    jumps = Timeline("jumps", (Segment(0.0, 2.0, 0.0), Segment(2.0, 60.0, -300.0)))
    late_jump = Timeline("jumps", (Segment(0.0, 5.0, 500.0), Segment(5.0, 60.0, -300.0)))
    assert audio_end(sound, 16000, constant(250)) == pytest.approx(4.25)
    # t − (0.1 + 0.002 t) = 4
    assert audio_end(sound, 16000, drift) == pytest.approx(4.1 / 0.998)
    assert audio_end(sound, 16000, jumps) == pytest.approx(3.7)
    assert audio_end(sound, 16000, late_jump) == pytest.approx(4.5)


def test_where_copied_pictures_can_end(tmp_path):
    source = read_source(film(tmp_path / "film.mp4"))
    # In the order of the file: I, then groups of a P-picture and the B-pictures before it.
    times = np.array([0, 4, 2, 1, 3, 8, 6, 5, 7]) / 25
    film_of = replace(source, times=times, n_source_frames=9, length_s=9 / 25)
    assert film_of.cut(0.02, copied=True) == (1, pytest.approx(1 / 25))
    assert film_of.cut(0.06, copied=True) == (5, pytest.approx(5 / 25))
    assert film_of.cut(0.06, copied=False) == (2, pytest.approx(2 / 25))
    assert film_of.cut(5 / 25, copied=True) == (5, pytest.approx(5 / 25))
    assert film_of.cut(9.0, copied=True) == (9, pytest.approx(9 / 25))
    length = match_duration(film_of, "loop", 0.8, copied=True)
    assert (length.times, length.n_source_frames, length.cut) == (3, 23, True)
    assert length.length_s == pytest.approx(2 * 0.36 + 0.2)
