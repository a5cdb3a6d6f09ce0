"""Films of every kind keep picture and sound together: ``pytest -s`` prints the table.

Each film carries a binary timecode in its picture and bursts in its sound, at times that are
known from how it was made. ``skew`` is how much later than its picture the sound comes out of
the reader.
"""

import numpy as np
import pytest

from src.media import reader as media
from tests.support.clock_films import FILMS, Film, cut, every, video
from tests.support.films import (
    BURSTS,
    SECONDS,
    burst_errors,
    ffmpeg,
    film,
    lateness,
    shown_numbers,
)

MEASURED: list[tuple[str, float, float]] = []  # film, skew in ms, limit in ms


@pytest.fixture(scope="module", autouse=True)
def table():
    """Prints what was measured when all of it is."""
    yield
    width = max((len(name) for name, _, _ in MEASURED), default=0)
    print(f"\n\n{'film':{width}}  {'skew ms':>7}  {'limit':>5}")
    for name, skew, limit in MEASURED:
        print(f"{name:{width}}  {skew + 0:+7.2f}  {limit:5.0f}")


def measured(made: Film) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What comes out of the reader.

    Returns:
        how late each burst is, in seconds; how late each place of the grid shows its picture;
        which picture it shows.
    """
    numbers = list(range(len(made.times)) if made.numbers is None else made.numbers)
    shown = np.array([numbers.index(number) for number in shown_numbers(made.path)])
    zero = made.times[shown[0]]
    bursts = np.array(made.bursts)
    if made.sound is None:  # the first sample of another file is at the first picture
        bursts = bursts[bursts - zero > 0.05] - zero
    sound = media.read_audio(made.sound or made.path)
    return burst_errors(sound, bursts), lateness(shown, made.times, zero), shown


@pytest.mark.parametrize("name", FILMS)
def test_picture_and_sound_stay_together(tmp_path, name):
    make, limit = FILMS[name]
    made = make(tmp_path)
    sound_late, picture_late, shown = measured(made)
    skew = 1000 * float(sound_late.mean() - picture_late.mean())
    MEASURED.append((name, skew, limit))
    assert abs(skew) <= limit
    assert np.ptp(sound_late) < 0.002, "the sound drifts or jumps"
    assert not picture_late.any(), "a picture is not shown when it is due"
    assert len(shown) == pytest.approx((made.times[-1] - made.times[shown[0]]) * 25 + 1, abs=2)


def test_a_skew_that_is_there_is_measured(tmp_path):
    late = film(tmp_path / "late.mp4", times=tuple(burst + 0.03 for burst in BURSTS))
    sound_late, picture_late, _ = measured(Film(late, every()))
    assert sound_late == pytest.approx(0.03, abs=1e-3) and not picture_late.any()
    due = every()
    due[10:] += 0.04  # from the tenth on, pictures are shown 40 ms too early
    sound_late, picture_late, _ = measured(Film(film(tmp_path / "early.mp4"), due))
    assert sound_late == pytest.approx(0, abs=1e-3)
    assert picture_late[12:] == pytest.approx(-0.04)


@pytest.mark.parametrize("start", [0.2, 0.25, 0.485, 1.003])
def test_a_cut_film_begins_with_its_first_whole_picture(tmp_path, start):
    shown = shown_numbers(cut("mp4", start)(tmp_path).path)
    assert shown.tolist() == list(range(int(np.ceil(start * 25)), len(every())))


def test_what_sounds_before_the_first_picture_is_left_out(tmp_path):
    for suffix in ("mp4", "ts", "mkv"):
        path = film(tmp_path / f"late.{suffix}", picture_late=0.7)
        sound = media.read_audio(path)
        assert len(sound) == pytest.approx((SECONDS - 0.7) * media.SAMPLE_RATE, rel=0.02)
        # The burst at 0.62 s is gone, that at 1.53 s not yet there.
        assert np.abs(sound[: round(0.5 * media.SAMPLE_RATE)]).max() < 0.02


@pytest.mark.parametrize("codec", ["libmp3lame", "aac", "mp2", "ac3"])
def test_lossy_sound_in_avi_is_as_late_as_ffmpeg_plays_it(tmp_path, codec):
    """The container has no place for the encoder's run-up: 5 to 23 ms that nobody can know of."""
    path = film(tmp_path / "film.avi", **video("-c:v", "mpeg4", "-c:a", codec))
    played = tmp_path / "played.wav"
    ffmpeg("-i", path, "-vn", "-c:a", "pcm_s16le", played)
    late = burst_errors(media.read_audio(path))
    assert late == pytest.approx(burst_errors(media.read_audio(played)), abs=1e-4)
    assert 0.005 < late.mean() < 0.024
