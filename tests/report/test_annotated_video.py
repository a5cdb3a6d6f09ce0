"""The annotated copy: frames, times and audio of the source, and the result drawn in."""

import re
import subprocess
import sys
from fractions import Fraction
from itertools import combinations, pairwise

import av
import cv2
import numpy as np
import pytest

from src.core.errors import NoAudioError, OutputError
from src.media.reader import read_audio, read_frames
from src.media.writer import write_clip, write_wav
from src.plotting.fonts import can_draw_language, plot_tr
from src.report import annotation_panel
from src.report.annotated_video import UnscoredLabel, annotate
from src.report.annotation_panel import CURRENT, GOOD, POOR, QUIET, AnnotationPanel, clock
from tests.support.made_details import made_details, undetermined
from tests.support.media_files import (
    BURSTS,
    HEIGHT,
    SECONDS,
    WIDTH,
    burst_delays,
    corner_image,
    ffmpeg,
    make_video,
    read_code,
)
from tests.support.training_helpers import ROOT

pytest_plugins = ("tests.support.training_fixtures",)

NO_FACES = {"tracks": [], "duration_s": 0.0}  # so that nothing is drawn into the frames
VFR = ["-vf", r"select=not(eq(mod(n\,5)\,3))+lt(n\,9)", "-fps_mode", "vfr"]


def decode_frames(path) -> list[tuple[float, np.ndarray]]:
    """Time after the first frame, and BGR, of each frame."""
    with av.open(str(path)) as container:
        frames = [(f.time, f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]
    return [(time_s - frames[0][0], pixels) for time_s, pixels in frames]


def annotated(tmp_path, video, audio=None, name="annotated.mp4", **changes):
    details = made_details(video, audio or video, SECONDS) | changes
    annotate(video, audio, details, tmp_path / name)
    return decode_frames(tmp_path / name)


@pytest.mark.parametrize(
    ("fps", "suffix", "options"),
    [
        (25, ".mp4", ()), (Fraction(30000, 1001), ".mp4", ()), (25, ".mkv", ()),
        (25, ".mp4", VFR), (25, ".avi", ("-c:v", "mpeg4", "-q:v", "2")),
    ],
)  # fmt: skip
def test_every_frame_is_there_at_its_time(tmp_path, fps, suffix, options):
    source = make_video(tmp_path / f"source{suffix}", fps=fps, options=options)
    expected = decode_frames(source)
    frames = annotated(tmp_path, source, **NO_FACES)
    assert len(frames) == len(expected)
    times = zip((time_s for time_s, _ in frames), (time_s for time_s, _ in expected), strict=True)
    assert max(abs(first - second) for first, second in times) < 0.001
    codes, expected_codes = (
        [read_code(cv2.cvtColor(pixels[:HEIGHT], cv2.COLOR_BGR2GRAY)) for _, pixels in video]
        for video in (frames, expected)
    )
    assert codes == expected_codes and len(set(codes)) == len(expected)
    height, width = frames[0][1].shape[:2]
    assert width == WIDTH and height > HEIGHT and height % 2 == 0


def test_the_audio_keeps_its_position(tmp_path):
    late = make_video(tmp_path / "late.mp4", audio_start=0.4, channels=2)
    annotated(tmp_path, late)
    assert np.abs(burst_delays(read_audio(tmp_path / "annotated.mp4"))).max() < 0.002
    with av.open(str(tmp_path / "annotated.mp4")) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels) == (48000, 2)


@pytest.mark.parametrize(("channels", "kept"), [(7, 6), (8, 8)])
def test_surround_stays_surround(tmp_path, channels, kept):
    options = ["-c:a", "flac", "-t", 0.8]
    source = make_video(tmp_path / "surround.mkv", channels=channels, options=options)
    annotated(tmp_path, source)
    with av.open(str(tmp_path / "annotated.mp4")) as container:
        assert container.streams.audio[0].channels == kept
    audio = read_audio(tmp_path / "annotated.mp4")
    assert np.abs(burst_delays(audio, BURSTS[:1])).max() < 0.002


