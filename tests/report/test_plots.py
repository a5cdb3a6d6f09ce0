"""The picture of a result."""

import cv2
import numpy as np
import pytest

from src.core.errors import OutputError
from src.media.writer import write_wav
from src.report import plots as rendering
from src.report.plots import plot_result

pytest_plugins = ("tests.support.training_fixtures",)

OFFSETS = list(range(-600, 601, 10))


@pytest.fixture
def details(tmp_path) -> dict:
    """What ``compute_sync_score`` says about 3 s whose sound lags by 120 ms."""
    sound = tmp_path / "sound.wav"
    write_wav(sound, np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32))
    similarity = [0.8 * np.exp(-0.5 * ((ms + 120) / 50) ** 2) for ms in OFFSETS]
    return {
        "offset_ms": -120.0, "offset_frames": -3, "offset_probability": 0.98,
        "verdict": "audio lags by 120 ms", "confidence": 0.7, "min_distance": 0.6,
        "curve": {"offset_ms": OFFSETS, "similarity": similarity},
        "per_second": [0.1, None, 0.9], "face_share": 1.0, "duration_s": 3.0,
        "undetermined": None, "video": "v.mp4", "audio": str(sound),
        "offsets": [{"time_s": 1.5, "offset_ms": -118.0, "probability": 0.9}],
        "timeline": {"kind": "constant", "drift_ppm": None, "pieces": [
            {"start_s": 0.0, "end_s": 3.0, "offset_ms": -120.0, "end_offset_ms": -120.0}]},
    }  # fmt: skip


def undetermined(details: dict) -> dict:
    return details | {
        "offset_ms": None, "offset_frames": None, "offset_probability": None, "confidence": None,
        "min_distance": None, "verdict": "undetermined: nobody speaks",
        "undetermined": "nobody speaks", "per_second": [None, None, None], "timeline": None,
        "offsets": [{"time_s": 1.5, "offset_ms": None, "probability": None}],
        "curve": {"offset_ms": OFFSETS, "similarity": [None] * len(OFFSETS)},
    }  # fmt: skip


def drawn(path) -> np.ndarray:
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    return cv2.imread(str(path))


def near(picture: np.ndarray, colour: str, tolerance: int = 40) -> np.ndarray:
    """bool: where a picture has about this colour."""
    bgr = [int(colour[i : i + 2], 16) for i in (5, 3, 1)]
    return (np.abs(picture.astype(int) - bgr) < tolerance).all(-1)


def test_the_picture_shows_the_result(tmp_path, details):
    path = tmp_path / "result.png"
    plot_result(0.03, details, path)
    picture = drawn(path)
    assert picture.shape == (1045, 990, 3)  # 9 x 9.5 inches at 110 dots
    curve, offset = near(picture, rendering.INK), near(picture, rendering.GOOD)
    assert curve[60:420].sum() > 500, "the curve"
    assert curve[860:].sum() > 500, "the sound"
    assert near(picture, rendering.POOR)[650:860].any(), "the poor second"
    course = offset[450:640]
    assert course.sum(1).max() > 500, "the course of the offset goes through all of the time"
    assert int(course.sum(1).argmax()) > 100, "below zero, where the sound is late"
    # The found offset stands left of the middle, where the curve has its peak.
    line = int(np.argmax(offset[60:390].sum(0)))
    peak = int(np.argmax(curve[60:390].any(0) * (390 - curve[60:390].argmax(0))))
    assert abs(line - peak) < 15 and line < 495


def test_another_offset_is_another_picture(tmp_path, details):
    for name, offset in (("one", -120.0), ("other", 300.0)):
        plot_result(0.5, details | {"offset_ms": offset}, tmp_path / f"{name}.png")
    one, other = (drawn(tmp_path / f"{name}.png") for name in ("one", "other"))
    lines = [int(np.argmax(near(p, rendering.GOOD)[60:420].sum(0))) for p in (one, other)]
    assert lines[0] < lines[1]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_undetermined_results_are_drawn_too(tmp_path, details, speaks, language):
    speaks(language)
    path = tmp_path / "nothing.png"
    plot_result(None, undetermined(details), path)
    picture = drawn(path)
    assert picture.shape == (1045, 990, 3) and picture.std() > 10
    assert not near(picture, rendering.GOOD)[60:420].any()


def test_it_takes_the_name_only_when_it_is_whole(tmp_path, details, monkeypatch):
    import matplotlib.figure

    path = tmp_path / "result.png"
    path.write_bytes(b"old")

    def fails(self, target, **_):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", fails)
    with pytest.raises(OutputError, match="No space left"):
        plot_result(0.5, details, path)
    assert path.read_bytes() == b"old"
    assert {p.name for p in tmp_path.iterdir()} == {"result.png", "sound.wav"}


def test_a_folder_that_is_not_there_is_a_readable_error(tmp_path, details):
    with pytest.raises(OutputError, match="cannot write"):
        plot_result(0.5, details, tmp_path / "none" / "result.png")


