"""The annotated copy: pictures, times and sound of the source, and the result drawn in."""

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest

from src.core.errors import NoAudioError, OutputError
from src.media.reader import read_audio, read_frames
from src.media.writer import write_clip, write_wav
from src.plotting.fonts import drawable
from src.report import annotation_panel
from src.report.annotated_video import Banner, annotate
from src.report.annotation_panel import GOOD, HERE, POOR, QUIET, Panel, clock
from tests.support.films import (
    BURSTS,
    HEIGHT,
    SECONDS,
    WIDTH,
    burst_errors,
    corner_picture,
    ffmpeg,
    film,
    read_code,
)
from tests.support.made_details import made_details, undetermined
from tests.support.training_helpers import ROOT

pytest_plugins = ("tests.support.training_fixtures",)

BARE = {"tracks": [], "duration_s": 0.0}  # so that nothing is drawn over the pictures
VARIABLE = ["-vf", r"select=not(eq(mod(n\,5)\,3))+lt(n\,9)", "-fps_mode", "vfr"]


def pictures(path) -> list[tuple[float, np.ndarray]]:
    """Time after the first one, and BGR, of each picture."""
    with av.open(str(path)) as container:
        found = [(f.time, f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]
    return [(at - found[0][0], pixels) for at, pixels in found]


def annotated(tmp_path, video, audio=None, name="seen.mp4", **changes):
    details = made_details(video, audio or video, SECONDS) | changes
    annotate(video, audio, details, tmp_path / name)
    return pictures(tmp_path / name)


@pytest.mark.parametrize(
    ("fps", "suffix", "options"),
    [
        (25, ".mp4", ()), (Fraction(30000, 1001), ".mp4", ()), (25, ".mkv", ()),
        (25, ".mp4", VARIABLE), (25, ".avi", ("-c:v", "mpeg4", "-q:v", "2")),
    ],
)  # fmt: skip
def test_every_picture_is_there_at_its_time(tmp_path, fps, suffix, options):
    source = film(tmp_path / f"source{suffix}", fps=fps, options=options)
    wanted = pictures(source)
    found = annotated(tmp_path, source, **BARE)
    assert len(found) == len(wanted)
    assert max(abs(a - b) for (a, _), (b, _) in zip(found, wanted, strict=True)) < 0.001
    codes = [[read_code(cv2.cvtColor(p[:HEIGHT], cv2.COLOR_BGR2GRAY)) for _, p in film_]
             for film_ in (found, wanted)]  # fmt: skip
    assert codes[0] == codes[1] and len(set(codes[0])) == len(wanted)
    height, width = found[0][1].shape[:2]
    assert width == WIDTH and height > HEIGHT and height % 2 == 0


def test_the_sound_is_where_it_was(tmp_path):
    late = film(tmp_path / "late.mp4", late=0.4, channels=2)
    annotated(tmp_path, late)
    assert np.abs(burst_errors(read_audio(tmp_path / "seen.mp4"))).max() < 0.002
    with av.open(str(tmp_path / "seen.mp4")) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels) == (48000, 2)