@pytest.mark.parametrize(("transfer", "code"), [("arib-std-b67", 18), ("smpte2084", 16)])
def test_hdr_stays_hdr_and_says_so(tmp_path, capsys, transfer, code):
    source = make_video(tmp_path / "hdr.mkv", options=hdr_options(transfer))
    annotated(tmp_path, source, **NO_FACES)
    first, copy = (first_frame(path) for path in (source, tmp_path / "annotated.mp4"))
    assert (copy.color_trc, copy.color_primaries, copy.colorspace) == (code, 9, 9)
    assert re.search(r"stays HDR \((HLG|PQ)\)", capsys.readouterr().err)
    for own, expected in zip(planes_of(copy), planes_of(first), strict=True):
        assert np.abs(own[: len(expected)] - expected).mean() < 4


def hdr_options(transfer: str) -> tuple:
    """A coloured video of 10 bits."""
    tags = f"color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc"
    filters = f"format=yuv420p10le,lutyuv=y=val/2+200:u=480:v=560,setparams={tags}"
    return ("-vf", filters, "-c:v", "libx264", "-crf", "5", "-t", 0.2)


def first_frame(path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def planes_of(frame) -> list[np.ndarray]:
    """Luma and both chroma planes in units of 8 bits."""
    scale = 4 if "10" in frame.format.name else 1
    dtype = np.uint16 if scale == 4 else np.uint8
    return [
        np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width] / scale
        for plane in frame.planes
    ]


