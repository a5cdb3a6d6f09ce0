"""The plots of a result."""

import cv2
import numpy as np
import pytest

from src.core.errors import OutputError
from src.media.writer import write_wav
from src.plotting.figures import GOOD, INK, POOR, new_figure
from src.report import plots
from src.report.plots import draw_offsets, draw_waveform, plot_result

pytest_plugins = ("tests.support.training_fixtures",)

OFFSETS = list(range(-600, 601, 10))


@pytest.fixture
def details(tmp_path) -> dict:
    """What ``compute_sync_score`` returns for 3 s with audio that lags by 120 ms."""
    audio = tmp_path / "audio.wav"
    write_wav(audio, np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32))
    similarity = [0.8 * np.exp(-0.5 * ((ms + 120) / 50) ** 2) for ms in OFFSETS]
    return {
        "offset_ms": -120.0, "offset_frames": -3, "offset_probability": 0.98,
        "verdict": "audio lags by 120 ms", "confidence": 0.7, "min_distance": 0.6,
        "curve": {"offset_ms": OFFSETS, "similarity": similarity},
        "per_second": [0.1, None, 0.9], "face_share": 1.0, "duration_s": 3.0,
        "undetermined": False, "reason": None, "video": "v.mp4", "audio": str(audio),
        "offsets": [{"time_s": 1.5, "offset_ms": -118.0, "probability": 0.9}],
        "timeline": {"kind": "constant", "drift_ppm": None, "pieces": [
            {"start_s": 0.0, "end_s": 3.0, "offset_ms": -120.0, "end_offset_ms": -120.0}]},
    }  # fmt: skip


def undetermined(details: dict) -> dict:
    return details | {
        "offset_ms": None, "offset_frames": None, "offset_probability": None, "confidence": None,
        "min_distance": None, "verdict": "undetermined: no speech",
        "undetermined": True, "per_second": [None, None, None], "timeline": None,
        "offsets": [{"time_s": 1.5, "offset_ms": None, "probability": None}],
        "curve": {"offset_ms": OFFSETS, "similarity": [None] * len(OFFSETS)},
    }  # fmt: skip


def read_png(path) -> np.ndarray:
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    return cv2.imread(str(path))


def is_colour(image: np.ndarray, colour: str, tolerance: int = 40) -> np.ndarray:
    """bool [height, width]: where an image has about this colour."""
    bgr = [int(colour[i : i + 2], 16) for i in (5, 3, 1)]
    return (np.abs(image.astype(int) - bgr) < tolerance).all(-1)


def test_the_image_shows_the_result(tmp_path, details):
    path = tmp_path / "result.png"
    plot_result(0.03, details, path)
    image = read_png(path)
    assert image.shape == (1045, 990, 3)  # 9 x 9.5 inches at 110 dots
    curve, offset = is_colour(image, INK), is_colour(image, GOOD)
    assert curve[60:420].sum() > 500, "the curve"
    assert curve[860:].sum() > 500, "the waveform"
    assert is_colour(image, POOR)[650:860].any(), "the poor second"
    timeline = offset[450:640]
    assert timeline.sum(1).max() > 500, "the offset timeline spans the whole duration"
    assert int(timeline.sum(1).argmax()) > 100, "below zero, where audio lags"
    # The measured offset is left of the centre, at the peak of the curve.
    line = int(np.argmax(offset[60:390].sum(0)))
    peak = int(np.argmax(curve[60:390].any(0) * (390 - curve[60:390].argmax(0))))
    assert abs(line - peak) < 15 and line < 495


def test_another_offset_is_drawn_elsewhere(tmp_path, details):
    for name, offset in (("early", 300.0), ("late", -120.0)):
        plot_result(0.5, details | {"offset_ms": offset}, tmp_path / f"{name}.png")
    images = [read_png(tmp_path / f"{name}.png") for name in ("late", "early")]
    lines = [int(np.argmax(is_colour(image, GOOD)[60:420].sum(0))) for image in images]
    assert lines[0] < lines[1]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_undetermined_results_are_drawn(tmp_path, details, speaks, language):
    speaks(language)
    path = tmp_path / "nothing.png"
    plot_result(None, undetermined(details), path)
    image = read_png(path)
    assert image.shape == (1045, 990, 3) and image.std() > 10
    assert not is_colour(image, GOOD)[60:420].any()


def test_the_file_appears_only_when_it_is_complete(tmp_path, details, monkeypatch):
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
    assert {p.name for p in tmp_path.iterdir()} == {"result.png", "audio.wav"}


def test_a_missing_folder_is_a_readable_error(tmp_path, details):
    with pytest.raises(OutputError, match="cannot write"):
        plot_result(0.5, details, tmp_path / "none" / "result.png")


