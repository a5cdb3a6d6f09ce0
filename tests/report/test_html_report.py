"""The report: one page that needs nothing else, in words a person understands."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from src.core.errors import OutputError, UnreadableMediaError
from src.media.writer import write_clip
from src.report import html_report as report
from src.report.html_report import face_pictures, write_report
from src.report.sentences import correction_command, headline, sentences
from tests.support.made_details import made_details, undetermined

pytest_plugins = ("tests.support.training_fixtures",)

SECONDS = 2.0
REFERRING = ("src", "href", "data", "srcset", "action", "poster")
COLOURS = {"left": (40, 60, 200), "right": (200, 120, 30)}  # BGR


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A red half and a blue half."""
    path = tmp_path_factory.mktemp("clip") / "a&b.mp4"
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[:, :80], picture[:, 80:] = COLOURS["left"], COLOURS["right"]
    noise = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)
    write_clip(path, [picture] * 50, 25, noise)
    return path


@pytest.fixture
def details(clip) -> dict:
    details = made_details(clip, clip, SECONDS)
    details["tracks"][0]["boxes"] = [[0.0, 15.0, 40.0, 55.0, 80.0]]
    details["tracks"][1]["boxes"] = [[0.0, 105.0, 40.0, 145.0, 80.0]]
    return details