def test_a_sound_of_its_own_and_longer_than_the_picture(tmp_path):
    source = film(tmp_path / "source.mp4")
    sound = np.concatenate([np.zeros(1600), read_audio(source), np.zeros(80000)])
    write_wav(tmp_path / "other.wav", sound.astype(np.float32))
    annotated(tmp_path, source, tmp_path / "other.wav")
    heard = read_audio(tmp_path / "seen.mp4")
    assert np.abs(burst_errors(heard, [at + 0.1 for at in BURSTS])).max() < 0.002
    assert len(heard) / 16000 == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turned_pictures_are_upright(tmp_path, turn):
    speech = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    write_clip(tmp_path / "plain.mp4", [corner_picture()] * 12, 25, speech)
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", turn, "-i", tmp_path / "plain.mp4", "-c", "copy", turned)
    (_, first), *others = annotated(tmp_path, turned, **BARE)
    upright = np.rot90(corner_picture()[..., 0], turn // 90)
    height, width = upright.shape
    assert first.shape[1] == width and len(others) == 11
    assert np.abs(first[:height, :, 0].astype(int) - upright).mean() < 12


def test_odd_sides_and_pixels_that_are_not_square(tmp_path):
    source = film(tmp_path / "odd.mkv", options=["-vf", "crop=127:95,setsar=2/1", "-c:v", "ffv1"])
    assert next(read_frames(source)).width == 254
    (_, first), *_ = annotated(tmp_path, source, **BARE)
    assert first.shape[1] == 254 and first.shape[0] % 2 == 0


def near(pixels: np.ndarray, colour: tuple, tolerance: int = 60) -> np.ndarray:
    return (np.abs(pixels.astype(int) - colour) < tolerance).all(-1)


@pytest.fixture
def grey(tmp_path):
    """3.6 s of grey pictures with speech-like noise."""
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
    found = annotated(tmp_path, grey, tracks=details["tracks"])
    for second in (0.0, 0.8, 2.4):
        pixels = found[round(25 * second)][1][100:110]  # between the corners of the boxes
        columns = np.flatnonzero(near(pixels, POOR).mean(0) > 0.5)
        left = 40 + 40 * second
        assert abs(columns.min() - left) < 8 and abs(columns.max() - left - 60) < 8
    # In seconds without a score the box says neither yes nor no.
    pixels = found[round(25 * 1.4)][1][100:110]
    assert not near(pixels, POOR).any() and not near(pixels, GOOD).any()
    there = [bool((np.abs(p[80, 255:305].astype(int) - 128) > 50).any()) for _, p in found]
    assert np.flatnonzero(there).tolist() == list(range(25, 50))


def test_the_speaker_is_named_only_where_somebody_speaks(tmp_path, grey):
    quiet = undetermined(made_details(grey, grey, SECONDS))
    del quiet["video"], quiet["audio"]
    named, unnamed = (annotated(tmp_path, grey, **told)[5][1] for told in ({}, quiet))
    label = slice(0, 20)
    assert near(named[label], POOR).any() and not near(unnamed, POOR).any()


def shots(details: dict) -> dict:
    """Three shots: one speaks, one has a voice from elsewhere over two faces, one has no face."""
    one, other = details["tracks"]
    tracks = [
        one | {"start_s": 0.0, "end_s": 1.0},
        one | {"number": 1, "shot": 1, "chosen": False, "start_s": 1.0, "end_s": 1.8},
        other | {"number": 2, "shot": 1, "start_s": 1.2, "end_s": 2.0},
    ]
    return {"tracks": tracks, "voice_over": [1]}


def test_it_is_said_while_the_voice_is_from_elsewhere_or_nobody_is_seen(tmp_path, grey, speaks):
    details = made_details(grey, grey, SECONDS)
    told = shots(details)
    drawn = {}
    for language, words in (("en", ["voice-over", "no face"]), ("zh", ["画外音", "没有人脸"])):
        speaks(language)
        banner = Banner(details | told)
        said = [banner.at(frame / 25) for frame in range(90)]
        if drawable():
            assert said == [None] * 25 + words[:1] * 25 + words[1:] * 40
        found = annotated(tmp_path, grey, **told)
        drawn[language] = found[30][1][:30, :120]
        there = [bool((np.abs(p[8, 8:12].astype(int) - HERE) < 40).all()) for _, p in found]
        assert there == [False] * 25 + [True] * 65
    assert drawable() == (np.abs(drawn["en"].astype(int) - drawn["zh"]).max() > 100)


def test_a_short_time_without_a_face_is_not_worth_a_word(grey):
    details = made_details(grey, grey, SECONDS)
    apart = [details["tracks"][0] | {"start_s": start, "end_s": end}
             for start, end in ((0.5, 1.0), (1.9, 3.6))]  # fmt: skip
    banner = Banner(details | {"tracks": apart})
    assert not any(banner.at(frame / 25) for frame in range(90))
    assert Banner(details | {"tracks": []}).at(2.0) == "no face"


def test_the_panel_shows_the_numbers_of_its_time(grey):
    details = made_details(grey, grey, SECONDS) | {"per_second": [0.1, None, 0.9, 0.9]}
    panel = Panel(details, grey, 640)
    assert [panel.score_at(at) for at in (0.5, 1.5, 2.0, 9.0)] == [0.1, None, 0.9, 0.9]
    assert panel.offset_at(1.0) == -197
    unsure = [{"time_s": 1.0, "offset_ms": 90.0, "probability": 0.3}]
    assert Panel(details | {"offsets": unsure}, grey, 640).offset_at(1.0) is None
    pixels = panel.at(0.0)
    assert pixels.shape == (panel.height, 640, 3) and panel.height % 2 == 0
    assert near(pixels, POOR, 20).any() and near(pixels, GOOD, 20).any()
    assert near(pixels, QUIET, 20).any()


def test_no_offset_is_shown_while_nobody_is_compared(grey):
    """The stretches around a voice-over reach into it."""
    details = made_details(grey, grey, SECONDS)
    details["offsets"] = [{"time_s": at, "offset_ms": 7.0, "probability": 0.9} for at in (1, 2, 3)]
    told, banner = details | shots(details), Banner(details | shots(details))
    panel = Panel(told, grey, 320)
    for frame in range(90):
        shown = panel.offset_at(frame / 25)
        assert (shown == 7.0) == (banner.at(frame / 25) is None), frame
    assert panel.offset_at(0.5) == 7.0 and panel.offset_at(1.5) is panel.offset_at(3.0) is None
    assert (near(panel.at(1.5)[: panel._verdict_top], HERE, 20)).sum() == 0


@pytest.fixture
def put(monkeypatch):
    """The texts that a panel draws from now on, each of which must have room."""
    said, drawn, placed = [], {}, Panel._put

    def remembered(draw):
        def call(text, *rest):
            patch = draw(text, *rest)
            drawn[id(patch)] = text, patch  # kept, so that no other gets its number
            return patch

        return call

    def watched(panel, patch, x, y):
        text = drawn[id(patch)][0]
        assert x >= 0 and x + patch.shape[1] <= panel.shape[1], text
        assert y >= 0 and y + patch.shape[0] <= panel.shape[0], text
        said.append((text, x, y, x + patch.shape[1], y + patch.shape[0]))
        placed(panel, patch, x, y)

    for name in ("text_drawn", "text_picture"):
        monkeypatch.setattr(annotation_panel, name, remembered(getattr(annotation_panel, name)))
    monkeypatch.setattr(Panel, "_put", staticmethod(watched))
    return said


@pytest.mark.parametrize("width", [160, 224, 320, 640])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_all_that_is_said_can_be_read(grey, put, speaks, width, language):
    speaks(language)
    why = "the offset may lie beyond what was looked at: raise inference.max_offset_frames"
    details = made_details(grey, grey, SECONDS) | {"per_second": [0.49] * 4, "verdict": why}
    panel = Panel(details, grey, width)
    panel.at(1.0)
    lines = [text for text, *_ in put]
    together = "".join("".join(lines).split())
    say = panel._say
    for text in (
        say("similarity, if the sound is delayed"),
        say("sound · green: in sync, red: not, grey: not judged"),
        say("score of this second {score}", score="0.49"),
        say("offset around here {offset}", offset="-197 ms"),
        why if drawable() else "offset -200 ms", "0:01.00", "-600 ms", "+600 ms",
    ):  # fmt: skip
        assert "".join(text.split()) in together, text
    for number, one in enumerate(put):  # and nothing is drawn over something else
        for other in put[:number]:
            apart = one[1] >= other[3] or other[1] >= one[3]
            assert apart or one[2] >= other[4] - 1 or other[2] >= one[4] - 1, (one, other)


def test_times_of_hours_have_room_below_a_narrow_sound(grey, put):
    panel = Panel(made_details(grey, grey, 4000.0), grey, 160)
    put.clear()
    panel._page_number = 189
    panel._turn_page()
    below = [each for each in put if each[0].startswith("1:03:")]
    assert [text for text, *_ in below] == ["1:03:20", "1:03:30", "1:03:40"]
    assert all(one[3] < other[1] for one, other in pairwise(below))


@pytest.mark.parametrize("score", [0.995, 0.999, 1.0])
def test_no_score_is_rounded_up_to_certainty(grey, put, score):
    panel = Panel(made_details(grey, grey, SECONDS) | {"per_second": [score] * 4}, grey, 640)
    panel.at(1.0)
    assert "score of this second 0.99" in [text for text, *_ in put]


@pytest.mark.parametrize("width", [160, 320, 1920])
def test_the_time_mark_moves_through_the_sound(grey, width):
    panel = Panel(made_details(grey, grey, SECONDS) | {"offsets": []}, grey, width)
    left, right = panel._wave
    top = panel._rows[0][1]
    for at in (0.0, 0.9, 2.7, 3.56):
        mark = np.flatnonzero(near(panel.at(at)[top + 2 : top + 9], HERE, 12).all(0))
        assert mark.mean() == pytest.approx(
            left + at / SECONDS * (right - left), abs=3 + width / 300
        )


def test_long_sounds_are_turned_page_by_page(tmp_path, grey):
    sound = np.full(16000 * 50, 0.001, np.float32)
    sound[16000 * 21 : 16000 * 22] = 0.5  # on the second page
    write_wav(tmp_path / "long.wav", sound)
    panel = Panel(made_details(grey, tmp_path / "long.wav", 50.0), tmp_path / "long.wav", 640)
    (left, right), (_, top), (_, low) = panel._wave, *panel._rows

    def tall(at: float) -> np.ndarray:
        rows = panel.at(at)[top + 1 : low, left:right]
        return near(rows, POOR, 12).sum(0) + near(rows, QUIET, 12).sum(0) > 0.3 * (low - top)

    assert not tall(19.9).any()
    columns = np.flatnonzero(tall(30.0)) / (right - left) * 20 + 20
    assert columns.min() == pytest.approx(21, abs=0.1)
    assert columns.max() == pytest.approx(22, abs=0.1)


def test_undetermined_results_and_both_languages_are_drawn(grey, speaks):
    details = made_details(grey, grey, SECONDS)
    drawn = []
    for language in ("en", "zh"):
        speaks(language)
        for told in (details, undetermined(details)):
            panel = Panel(told, grey, 320).at(1.0)
            drawn.append(panel)
            assert panel.std() > 10
    assert not near(drawn[1], HERE, 12).all(1).any()


def test_times_are_told_as_on_a_clock():
    assert [clock(7.96), clock(754.2), clock(3723.5)] == ["0:07", "12:34", "1:02:03"]
    assert [clock(7.96, True), clock(59.999, True)] == ["0:07.96", "0:59.99"]


GROWN = """
import sys
import numpy as np
from src.report import annotated_video as annotation
from src.media.writer import VideoWriter
from tests.support.made_details import made_details

def watched(items, *_):
    for number, item in enumerate(items):
        if number in (60, 460):
            pages = int(open("/proc/self/statm").read().split()[1])
            print(pages * 4096 / 2**20)
        yield item

FilmWriter._show = lambda *_: None  # encoding takes the time, and has no part in it
FilmWriter.finish = lambda *_: None
source, target = sys.argv[1:]
annotation.annotate(source, None, made_details(source, source, 20.0), target, watched)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc says how much memory is held")
def test_memory_does_not_grow_with_the_length(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 16000 * 20).astype(np.float32)
    grey = np.full((360, 640, 3), 90, np.uint8)
    write_clip(tmp_path / "long.mp4", (grey for _ in range(500)), 25, noise)
    done = subprocess.run(
        [sys.executable, "-c", GROWN, tmp_path / "long.mp4", tmp_path / "seen.mp4"], cwd=ROOT,
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    early, late = map(float, done.stdout.split())
    print(f"HELD: {early:.0f} MiB after 60 pictures, {late:.0f} after 460")
    assert late - early < 100  # it was 380 while every text was kept


# --- whole or not at all


def test_an_end_in_the_middle_leaves_what_was_there(tmp_path, grey):
    (tmp_path / "seen.mp4").write_bytes(b"old")

    def stopped(items, stage, total):
        assert total == 90
        for number, item in enumerate(items):
            if number == 20:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        annotate(grey, None, made_details(grey, grey, SECONDS), tmp_path / "seen.mp4", stopped)
    assert (tmp_path / "seen.mp4").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"seen.mp4", "grey.mp4"}


def test_a_full_disk_is_one_line(tmp_path, grey):
    resource = pytest.importorskip("resource")  # Windows has none
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*seen\.mp4") as caught:
            annotate(grey, None, made_details(grey, grey, SECONDS), tmp_path / "seen.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(str(caught.value).splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"grey.mp4"}


def test_what_cannot_be(tmp_path, grey):
    details = made_details(grey, grey, SECONDS)
    with pytest.raises(OutputError, match="must end in one of"):
        annotate(grey, None, details, tmp_path / "seen.gif")
    with pytest.raises(OutputError, match="cannot write"):
        annotate(grey, None, details, tmp_path / "none" / "seen.mp4")
    write_clip(tmp_path / "mute.mp4", [np.full((96, 128, 3), 90, np.uint8)] * 25, 25, None)
    with pytest.raises(NoAudioError):
        annotate(tmp_path / "mute.mp4", None, details, tmp_path / "seen.mp4")
    assert not (tmp_path / "seen.mp4").exists()