def test_long_audio_is_read_only_as_far_as_it_is_drawn(details, monkeypatch):
    n_read = 0

    def long_audio(path, streams):
        nonlocal n_read
        for _ in range(2000):
            n_read += 1
            yield np.full(16000, 0.1, np.float32)

    monkeypatch.setattr(plots, "stream_audio", long_audio)
    _, (axis,) = new_figure(4, 3)
    draw_waveform(axis, details)
    assert n_read <= details["duration_s"] + 2
    (waveform,) = axis.collections
    assert waveform.get_paths()[0].vertices[:, 0].max() == pytest.approx(
        details["duration_s"], abs=0.1
    )


def test_figures_are_closed(tmp_path, details):
    import matplotlib.pyplot as plt

    plot_result(0.5, details, tmp_path / "result.png")
    assert plt.get_fignums() == []


def test_segments_and_spans_are_drawn_at_their_offsets(details):
    segments = [
        {"start_s": 0.0, "end_s": 1.0, "offset_ms": 200.0, "end_offset_ms": 200.0},
        {"start_s": 1.0, "end_s": 3.0, "offset_ms": -80.0, "end_offset_ms": -60.0},
    ]
    jumps = {"kind": "jumps", "drift_ppm": None, "pieces": segments}
    _, (axis,) = new_figure(4, 3)
    draw_offsets(axis, details | {"timeline": jumps})
    lines = [line.get_xydata().tolist() for line in axis.lines]
    assert [[0.0, 200.0], [1.0, 200.0]] in lines and [[1.0, -80.0], [3.0, -60.0]] in lines
    dots = axis.collections[0]
    assert dots.get_offsets().tolist() == [[1.5, -118.0]]


def test_the_waveform_is_loud_where_the_audio_is(tmp_path, details):
    audio = np.zeros(48000, np.float32)
    audio[32000:40000] = 0.5  # from 2.0 to 2.5 s
    write_wav(tmp_path / "loud.wav", audio)
    _, (axis,) = new_figure(4, 3)
    draw_waveform(axis, details | {"audio": str(tmp_path / "loud.wav")})
    corners = axis.collections[0].get_paths()[0].vertices
    loud = corners[corners[:, 1] > 0.4, 0]
    assert loud.min() == pytest.approx(2.0, abs=0.01)
    assert loud.max() == pytest.approx(2.5, abs=0.01)


def with_spans(details: dict, spans: list[tuple]) -> dict:
    keys = ("time_s", "offset_ms", "probability")
    return details | {"offsets": [dict(zip(keys, span, strict=True)) for span in spans]}


@pytest.mark.parametrize("highest", [0.2, 0.9])
def test_every_span_lies_within_the_axis(details, highest):
    """Also the unreliable ones."""
    spans = [(0.5, -118.0, highest), (1.0, 540.0, 0.1), (1.5, -590.0, 0.1), (2.0, 20.0, None)]
    _, (axis,) = new_figure(4, 3)
    draw_offsets(axis, with_spans(details, spans))
    axis.figure.canvas.draw()
    low, high = axis.get_ylim()
    dots = np.concatenate([collection.get_offsets() for collection in axis.collections])
    assert len(dots) == len(spans) and high < 300, "the axis fits what is reliable"
    assert (np.abs(dots[:, 1]) < 0.96 * high).all() and low == -high
    offset_by_time = dict(dots.tolist())
    assert offset_by_time[0.5] == -118 and offset_by_time[2.0] == 20
    assert offset_by_time[1.0] == -offset_by_time[1.5] > 0.9 * high


def test_where_nothing_is_reliable_the_axis_fits_all_spans(details):
    spans = [(1.0, 540.0, 0.1), (1.5, -590.0, 0.3)]
    _, (axis,) = new_figure(4, 3)
    draw_offsets(axis, with_spans(undetermined(details), spans))
    (dots,) = axis.collections
    assert dots.get_offsets().tolist() == [[1.0, 540.0], [1.5, -590.0]]
    assert axis.get_ylim()[1] > 600


def test_the_axis_fits_a_large_drift(details):
    segment = {"start_s": 0.0, "end_s": 3.0, "offset_ms": -500.0, "end_offset_ms": 600.0}
    drift = {"kind": "drift", "drift_ppm": 1e3, "pieces": [segment]}
    _, (axis,) = new_figure(4, 3)
    draw_offsets(axis, details | {"timeline": drift, "offset_ms": 50.0})
    assert axis.get_ylim()[1] > 600


def test_the_score_in_the_title_is_never_rounded_up_to_certainty(tmp_path, details, monkeypatch):
    from matplotlib.figure import Figure

    titles = []
    monkeypatch.setattr(Figure, "suptitle", lambda self, text, **_: titles.append(text))
    for score in (0.999, 1.0, 0.5):
        plot_result(score, details, tmp_path / "result.png")
    assert [title.split(" · ")[0].split()[-1] for title in titles] == ["0.99", "0.99", "0.50"]