class Page(HTMLParser):
    """The texts of a page, its elements, and all it refers to."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.references, self.texts, self._open = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))

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


def written(tmp_path, score, details) -> Page:
    write_report(score, details, tmp_path / "report.html")
    return Page(tmp_path / "report.html")


def test_the_first_lines_say_what_is_wrong_and_what_to_do(tmp_path, details):
    page = written(tmp_path, 0.013, details)
    assert page.texts[0].startswith("Lip-sync report")
    assert page.texts[1] == "The sound comes 200 ms too late."
    details["offset_probability"] = 0.63
    assert headline(details) == "Not sure, but likely: The sound comes 200 ms too late."
    first = " ".join(page.texts[:12])
    assert "What one hears is 200 ms late" in first and "5.0 pictures" in first
    assert "viewers find so much disturbing" in first and "ITU-R BT.1359" in first
    assert "125 ms" in first and "185 ms" in first and "97%" in first
    assert "Advance the sound by 200 ms" in first
    assert "python src/inference.py --checkpoint" in first


def test_nothing_is_asked_of_the_network_nor_of_other_files(tmp_path, details):
    page = written(tmp_path, 0.01, details)
    assert page.references and all(ref.startswith("data:image/") for ref in page.references)
    assert not {"script", "link", "iframe", "base", "object"} & {tag for tag, _ in page.tags}
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "@import" not in source and "url(" not in source
    for picture in page.references:
        content = base64.b64decode(picture.split(",", 1)[1])
        if "svg" in picture:
            svg = content.decode()
            links = re.findall(r'(?:href|src)="([^"]*)"|url\(([^)]*)\)', svg)
            assert svg.startswith("<svg") and all((a or b).startswith("#") for a, b in links)


def test_all_that_comes_from_outside_is_escaped(tmp_path, details):
    evil = "<script>alert('x')</script>&\"'"
    details |= {"notes": [evil], "audio": details["audio"], "verdict": evil}
    details["model"] = {"file": evil, "sha256": "0" * 64}
    page = written(tmp_path, 0.5, details)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(evil) == 3
    assert "a&b.mp4" in page.text, "the name of the file"


def test_each_face_has_its_picture_and_the_speaker_is_marked(tmp_path, details):
    page = written(tmp_path, 0.01, details)
    rows = [attrs for tag, attrs in page.tags if tag == "tr"]
    assert sum(attrs.get("class") == "chosen" for attrs in rows) == 1
    faces = [ref for ref in page.references if "jpeg" in ref]
    assert len(faces) == 2
    for face, side in zip(faces, ("left", "right"), strict=True):
        content = np.frombuffer(base64.b64decode(face.split(",", 1)[1]), np.uint8)
        pixels = cv2.imdecode(content, cv2.IMREAD_COLOR)
        assert pixels.shape == (144, 144, 3)
        assert np.abs(pixels.mean((0, 1)) - COLOURS[side]).max() < 25


def test_faces_at_the_edge_and_outside(details):
    details["tracks"][0]["boxes"] = [[0.0, -30.0, -20.0, 30.0, 40.0]]
    details["tracks"][1]["boxes"] = [[0.0, 400.0, 400.0, 440.0, 440.0]]
    assert list(face_pictures(details["video"], details["tracks"])) == [0]
    assert face_pictures(details["video"], []) == {}


@pytest.mark.parametrize("status", ["no_speech", "too_short", "weak", "edge"])
def test_undetermined_results_say_why_and_invent_nothing(tmp_path, details, status):
    told = undetermined(details) | {"status": status}
    page = written(tmp_path, None, told)
    assert page.texts[1].startswith("It could not be determined")
    assert "Nobody speaks while the face is seen." in page.text
    assert "python src/inference.py" not in page.text and "BT.1359" not in page.text
    assert "nan" not in page.text.lower() and "None" not in page.text
    assert len(sentences(None, told)[1][1]) > 20


def test_in_chinese(tmp_path, details, speaks):
    speaks("zh")
    page = written(tmp_path, 0.01, details)
    assert page.tags[0] == ("html", {"lang": "zh-CN"})
    assert page.texts[1] == "声音晚了 200 毫秒。" and "把声音提前 200 毫秒" in page.text
    assert "人脸" in page.text and "What" not in page.text


def course(kind: str, *offsets: float, ppm=None) -> dict:
    length = SECONDS / (len(offsets) - 1) if kind != "constant" else SECONDS
    if kind == "drift":
        pieces = [(0.0, SECONDS, *offsets)]
    else:
        length = SECONDS / len(offsets)
        pieces = [(n * length, (n + 1) * length, at, at) for n, at in enumerate(offsets)]
    keys = ("start_s", "end_s", "offset_ms", "end_offset_ms")
    return {"kind": kind, "drift_ppm": ppm,
            "pieces": [dict(zip(keys, piece, strict=True)) for piece in pieces]}  # fmt: skip


@pytest.mark.parametrize(
    ("offset", "timeline", "bt1359", "said", "advice"),
    [
        (12.0, course("constant", 12.0), "undetectable", "are in sync", "Nothing needs to be done"),
        (-100.0, course("constant", -100.0), "undetectable", "100 ms too late", "may stay so"),
        (70.0, course("constant", 70.0), "detectable", "70 ms too early", "Delay the sound by 70"),
        (5.0, course("drift", -80.0, 90.0, ppm=1000.0), "undetectable", "drift apart", "course"),
        (60.0, course("jumps", 0.0, 200.0), "detectable", "jumps", "along its course"),
    ],
)
def test_each_kind_of_fault_in_words(details, offset, timeline, bt1359, said, advice):
    details |= {"offset_ms": offset, "timeline": timeline, "bt1359": bt1359}
    answers = [answer for _, answer in sentences(0.4, details)]
    assert said in headline(details) and advice in answers[-1]
    assert (correction_command(details) is None) == (abs(offset) < 40 and len(answers) == 4
                                                  and timeline["kind"] == "constant")  # fmt: skip
    if timeline["kind"] == "drift":
        assert "+1000 parts in a million" in answers[0] and "80 ms late" in answers[0]
        assert "early sound is noticed from 45 ms" in answers[1], "where it is worst"
    if timeline["kind"] == "jumps":
        assert "from 1.0 to 2.0 s it is 200 ms early" in answers[0] and "in time" in answers[0]


def test_the_command_can_be_typed_as_it_is(details):
    import shlex

    details |= {"video": "my clips/it's.mp4", "audio": "a b.wav", "model": {"file": "my own.pth"}}
    assert shlex.split(correction_command(details)) == [
        "python", "src/inference.py", "--checkpoint", "my own.pth",
        "--video", "my clips/it's.mp4", "--audio", "a b.wav",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("chance", "word"), [(0.99, "Very sure"), (0.9, "Rather"), (0.6, "Not sure")]
)
def test_how_sure_is_said_as_it_was_measured(details, chance, word):
    answer = dict(sentences(0.1, details | {"offset_probability": chance}))["How sure is that?"]
    assert answer.startswith(word) and f"{chance:.0%}" in answer


def test_never_rounded_up_to_certainty(details):
    for chance in (0.9999, 1.0):
        certain = details | {"offset_probability": chance}
        answer = dict(sentences(chance, certain))["How sure is that?"]
        assert answer.count("99%") == 2 and "100%" not in answer


def test_no_score_is_rounded_up_to_certainty(tmp_path, details):
    details["tracks"][0]["score"] = 0.9999
    page = written(tmp_path, 0.99999, details)
    assert "1.00" not in page.texts and "0.99" in page.texts
    assert "1.0000" not in page.texts and "0.9999" in page.texts


@pytest.mark.parametrize(("offset", "said"), [(-7.3, "7 ms apart"), (12.0, "12 ms apart")])
def test_a_distance_has_no_sign(details, offset, said):
    details |= {"offset_ms": offset, "timeline": course("constant", offset)}
    answer = dict(sentences(0.9, details))["What was found"]
    assert f" {said}" in answer


@pytest.mark.parametrize(
    ("why", "advice"),
    [
        ("it may lie beyond: raise inference.max_offset_frames", "max_offset_frames=30"),
        ("it drifts: set inference.max_offset_frames=72", "max_offset_frames=72"),
        ("it drifts: cut the video into parts", "Cut the video into parts"),
    ],
)
def test_how_to_look_further(details, why, advice):
    beyond = undetermined(details) | {"status": "edge", "undetermined": why}
    assert advice in dict(sentences(0.1, beyond))["What to do"]


def test_it_takes_the_name_only_when_it_is_whole(tmp_path, details, monkeypatch):
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(OutputError, match="cannot write"):
        write_report(0.1, details, tmp_path / "none" / "report.html")
    monkeypatch.setattr(report, "face_pictures", lambda *_: (_ for _ in ()).throw(
        UnreadableMediaError("gone")))  # fmt: skip
    with pytest.raises(UnreadableMediaError):
        write_report(0.1, details, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
