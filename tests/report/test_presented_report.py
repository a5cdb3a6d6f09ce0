"""The page of a presenter's new speech: one file, in plain words, for any result."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from src.core.errors import OutputError
from src.report.presented_report import write_presented_report

pytest_plugins = ("tests.support.training_fixtures",)
REFERRING = ("src", "href", "data", "srcset", "action", "poster")


@pytest.fixture(autouse=True)
def english(speaks):
    speaks("en")


def made(**changes) -> dict:
    """A good result."""
    judged = {"confidence": 0.46, "offset_ms": -12.0, "in_sync": 0.94, "windows": 512}
    return {
        "output": "outputs/a&b.mp4", "duration_s": 50.0, "frames": 1250, "joins_per_s": 1.34,
        "judged": judged, "real_confidence": 0.5, "weak_spans": [], "warnings": [],
        "closeness": 0.92, "model": "checkpoints/best_model.pth",
    } | changes  # fmt: skip


def judged(**changes) -> dict:
    """A result for which the judge gives other figures."""
    result = made()
    return result | {"judged": result["judged"] | changes}


class Page(HTMLParser):
    """The texts of a page, its elements, and all it refers to."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.references, self.texts, self._open = [], [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.references += [value for name, value in attrs if name in REFERRING]
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if data.strip() and "style" not in self._open:
            self.texts.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def value(self, name: str) -> str:
        """What stands behind a heading or a row's name."""
        return self.texts[self.texts.index(name) + 1]


@pytest.fixture
def page(tmp_path):
    """``page(result, frames)`` writes a page and reads it."""

    def write(result, frames=()) -> Page:
        write_presented_report(result, tmp_path / "report.html", frames)
        return Page(tmp_path / "report.html")

    return write


def frames_of(n: int, height: int = 108, width: int = 192) -> list[np.ndarray]:
    """Grey frames, each brighter than the one before."""
    return [np.full((height, width, 3), 20 * number + 10, np.uint8) for number in range(n)]


def images_in(page: Page) -> list[np.ndarray]:
    contents = [base64.b64decode(ref.split(",", 1)[1]) for ref in page.references]
    return [cv2.imdecode(np.frombuffer(content, np.uint8), 1) for content in contents]


def test_first_lines_say_how_good_it_is(page):
    texts = page(made()).texts
    assert texts[1:3] == ["The lips match the speech.", "a&b.mp4 · 0:50"]
    assert texts[3:13] == [
        "In sync",
        "94% of the seconds with speech, as measured by an independent network that took no part "
        "in making the video.",
        "Offset", "Lips and audio are 12 ms apart, less than one frame (40 ms).",
        "Compared with real footage",
        "The network is 92% as confident as it is with the person's own footage.",
        "Joins", "1.3 per second: so often the mouth continues with another piece of footage.",
        "Weak spots", "None: the footage holds frames that fit all of the speech.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("share", "headline", "colour"),
    [
        (1.0, "The lips match the speech.", "#2a9d4a"),
        (0.9, "The lips match the speech.", "#2a9d4a"),
        (0.89, "The lips match the speech most of the time.", "#d99a1c"),
        (0.69, "The lips often do not match the speech.", "#c8453c"),
        (0.0, "The lips often do not match the speech.", "#c8453c"),
        (None, "It was not measured how well the lips match the speech.", "#9aa5b1"),
    ],
)
def test_headline_and_its_colour_follow_the_judge(page, share, headline, colour):
    written = page(judged(in_sync=share))
    assert written.texts[1] == headline
    assert f"border-left: .6rem solid {colour}" in written.source


@pytest.mark.parametrize(
    ("offset_ms", "text"),
    [
        (39.0, "Lips and audio are 39 ms apart, less than one frame (40 ms)."),
        (60.0, "The audio leads the lips by 60 ms (1.5 frames at 25 fps)."),
        (-100.0, "The audio lags the lips by 100 ms (2.5 frames at 25 fps)."),
    ],
)
def test_offset_in_words(page, offset_ms, text):
    assert page(judged(offset_ms=offset_ms)).value("Offset") == text


def test_metrics(page):
    written = page(made())
    rows = {
        "video": "outputs/a&b.mp4", "length": "50.0 s, 1250 frames",
        "share of the seconds with speech that are in sync": "94.0%",
        "offset in ms (> 0: the audio must be delayed)": "-12.0",
        "confidence (LSE-C)": "0.460", "confidence in the person's own footage": "0.500",
        "share of the own footage's confidence": "92.0%", "joins per second": "1.34",
        "model": "checkpoints/best_model.pth",
    }  # fmt: skip
    assert {name: written.value(name) for name in rows} == rows


NOT_ASKED = "– (the independent network was not asked)"
TOO_LITTLE = "– (too little speech in a row to be measured)"
NOT_MEASURED = "– (the person's own footage was not measured)"