def test_a_separate_audio_file_longer_than_the_video(tmp_path):
    source = make_video(tmp_path / "source.mp4")
    audio = np.concatenate([np.zeros(1600), read_audio(source), np.zeros(80000)])
    write_wav(tmp_path / "other.wav", audio.astype(np.float32))
    annotated(tmp_path, source, tmp_path / "other.wav")
    audio = read_audio(tmp_path / "annotated.mp4")
    assert np.abs(burst_delays(audio, [time_s + 0.1 for time_s in BURSTS])).max() < 0.002
    assert len(audio) / 16000 == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_frames_are_upright(tmp_path, rotation):
    speech = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    write_clip(tmp_path / "plain.mp4", [corner_image()] * 12, 25, speech)
    rotated = tmp_path / "rotated.mp4"
    ffmpeg("-display_rotation", rotation, "-i", tmp_path / "plain.mp4", "-c", "copy", rotated)
    (_, first), *others = annotated(tmp_path, rotated, **NO_FACES)
    upright = np.rot90(corner_image()[..., 0], rotation // 90)
    height, width = upright.shape
    assert first.shape[1] == width and len(others) == 11
    assert np.abs(first[:height, :, 0].astype(int) - upright).mean() < 12


def test_odd_sides_and_pixels_that_are_not_square(tmp_path):
    options = ["-vf", "crop=127:95,setsar=2/1", "-c:v", "ffv1"]
    source = make_video(tmp_path / "odd.mkv", options=options)
    assert next(read_frames(source)).width == 254
    (_, first), *_ = annotated(tmp_path, source, **NO_FACES)
    assert first.shape[1] == 254 and first.shape[0] % 2 == 0


def is_colour(pixels: np.ndarray, colour: tuple, tolerance: int = 60) -> np.ndarray:
    return (np.abs(pixels.astype(int) - colour) < tolerance).all(-1)


@pytest.fixture
def grey(tmp_path):
    """3.6 s of grey frames with speech-like noise."""
    noise = np.random.default_rng(0).normal(0, 0.1, round(16000 * SECONDS)).astype(np.float32)
    count = round(25 * SECONDS)
    write_clip(tmp_path / "grey.mp4", [np.full((240, 320, 3), 128, np.uint8)] * count, 25, noise)
    return tmp_path / "grey.mp4"


def test_boxes_are_where_the_faces_are_at_that_time(tmp_path, grey):
    boxes = [[0.0, 40.0, 60.0, 100.0, 140.0], [3.6, 184.0, 60.0, 244.0, 140.0]]
    details = made_details(grey, grey, SECONDS)
    details["tracks"][0]["boxes"] = boxes
    details["tracks"][1] |= {"boxes": [[1.0, 260.0, 60.0, 300.0, 120.0]], "start_s": 1.0,
                             "end_s": 2.0}  # fmt: skip
    frames = annotated(tmp_path, grey, tracks=details["tracks"])
    for second in (0.0, 0.8, 2.4):
        pixels = frames[round(25 * second)][1][100:110]  # between the corners of the boxes
        columns = np.flatnonzero(is_colour(pixels, POOR).mean(0) > 0.5)
        left = 40 + 40 * second
        assert abs(columns.min() - left) < 8 and abs(columns.max() - left - 60) < 8
    # In seconds without a score the box is neither green nor red.
    pixels = frames[round(25 * 1.4)][1][100:110]
    assert not is_colour(pixels, POOR).any() and not is_colour(pixels, GOOD).any()
    has_box = [bool((np.abs(p[80, 255:305].astype(int) - 128) > 50).any()) for _, p in frames]
    assert np.flatnonzero(has_box).tolist() == list(range(25, 50))


def test_the_speaker_is_named_only_where_there_is_an_offset(tmp_path, grey):
    quiet = undetermined(made_details(grey, grey, SECONDS))
    del quiet["video"], quiet["audio"]
    named, unnamed = (annotated(tmp_path, grey, **changes)[5][1] for changes in ({}, quiet))
    label = slice(0, 20)
    assert is_colour(named[label], POOR).any() and not is_colour(unnamed, POOR).any()


def with_shots(details: dict) -> dict:
    """Three shots: one with a speaker, one with a voice-over and two faces, one without a face."""
    speaker, other = details["tracks"]
    tracks = [
        speaker | {"start_s": 0.0, "end_s": 1.0},
        speaker | {"number": 1, "shot": 1, "chosen": False, "start_s": 1.0, "end_s": 1.8},
        other | {"number": 2, "shot": 1, "start_s": 1.2, "end_s": 2.0},
    ]
    return details | {"tracks": tracks, "voice_over": [1]}


def test_a_label_marks_voice_over_and_missing_faces(tmp_path, grey, speaks):
    details = with_shots(made_details(grey, grey, SECONDS))
    shots = {key: details[key] for key in ("tracks", "voice_over")}
    corners = {}
    for language, words in (("en", ["voice-over", "no face"]), ("zh", ["画外音", "没有人脸"])):
        speaks(language)
        label = UnscoredLabel(details)
        texts = [label.text_at(frame / 25) for frame in range(90)]
        if can_draw_language():
            assert texts == [None] * 25 + words[:1] * 25 + words[1:] * 40
        frames = annotated(tmp_path, grey, **shots)
        corners[language] = frames[30][1][:30, :120]
        has_label = [
            bool((np.abs(pixels[8, 8:12].astype(int) - CURRENT) < 40).all()) for _, pixels in frames
        ]
        assert has_label == [False] * 25 + [True] * 65
    is_chinese = np.abs(corners["en"].astype(int) - corners["zh"]).max() > 100
    assert can_draw_language() == is_chinese


def test_a_short_time_without_a_face_has_no_label(grey):
    details = made_details(grey, grey, SECONDS)
    tracks = [details["tracks"][0] | {"start_s": start, "end_s": end}
              for start, end in ((0.5, 1.0), (1.9, 3.6))]  # fmt: skip
    label = UnscoredLabel(details | {"tracks": tracks})
    assert not any(label.text_at(frame / 25) for frame in range(90))
    assert UnscoredLabel(details | {"tracks": []}).text_at(2.0) == "no face"


def test_the_panel_shows_the_numbers_of_its_time(grey):
    details = made_details(grey, grey, SECONDS) | {"per_second": [0.1, None, 0.9, 0.9]}
    panel = AnnotationPanel(details, grey, 640)
    scores = [panel.score_at(time_s) for time_s in (0.5, 1.5, 2.0, 9.0)]
    assert scores == [0.1, None, 0.9, 0.9]
    assert panel.offset_at(1.0) == -197
    unreliable = details | {"offsets": [{"time_s": 1.0, "offset_ms": 90.0, "probability": 0.3}]}
    assert AnnotationPanel(unreliable, grey, 640).offset_at(1.0) is None
    pixels = panel.draw(0.0)
    assert pixels.shape == (panel.height, 640, 3) and panel.height % 2 == 0
    assert is_colour(pixels, POOR, 20).any() and is_colour(pixels, GOOD, 20).any()
    assert is_colour(pixels, QUIET, 20).any()


def test_no_offset_is_shown_while_no_face_is_scored(grey):
    """The spans around a voice-over reach into it."""
    details = with_shots(made_details(grey, grey, SECONDS))
    details["offsets"] = [
        {"time_s": time_s, "offset_ms": 7.0, "probability": 0.9} for time_s in (1, 2, 3)
    ]
    label, panel = UnscoredLabel(details), AnnotationPanel(details, grey, 320)
    for frame in range(90):
        has_offset = panel.offset_at(frame / 25) == 7.0
        assert has_offset == (label.text_at(frame / 25) is None), frame
    assert panel.offset_at(0.5) == 7.0 and panel.offset_at(1.5) is panel.offset_at(3.0) is None
    assert (is_colour(panel.draw(1.5)[: panel._verdict_top], CURRENT, 20)).sum() == 0


@pytest.fixture
def texts(monkeypatch):
    """The texts that a panel draws from now on, with their boxes; each must fit the panel."""
    drawn, text_by_patch, paste = [], {}, AnnotationPanel._paste

    def recorded(render):
        def call(text, *args):
            patch = render(text, *args)
            text_by_patch[id(patch)] = text, patch  # the patch is kept: its id stays unique
            return patch

        return call

    def checked_paste(panel, patch, x, y):
        text = text_by_patch[id(patch)][0]
        assert x >= 0 and x + patch.shape[1] <= panel.shape[1], text
        assert y >= 0 and y + patch.shape[0] <= panel.shape[0], text
        drawn.append((text, x, y, x + patch.shape[1], y + patch.shape[0]))
        paste(panel, patch, x, y)

    for name in ("render_text", "render_text_cached"):
        monkeypatch.setattr(annotation_panel, name, recorded(getattr(annotation_panel, name)))
    monkeypatch.setattr(AnnotationPanel, "_paste", staticmethod(checked_paste))
    return drawn


def overlap(first: tuple, second: tuple) -> bool:
    """Whether two texts are drawn over each other."""
    (_, left, top, right, bottom), (_, other_left, other_top, other_right, other_bottom) = (
        first, second
    )  # fmt: skip
    return (
        left < other_right and other_left < right
        and top < other_bottom - 1 and other_top < bottom - 1
    )  # fmt: skip


@pytest.mark.parametrize("width", [160, 224, 320, 640])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_all_texts_are_readable(grey, texts, speaks, width, language):
    speaks(language)
    why = "the offset may be outside the search range: increase inference.max_offset_frames"
    details = made_details(grey, grey, SECONDS) | {"per_second": [0.49] * 4, "verdict": why}
    panel = AnnotationPanel(details, grey, width)
    panel.draw(1.0)
    drawn = "".join("".join(text for text, *_ in texts).split())
    for text in (
        plot_tr("similarity by offset"),
        plot_tr("audio · green: in sync, red: out of sync, grey: not scored"),
        plot_tr("score this second: {score}", score="0.49"),
        plot_tr("local offset: {offset}", offset="-197 ms"),
        why if can_draw_language() else "offset -200 ms", "0:01.00", "-600 ms", "+600 ms",
    ):  # fmt: skip
        assert "".join(text.split()) in drawn, text
    for first, second in combinations(texts, 2):
        assert not overlap(first, second), (first, second)


def test_times_of_hours_fit_below_a_narrow_waveform(grey, texts):
    panel = AnnotationPanel(made_details(grey, grey, 4000.0), grey, 160)
    texts.clear()
    panel._page_number = 189
    panel._turn_page()
    ticks = [drawn for drawn in texts if drawn[0].startswith("1:03:")]
    assert [text for text, *_ in ticks] == ["1:03:20", "1:03:30", "1:03:40"]
    assert all(first[3] < second[1] for first, second in pairwise(ticks))


@pytest.mark.parametrize("score", [0.995, 0.999, 1.0])
def test_scores_are_never_rounded_up_to_certainty(grey, texts, score):
    panel = AnnotationPanel(
        made_details(grey, grey, SECONDS) | {"per_second": [score] * 4}, grey, 640
    )
    panel.draw(1.0)
    assert "score this second: 0.99" in [text for text, *_ in texts]


@pytest.mark.parametrize("width", [160, 320, 1920])
def test_the_time_mark_moves_through_the_waveform(grey, width):
    panel = AnnotationPanel(made_details(grey, grey, SECONDS) | {"offsets": []}, grey, width)
    wave = panel._wave
    for time_s in (0.0, 0.9, 2.7, 3.56):
        rows = panel.draw(time_s)[wave.top + 2 : wave.top + 9]
        mark = np.flatnonzero(is_colour(rows, CURRENT, 12).all(0))
        expected = wave.left + time_s / SECONDS * (wave.right - wave.left)
        assert mark.mean() == pytest.approx(expected, abs=3 + width / 300)


def test_long_audio_is_turned_page_by_page(tmp_path, grey):
    audio = np.full(16000 * 50, 0.001, np.float32)
    audio[16000 * 21 : 16000 * 22] = 0.5  # on the second page
    write_wav(tmp_path / "long.wav", audio)
    details = made_details(grey, tmp_path / "long.wav", 50.0)
    panel = AnnotationPanel(details, tmp_path / "long.wav", 640)
    wave = panel._wave

    def is_loud(time_s: float) -> np.ndarray:
        rows = panel.draw(time_s)[wave.top + 1 : wave.bottom, wave.left : wave.right]
        n_drawn = is_colour(rows, POOR, 12).sum(0) + is_colour(rows, QUIET, 12).sum(0)
        return n_drawn > 0.3 * (wave.bottom - wave.top)

    assert not is_loud(19.9).any()
    seconds = np.flatnonzero(is_loud(30.0)) / (wave.right - wave.left) * 20 + 20
    assert seconds.min() == pytest.approx(21, abs=0.1)
    assert seconds.max() == pytest.approx(22, abs=0.1)


def test_undetermined_results_and_both_languages_are_drawn(grey, speaks):
    with_offset = made_details(grey, grey, SECONDS)
    panels = []
    for language in ("en", "zh"):
        speaks(language)
        for details in (with_offset, undetermined(with_offset)):
            panels.append(AnnotationPanel(details, grey, 320).draw(1.0))
            assert panels[-1].std() > 10
    assert not is_colour(panels[1], CURRENT, 12).all(1).any()


def test_times_are_written_as_on_a_clock():
    assert [clock(7.96), clock(754.2), clock(3723.5)] == ["0:07", "12:34", "1:02:03"]
    assert [clock(7.96, True), clock(59.999, True)] == ["0:07.96", "0:59.99"]


MEMORY_SCRIPT = """
import sys
import numpy as np
from src.report.annotated_video import annotate
from src.media.writer import VideoWriter
from tests.support.made_details import made_details

def report_memory(items, *_):
    for number, item in enumerate(items):
        if number in (60, 460):
            pages = int(open("/proc/self/statm").read().split()[1])
            print(pages * 4096 / 2**20)
        yield item

VideoWriter._write_frame = lambda *_: None  # encoding takes the time, and has no part in it
VideoWriter.finish = lambda *_: None
source, target = sys.argv[1:]
annotate(source, None, made_details(source, source, 20.0), target, report_memory)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_length(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 16000 * 20).astype(np.float32)
    grey = np.full((360, 640, 3), 90, np.uint8)
    write_clip(tmp_path / "long.mp4", (grey for _ in range(500)), 25, noise)
    process = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT, tmp_path / "long.mp4", tmp_path / "annotated.mp4"],
        cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    early, late = map(float, process.stdout.split())
    print(f"HELD: {early:.0f} MiB after 60 frames, {late:.0f} after 460")
    assert late - early < 100  # it was 380 while every text was cached


# --- complete or not at all


def test_an_interrupt_leaves_the_old_file(tmp_path, grey):
    (tmp_path / "annotated.mp4").write_bytes(b"old")

    def interrupted(items, stage, total):
        assert total == 90
        for number, item in enumerate(items):
            if number == 20:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        annotate(
            grey, None, made_details(grey, grey, SECONDS), tmp_path / "annotated.mp4", interrupted
        )
    assert (tmp_path / "annotated.mp4").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"annotated.mp4", "grey.mp4"}


def test_a_full_disk_is_one_line(tmp_path, grey):
    resource = pytest.importorskip("resource")  # Windows has none
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*annotated\.mp4") as caught:
            annotate(grey, None, made_details(grey, grey, SECONDS), tmp_path / "annotated.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(str(caught.value).splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"grey.mp4"}


def test_unusable_inputs_and_outputs(tmp_path, grey):
    details = made_details(grey, grey, SECONDS)
    with pytest.raises(OutputError, match="must end in one of"):
        annotate(grey, None, details, tmp_path / "annotated.gif")
    with pytest.raises(OutputError, match="cannot write"):
        annotate(grey, None, details, tmp_path / "none" / "annotated.mp4")
    write_clip(tmp_path / "mute.mp4", [np.full((96, 128, 3), 90, np.uint8)] * 25, 25, None)
    with pytest.raises(NoAudioError):
        annotate(tmp_path / "mute.mp4", None, details, tmp_path / "annotated.mp4")
    assert not (tmp_path / "annotated.mp4").exists()
