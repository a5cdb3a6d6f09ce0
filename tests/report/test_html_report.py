"""The report: one page that needs nothing else, in plain words."""

import base64
import re
import shutil
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from src.core.errors import OutputError, UnreadableMediaError
from src.core.notes import OtherFaces
from src.media.writer import write_clip
from src.report import html_report as report
from src.report.html_report import face_images, write_report
from src.report.sentences import correction_command, headline, sentences
from src.scoring.perception import perceived, worst_ms
from src.scoring.result import FaceTrackResult, SyncResult
from src.scoring.result_types import DriftOutOfRange, DriftTooFast, Edge, NoSpeech, TooShort, Weak
from tests.support.made_details import (
    made_details,
    made_result,
    made_timeline,
    undetermined_result,
)

pytest_plugins = ("tests.support.training_fixtures",)

SECONDS = 2.0
REFERRING = ("src", "href", "data", "srcset", "action", "poster")
COLOURS = {"left": (40, 60, 200), "right": (200, 120, 30)}  # BGR


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A red half and a blue half."""
    path = tmp_path_factory.mktemp("clip") / "a&b.mp4"
    frame = np.zeros((120, 160, 3), np.uint8)
    frame[:, :80], frame[:, 80:] = COLOURS["left"], COLOURS["right"]
    noise = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)
    write_clip(path, [frame] * 50, 25, noise)
    return path


@pytest.fixture
def result(clip) -> SyncResult:
    return made_result(clip, clip, SECONDS)


def changed(result: SyncResult, **values) -> SyncResult:
    """The result with other values; what viewers make of the offset follows."""
    result = result.model_copy(update=values)
    worst = worst_ms(result.offset_ms, result.timeline)
    return result.model_copy(update={"bt1359": values.get("bt1359", perceived(worst))})


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


def test_first_lines_give_the_result_and_what_to_do(tmp_path, details, result):
    page = written(tmp_path, 0.013, details)
    assert page.texts[0].startswith("Lip-sync report")
    assert page.texts[1] == "Audio is 200 ms late."
    uncertain = changed(result, offset_probability=0.63)
    assert headline(uncertain) == "Not certain, but likely: Audio is 200 ms late."
    first = " ".join(page.texts[:12])
    assert "Result The audio lags the lips by 200 ms (5.0 frames at 25 fps)." in first
    assert (
        "Noticeable? Yes; not acceptable to viewers. By ITU-R BT.1359, late audio is noticeable "
        "from 125 ms and not acceptable from 185 ms." in first
    )
    assert (
        "How certain is this? Very certain: 97% of results with this much evidence are correct to "
        "within one frame (±40 ms). Probability that the pair is in sync as given: 1%." in first
    )
    assert "What to do Advance the audio by 200 ms: run the command below." in first
    assert "python src/inference.py --checkpoint" in first


def test_frames_are_those_of_the_whole_milliseconds(result):
    """178 ms are 4.5 frames, 177.6 as well."""
    for offset_ms in (178.0, 177.6):
        leads = changed(result, offset_ms=offset_ms)
        expected = "The audio leads the lips by 178 ms (4.5 frames at 25 fps)."
        assert dict(sentences(leads))["Result"] == expected


def test_page_refers_to_no_network_and_no_other_file(tmp_path, details):
    page = written(tmp_path, 0.01, details)
    assert page.references and all(ref.startswith("data:image/") for ref in page.references)
    assert not {"script", "link", "iframe", "base", "object"} & {tag for tag, _ in page.tags}
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "@import" not in source and "url(" not in source
    for image in page.references:
        content = base64.b64decode(image.split(",", 1)[1])
        if "svg" in image:
            svg = content.decode()
            links = re.findall(r'(?:href|src)="([^"]*)"|url\(([^)]*)\)', svg)
            assert svg.startswith("<svg") and all((a or b).startswith("#") for a, b in links)


def test_all_values_from_outside_are_escaped(tmp_path, result):
    evil = "<script>alert('x')</script>&\"'"
    note, model = OtherFaces(faces=1, track=evil), result.model.model_copy(update={"file": evil})
    details = changed(result, notes=[note], model=model).to_dict() | {"verdict": evil}
    page = written(tmp_path, 0.5, details)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(evil) == 2, "the note and the model; the verdict is made anew"
    assert "a&b.mp4" in page.text, "the name of the file"


def test_a_file_name_that_is_not_utf_8_is_escaped(tmp_path, details):
    """The video is readable under such a name; the page shows it as tables do."""
    odd = tmp_path / "na\udcefve.mp4"
    shutil.copy(details["video"], odd)
    page_path = tmp_path / "r.html"
    write_report(0.02, details | {"video": str(odd), "audio": str(odd)}, page_path)
    assert "na\\udcefve.mp4" in page_path.read_text(encoding="utf-8")


def test_each_face_has_its_image_and_the_speaker_is_marked(tmp_path, details):
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


def test_faces_at_the_edge_and_outside_of_the_frame(details):
    details["tracks"][0]["boxes"] = [[0.0, -30.0, -20.0, 30.0, 40.0]]
    details["tracks"][1]["boxes"] = [[0.0, 400.0, 400.0, 440.0, 440.0]]
    tracks = [FaceTrackResult(**track) for track in details["tracks"]]
    assert list(face_images(details["video"], tracks)) == [0]
    assert face_images(details["video"], []) == {}


@pytest.mark.parametrize(
    ("reason", "why", "advice"),
    [
        (NoSpeech(), "No speech while a face is visible.",
         "Use a clip in which a visible person speaks, or check that the right audio is given."),
        (TooShort(required_ms=480),
         "Too little speech while a face is visible: at least 480 ms required.",
         "Use a longer clip: a few seconds of speech with the face visible."),
        (Weak(), "No clear correlation between lips and audio.",
         "Check that the audio is from this take (dubbing and voice-over have no offset), or use a "
         "longer clip. If the audio may be many seconds off, search further: "
         "--set inference.far_offset_s=15"),
        (Edge(limit_ms=600), "The offset may be outside the search range (±600 ms): "
         "increase inference.max_offset_frames.",
         "Widen the search range: --set inference.max_offset_frames=30"),
    ],
)  # fmt: skip
def test_undetermined_results_give_the_reason_and_no_numbers(tmp_path, result, reason, why, advice):
    silent = undetermined_result(result, reason, reason.code)
    page = written(tmp_path, None, silent.to_dict())
    assert page.texts[1] == "Sync could not be determined."
    assert sentences(silent) == [("Why?", why), ("What to do", advice)]
    assert why in page.text and advice in page.text
    assert "python src/inference.py" not in page.text and "BT.1359" not in page.text
    assert "nan" not in page.text.lower() and "None" not in page.text


@pytest.mark.parametrize("by", ["environment", "argument"])
def test_page_in_chinese(tmp_path, details, speaks, by):
    if by == "environment":
        speaks("zh")
    language = None if by == "environment" else "zh_CN"
    write_report(0.01, details, tmp_path / "report.html", language)
    page = Page(tmp_path / "report.html")
    assert page.tags[0] == ("html", {"lang": "zh-CN"})
    assert page.texts[1] == "音频滞后 200 毫秒。"
    assert "音频比口型滞后 200 毫秒（25 fps 下为 5.0 帧）。" in page.text
    assert "人脸轨迹" in page.text and "What" not in page.text


@pytest.mark.parametrize(
    ("offset", "timeline", "title", "advice"),
    [
        (12.0, [("constant", (0.0, 2.0, 12.0, 12.0))], "Audio and video are in sync.",
         "No correction is needed."),
        (-100.0, [("constant", (0.0, 2.0, -100.0, -100.0))], "Audio is 100 ms late.",
         "No correction is needed. To correct it anyway, run the command below."),
        (70.0, [("constant", (0.0, 2.0, 70.0, 70.0))], "Audio is 70 ms early.",
         "Delay the audio by 70 ms: run the command below."),
        (5.0, [("drift", (0.0, 2.0, -80.0, 80.0)), 1000.0], "Audio and video drift apart.",
         "Run the command below to correct it over time."),
        (60.0, [("jumps", (0.0, 1.0, 0.0, 0.0), (1.0, 2.0, 200.0, 200.0))],
         "The audio offset jumps within the video.",
         "Run the command below to correct it over time."),
    ],
)  # fmt: skip
def test_each_kind_of_offset_in_words(result, offset, timeline, title, advice):
    timeline = made_timeline(*timeline[0], ppm=timeline[1] if len(timeline) > 1 else None)
    result = changed(result, offset_ms=offset, timeline=timeline)
    answers = dict(sentences(result))
    assert headline(result) == title and answers["What to do"] == advice
    assert len(answers) == 4
    in_sync = timeline.kind == "constant" and abs(offset) < 40
    assert (correction_command(result) is None) == in_sync
    if timeline.kind == "drift":
        assert answers["Result"] == (
            "Audio and video run at different speeds (+1000 ppm). Audio is 80 ms late at the start "
            "and 80 ms early at the end."
        )
        assert answers["Noticeable?"].startswith("Yes, to attentive viewers; still acceptable. ")
        assert "early audio is noticeable from 45 ms" in answers["Noticeable?"], "where it is worst"
    if timeline.kind == "jumps":
        assert answers["Result"] == (
            "Audio or video was cut, or part of it is missing. Audio is in sync from 0.0 to 1.0 s; "
            "200 ms early from 1.0 to 2.0 s."
        )


def test_command_can_be_typed_as_it_is(result):
    import shlex

    model = result.model.model_copy(update={"file": "my own.pth"})
    result = changed(result, video="my clips/it's.mp4", audio="a b.wav", model=model)
    assert shlex.split(correction_command(result)) == [
        "python", "src/inference.py", "--checkpoint", "my own.pth",
        "--video", "my clips/it's.mp4", "--audio", "a b.wav",
    ]  # fmt: skip
    options = ["--set", "inference.max_offset_frames=25", "--face", "2"]
    assert shlex.split(correction_command(result, options))[-4:] == options


def test_the_page_shows_the_command_with_its_options(tmp_path, details):
    write_report(0.02, details, tmp_path / "report.html", options=["--face", "2"])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "src/inference.py" in page and "--face 2<" in page


@pytest.mark.parametrize(
    ("probability", "word"),
    [(0.99, "Very certain: "), (0.9, "Fairly certain: "), (0.6, "Uncertain, check by eye: ")],
)
def test_certainty_is_given_as_it_was_measured(result, probability, word):
    result = changed(result, offset_probability=probability)
    answer = dict(sentences(result))["How certain is this?"]
    assert answer.startswith(word) and f"{probability:.0%}" in answer


def test_certainty_is_never_rounded_up(result):
    for probability in (0.9999, 1.0):
        certain = changed(result, offset_probability=probability, score=probability)
        answer = dict(sentences(certain))["How certain is this?"]
        assert answer.count("99%") == 2 and "100%" not in answer


def test_no_score_is_rounded_up_to_certainty(tmp_path, details):
    details["tracks"][0]["score"] = 0.9999
    page = written(tmp_path, 0.99999, details)
    assert "1.00" not in page.texts and "0.99" in page.texts
    assert "1.0000" not in page.texts and "0.9999" in page.texts


@pytest.mark.parametrize(("offset", "distance"), [(-7.3, 7), (12.0, 12)])
def test_a_distance_has_no_sign(result, offset, distance):
    timeline = made_timeline("constant", (0.0, SECONDS, offset, offset))
    answer = dict(sentences(changed(result, offset_ms=offset, timeline=timeline)))["Result"]
    assert answer == f"Lips and audio are {distance} ms apart, less than one frame (40 ms)."


OUT_OF_RANGE = {"drift_ppm": 3000.0, "time_s": 200.0, "limit_ms": 600}


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (Edge(limit_ms=600), "Widen the search range: --set inference.max_offset_frames=30"),
        (DriftOutOfRange(**OUT_OF_RANGE, max_offset_frames=72),
         "Widen the search range: --set inference.max_offset_frames=72"),
        (DriftOutOfRange(**OUT_OF_RANGE, max_offset_frames=None),
         "Split the video, or check that the audio is from this take."),
        (DriftTooFast(drift_ppm=5e4, limit_ppm=45000),
         "Split the video, or check that the audio is from this take."),
    ],
)  # fmt: skip
def test_advice_at_the_edge_of_the_search_range(result, reason, advice):
    edge = undetermined_result(result, reason, "edge")
    assert dict(sentences(edge))["What to do"] == advice


def test_no_wider_range_than_can_be_set(result):
    widest = undetermined_result(result, Edge(limit_ms=4000), "edge")
    curve = {"offset_ms": [-4000, 0, 4000], "similarity": [None] * 3}
    widest = SyncResult(**dict(widest) | {"curve": curve})
    assert dict(sentences(widest))["What to do"].startswith("Split the video")


def test_page_appears_only_when_it_is_complete(tmp_path, details, monkeypatch):
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(OutputError, match="cannot write"):
        write_report(0.1, details, tmp_path / "none" / "report.html")
    monkeypatch.setattr(report, "face_images", lambda *_: (_ for _ in ()).throw(
        UnreadableMediaError("gone")))  # fmt: skip
    with pytest.raises(UnreadableMediaError):
        write_report(0.1, details, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