def test_missing_values_are_a_dash_with_the_reason(page):
    unjudged = page(made(judged=None, closeness=None, real_confidence=None))
    for name in ("In sync", "Offset", "Compared with real footage", "confidence (LSE-C)"):
        assert unjudged.value(name) == NOT_ASKED
    silent = {"confidence": None, "offset_ms": None, "in_sync": None, "windows": 0}
    short = page(made(judged=silent, closeness=None))
    for name in ("In sync", "Offset", "Compared with real footage", "confidence (LSE-C)"):
        assert short.value(name) == TOO_LITTLE
    alone = page(made(closeness=None, real_confidence=None))
    for name in ("Compared with real footage", "confidence in the person's own footage",
                 "share of the own footage's confidence"):  # fmt: skip
        assert alone.value(name) == NOT_MEASURED
    assert alone.value("Offset").startswith("Lips and audio")
    for written in (unjudged, short, alone):
        assert "None" not in written.text.replace("None: the footage", "")
        assert "nan" not in written.text.lower()


def test_weak_spots_are_listed_and_drawn(page):
    spans = [
        {"start_s": 5.0, "end_s": 7.5, "words": ""},
        {"start_s": 49.99, "end_s": 50.4, "words": "beautiful <piano>"},
    ]
    written = page(made(weak_spans=spans))
    assert "beautiful <piano>" in written.texts and "words" in written.texts
    assert written.value("Weak spots") == "2, 2.9 s in all; they are listed below."
    assert written.value("0:05.00–0:07.50") == "2.5 s"
    assert written.value("0:49.99–0:50.40") == "0.4 s"
    first, last = [attrs for tag, attrs in written.tags if tag == "rect"]
    assert (float(first["x"]), float(first["width"])) == (100.0, 50.0), "of 1000"
    assert float(last["x"]) + float(last["width"]) <= 1000.0 and float(last["width"]) >= 4
    assert "svg" not in {tag for tag, _ in page(made()).tags}


def test_warnings_are_given_as_they_are(page):
    texts = ["only 22 s of speech in the footage", "the face is small"]
    written = page(made(warnings=texts))
    assert written.texts[written.texts.index("Warnings") + 1 :][:2] == texts
    assert "Warnings" not in page(made()).texts


def test_frames_are_embedded(page):
    written = page(made(), frames_of(3))
    assert [image.shape for image in images_in(written)] == [(108, 192, 3)] * 3
    assert [round(float(image.mean())) for image in images_in(written)] == [10, 30, 50]
    assert "Frames" not in page(made()).texts


def test_of_many_frames_eight_are_embedded_and_large_ones_scaled_down(page):
    images = images_in(page(made(), frames_of(12, 1080, 1920)))
    assert [image.shape for image in images] == [(270, 480, 3)] * 8
    levels = [round(float(image.mean())) for image in images]
    assert levels == sorted(levels) and (levels[0], levels[-1]) == (10, 230)
    (upright,) = images_in(page(made(), frames_of(1, 1920, 1080)))
    assert upright.shape == (480, 270, 3)


def test_page_refers_to_no_network_and_no_other_file(page):
    written = page(made(weak_spans=[{"start_s": 1.0, "end_s": 2.0, "words": ""}]), frames_of(2))
    assert len(written.references) == 2
    assert all(ref.startswith("data:image/jpeg;base64,") for ref in written.references)
    assert not {"script", "link", "iframe", "base", "object"} & {tag for tag, _ in written.tags}
    assert not re.search(r"https?:|@import|url\(", written.source)


def test_all_values_from_outside_are_escaped(page):
    evil = "<script>alert('x')</script>&\"'"
    written = page(made(output=f"out/{evil.replace('/', '')}", warnings=[evil], model=evil))
    assert "script" not in {tag for tag, _ in written.tags}
    assert written.text.count(evil) == 2, "the warning and the model"
    assert written.text.count(evil.replace("/", "")) == 2, "the name, twice"


def test_a_file_name_that_is_not_utf_8_is_escaped(page):
    assert "na\\udcefve.mp4" in page(made(output="na\udcefve.mp4")).source


def test_page_is_for_light_and_dark_and_for_small_screens(page):
    source = page(made()).source
    assert "prefers-color-scheme: dark" in source and "max-width: 36rem" in source
    assert 'name="viewport"' in source


def test_page_in_chinese(page, speaks):
    speaks("zh")
    written = page(made(weak_spans=[{"start_s": 1.0, "end_s": 2.0, "words": ""}]), frames_of(1))
    assert written.tags[0] == ("html", {"lang": "zh-CN"})
    assert written.texts[1] == "口型与语音相符。"
    assert "口型与音频相差 12 毫秒，不到一帧（40 毫秒）。" in written.text
    assert "文件与指标" in written.text
    assert not re.search("[a-z]{3,} [a-z]{2,} ", written.text), "no English sentence"
    missing = page(made(judged=None, closeness=None, real_confidence=None))
    assert not re.search("[a-z]{3,} [a-z]{2,} ", missing.text)


def test_page_appears_only_when_it_is_complete(page, tmp_path):
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(OutputError, match="cannot write"):
        write_presented_report(made(), tmp_path / "none" / "report.html")
    with pytest.raises(KeyError):
        write_presented_report({"output": "a.mp4"}, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