def test_of_a_long_sound_only_what_is_drawn_is_read(details, monkeypatch):
    read = []

    def long(path):
        for second in range(2000):
            read.append(second)
            yield np.full(16000, 0.1, np.float32)

    monkeypatch.setattr(rendering, "stream_audio", long)
    _, (axis,) = rendering.new_figure(4, 3)
    rendering.draw_sound(axis, details)
    assert len(read) <= details["duration_s"] + 2
    (drawn,) = axis.collections
    assert drawn.get_paths()[0].vertices[:, 0].max() == pytest.approx(
        details["duration_s"], abs=0.1
    )


def test_pictures_do_not_pile_up(tmp_path, details):
    import matplotlib.pyplot as plt

    plot_result(0.5, details, tmp_path / "result.png")
    assert plt.get_fignums() == []


def test_a_drift_and_jumps_are_drawn_as_they_are(details):
    from src.plotting.figures import new_figure
    from src.report.plots import draw_course

    pieces = [
        {"start_s": 0.0, "end_s": 1.0, "offset_ms": 200.0, "end_offset_ms": 200.0},
        {"start_s": 1.0, "end_s": 3.0, "offset_ms": -80.0, "end_offset_ms": -60.0},
    ]
    jumps = {"kind": "jumps", "drift_ppm": None, "pieces": pieces}
    _, (axis,) = new_figure(4, 3)
    draw_course(axis, details | {"timeline": jumps})
    lines = [line.get_xydata().tolist() for line in axis.lines]
    assert [[0.0, 200.0], [1.0, 200.0]] in lines and [[1.0, -80.0], [3.0, -60.0]] in lines
    dots = axis.collections[0]
    assert dots.get_offsets().tolist() == [[1.5, -118.0]]


def test_the_sound_is_drawn_with_its_loud_parts_where_they_are(tmp_path, details):
    from src.plotting.figures import new_figure
    from src.report.plots import draw_sound

    sound = np.zeros(48000, np.float32)
    sound[32000:40000] = 0.5  # from 2.0 to 2.5 s
    write_wav(tmp_path / "loud.wav", sound)
    _, (axis,) = new_figure(4, 3)
    draw_sound(axis, details | {"audio": str(tmp_path / "loud.wav")})
    corners = axis.collections[0].get_paths()[0].vertices
    loud = corners[corners[:, 1] > 0.4, 0]
    assert loud.min() == pytest.approx(2.0, abs=0.01)
    assert loud.max() == pytest.approx(2.5, abs=0.01)


@pytest.mark.parametrize("surest", [0.2, 0.9])
def test_every_stretch_lies_within_the_axis(details, surest):
    """Also those nobody believes: they are few, but were cut off."""
    found = [(0.5, -118.0, surest), (1.0, 540.0, 0.1), (1.5, -590.0, 0.1), (2.0, 20.0, None)]
    keys = ("time_s", "offset_ms", "probability")
    details |= {"offsets": [dict(zip(keys, stretch, strict=True)) for stretch in found]}
    _, (axis,) = rendering.new_figure(4, 3)
    rendering.draw_course(axis, details)
    axis.figure.canvas.draw()
    low, high = axis.get_ylim()
    places = np.concatenate([dots.get_offsets() for dots in axis.collections])
    assert len(places) == len(found) and high < 300, "those who are believed are not made small"
    assert (np.abs(places[:, 1]) < 0.96 * high).all() and low == -high
    by_time = dict(places.tolist())
    assert by_time[0.5] == -118 and by_time[2.0] == 20
    assert by_time[1.0] == -by_time[1.5] > 0.9 * high


def test_where_nothing_is_believed_all_stretches_are_at_their_place(details):
    found = [(1.0, 540.0, 0.1), (1.5, -590.0, 0.3)]
    keys = ("time_s", "offset_ms", "probability")
    stretches = {"offsets": [dict(zip(keys, stretch, strict=True)) for stretch in found]}
    _, (axis,) = rendering.new_figure(4, 3)
    rendering.draw_course(axis, undetermined(details) | stretches)
    (dots,) = axis.collections
    assert dots.get_offsets().tolist() == [[1.0, 540.0], [1.5, -590.0]]
    assert axis.get_ylim()[1] > 600


def test_a_course_that_goes_far_is_seen_as_a_whole(details):
    piece = {"start_s": 0.0, "end_s": 3.0, "offset_ms": -500.0, "end_offset_ms": 600.0}
    drift = {"kind": "drift", "drift_ppm": 1e3, "pieces": [piece]}
    _, (axis,) = rendering.new_figure(4, 3)
    rendering.draw_course(axis, details | {"timeline": drift, "offset_ms": 50.0})
    assert axis.get_ylim()[1] > 600


def test_the_title_is_never_rounded_up_to_certainty(tmp_path, details, monkeypatch):
    from matplotlib.figure import Figure

    titles = []
    monkeypatch.setattr(Figure, "suptitle", lambda self, text, **_: titles.append(text))
    for score in (0.999, 1.0, 0.5):
        plot_result(score, details, tmp_path / "result.png")
    assert [title.split(" · ")[0].split()[-1] for title in titles] == ["0.99", "0.99", "0.50"]
