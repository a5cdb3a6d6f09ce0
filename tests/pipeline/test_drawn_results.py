"""The command writes the plot, the report and the annotated copy that are asked for."""

import json
import os
from pathlib import Path

import av
import pytest

from src import inference
from src.checkpoints.location import PRETRAINED
from src.core.errors import OutputError
from src.pipeline import command as pipeline_command
from src.pipeline.engine import LipSyncInference
from src.pipeline.output_names import Source, check_not_foreign
from tests.support.made_details import made_details
from tests.support.processing_helpers import write_variant

pytest_plugins = ("tests.support.training_fixtures", "tests.support.inference_fixtures")


@pytest.fixture
def judged(command, talking_clip):
    """``judged(*options)`` judges the drawn talker with the model that comes along."""

    def call(*options):
        return command("--checkpoint", PRETRAINED, "--video", talking_clip, "--score-only",
                       "--device", "cpu", *options)  # fmt: skip

    return call


def test_report_picture_and_copy(judged, talking_clip, tmp_path):
    names = {"report": "new/page.html", "plot": "picture.png", "annotate": "copy.mp4"}
    paths = {option: tmp_path / name for option, name in names.items()}
    options = [part for option, path in paths.items() for part in (f"--{option}", path)]
    status, out, err = judged(*options)
    assert (status, err) == (0, "")
    for label, option in (("report", "report"), ("image", "plot"), ("annotated copy", "annotate")):
        assert f"{label}: {paths[option]}" in out.splitlines()
    assert paths["plot"].read_bytes()[:4] == b"\x89PNG"
    page = paths["report"].read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and talking_clip.name in page
    with av.open(str(paths["annotate"])) as copy, av.open(str(talking_clip)) as source:
        assert copy.streams.video[0].width == source.streams.video[0].width
        assert copy.streams.video[0].height > source.streams.video[0].height
        assert copy.streams.video[0].frames == source.streams.video[0].frames
    status, out, _ = judged("--json", "--report", paths["report"])
    assert status == 0 and set(json.loads(out)) == {"score", "details"}


@pytest.mark.parametrize(
    ("option", "name"),
    [("--plot", "p.png"), ("--report", "p.html"), ("--annotate", "p.mp4"), ("--annotate", "p.mkv")],
)  # fmt: skip
def test_only_a_view_of_the_same_input_is_replaced(
    command, known, talking_clip, tmp_path, monkeypatch, option, name
):
    monkeypatch.setattr(LipSyncInference, "__init__", lambda *_: None)  # takes seconds
    path, other = tmp_path / name, write_variant(talking_clip, tmp_path / "other.mp4", 1)
    given = ("--checkpoint", PRETRAINED, "--device", "cpu", "--score-only", option, path)
    path.write_bytes(b"of the user")
    for video in (talking_clip, other):
        status, out, err = command("--video", video, *given)
        assert (status, out) == (2, "") and err.splitlines() == [
            f"error: {path} exists and was not made from this input: choose another name, or "
            "replace it with --overwrite"
        ]
        assert path.read_bytes() == b"of the user"
    for options in (("--overwrite",), ()):
        assert command("--video", talking_clip, *given, *options)[0] == 0
        content = path.read_bytes()
        assert content != b"of the user"
    assert command("--video", other, *given)[0] == 2 and path.read_bytes() == content
    # Nor is a view of the same input taken for its corrected video.
    with pytest.raises(OutputError, match="was not made from this input"):
        check_not_foreign(path, Source(talking_clip, None))


@pytest.mark.parametrize(
    ("option", "name", "why"),
    [
        ("--report", "page.pdf", "must end in one of .htm .html"),
        ("--annotate", "copy.avi", "must end in one of .mkv .mov .mp4"),
        ("--annotate", ".", "is a folder"),
    ],
)
def test_wrong_names_are_refused_before_anything_is_judged(judged, tmp_path, option, name, why):
    status, out, err = judged(option, tmp_path / name)
    assert (status, out, len(err.splitlines())) == (2, "", 1) and why in err
    assert list(tmp_path.iterdir()) == []


def test_no_input_and_no_other_output_is_overwritten(command, talking_clip, tmp_path):
    video = tmp_path / "in.mp4"
    video.write_bytes(talking_clip.read_bytes())
    same = ("--output", tmp_path / "out.mp4", "--annotate", tmp_path / "out.mp4")
    for options in (("--annotate", video), same):
        status, _, err = command("--checkpoint", PRETRAINED, "--video", video, *options)
        assert status == 2 and "choose another name" in err
    assert video.read_bytes() == talking_clip.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_default_name_of_the_corrected_video_leaves_the_copy_alone(
    command, talking_clip, tmp_path, monkeypatch
):
    details = made_details(talking_clip, talking_clip, 2.0)
    monkeypatch.setattr(LipSyncInference, "correct_sync", lambda *_: (
        True, "corrected", {"score_before": 0.1, "details": details, "notes": []}
    ))  # fmt: skip
    monkeypatch.setattr(inference, "print_result", lambda *_: None)
    monkeypatch.setattr(pipeline_command, "annotate", lambda *_: None)
    copy = tmp_path / f"{talking_clip.stem}_synced.mp4"
    _, out, _ = command(
        "--checkpoint", PRETRAINED, "--video", talking_clip, "--annotate", copy, "--device", "cpu",
        "--set", f"paths.output_dir={tmp_path}",
    )  # fmt: skip
    assert f"output: {copy.with_stem(copy.stem + '_2')}" in out and f"copy: {copy}" in out


def test_of_many_pairs_there_is_no_single_page(command, tmp_path):
    status, _, err = command("--video-dir", tmp_path, "--report", tmp_path / "page.html")
    assert status == 2 and "only with --video" in err


# --- output paths are checked before the work, and results are printed before the drawing


@pytest.fixture
def unjudged(monkeypatch):
    """Nothing is scored in this test: it would take minutes."""
    for name in ("compute_sync_score", "correct_sync"):
        monkeypatch.setattr(LipSyncInference, name, lambda *_: pytest.fail("scored"))


@pytest.mark.parametrize("option", ["--report", "--plot", "--annotate", "--output"])
@pytest.mark.parametrize("folder", ["file", "file/new", "x" * 300])
def test_what_cannot_be_written_is_refused_before_anything_is_judged(
    command, talking_clip, tmp_path, monkeypatch, option, folder
):
    judged = []
    monkeypatch.setattr(
        LipSyncInference, "compute_sync_score", lambda *_: judged.append(1) or (None, {})
    )
    (tmp_path / "file").write_text("no folder")
    suffix = {"--report": "html", "--plot": "png"}.get(option, "mp4")
    path = tmp_path / folder / f"out.{suffix}"
    status, out, err = command("--checkpoint", PRETRAINED, "--video", talking_clip,
                               "--device", "cpu", option, path)  # fmt: skip
    assert (status, out, len(err.splitlines()), judged) == (2, "", 1, [])
    assert f"cannot write {path}: " in err or f"cannot create the folder {path.parent}: " in err
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a folder nobody can write to")
def test_a_page_in_a_folder_that_takes_none(judged, unjudged):
    status, out, err = judged("--report", "/proc/r.html")
    assert (status, out, len(err.splitlines())) == (2, "", 1) and "cannot write /proc/r.html" in err


@pytest.fixture
def known(monkeypatch, talking_clip):
    """The result is known without judging."""
    details = made_details(talking_clip, talking_clip, 2.0)
    found = {"score_before": 0.01, "details": details, "notes": []}

    def correct_sync(self, video, audio, output, *_):
        Path(output).write_bytes(b"corrected")
        return True, "audio lagged by 200 ms, corrected", found

    monkeypatch.setattr(LipSyncInference, "compute_sync_score", lambda *_: (0.01, details))
    monkeypatch.setattr(LipSyncInference, "correct_sync", correct_sync)


DRAWN = (
    ("--plot", "new/p.png", "plot_result"),
    ("--report", "new/p.html", "write_report"),
    ("--annotate", "new/p.mp4", "annotate"),
)


@pytest.mark.parametrize(("option", "name", "draw"), DRAWN)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_drawing_that_fails_costs_no_result(
    judged, known, tmp_path, monkeypatch, option, name, draw, as_json
):
    def fails(*_, **__):
        raise OutputError("cannot write it: No space left on device")

    monkeypatch.setattr(pipeline_command, draw, fails)
    status, out, err = judged(option, tmp_path / name, *(["--json"] if as_json else []))
    assert status == 2 and err.splitlines() == ["error: cannot write it: No space left on device"]
    if as_json:
        assert json.loads(out)["score"] == 0.01
    else:
        assert "sync score: 0.0100" in out and str(tmp_path) not in out
    assert list(tmp_path.iterdir()) == [], "the folder that was made for it is gone again"


@pytest.mark.parametrize(("option", "name", "draw"), DRAWN)
def test_interrupted_drawing_names_the_corrected_video(
    command, known, talking_clip, tmp_path, monkeypatch, option, name, draw
):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline_command, draw, stopped)
    corrected = tmp_path / "corrected.mp4"
    given = ("--checkpoint", PRETRAINED, "--video", talking_clip, "--device", "cpu")
    status, out, err = command(*given, "--output", corrected, option, tmp_path / name)
    assert status == 130 and "sync score: 0.0100" in out and f"output: {corrected}" in out
    assert err.split("\n") == [
        "",
        f"the corrected video is already written: {corrected}",
        "stopped",
        "",
    ]
    assert list(tmp_path.iterdir()) == [corrected]
    status, _, err = command(*given, "--score-only", option, tmp_path / name)
    assert status == 130 and "corrected" not in err


@pytest.mark.parametrize("options", [("--video", "none.mp4"), ("--face", "9")])
def test_no_empty_folder_stays_behind(judged, tmp_path, options):
    names = [part for option, name, *_ in DRAWN for part in (option, tmp_path / name)]
    status, out, err = judged(*names, *options)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("face", ["biggest", "-1", "1.5", "", "Speaking", "²"])
def test_a_face_that_cannot_be_is_refused_before_the_video_is_read(judged, unjudged, face):
    status, out, err = judged(f"--face={face}")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert f"--face {face}: use speaking, largest, or a number from --json" in err


def test_score_is_never_rounded_up_to_certainty(capsys, talking_clip):
    inference.print_result(0.99999, made_details(talking_clip, talking_clip, 2.0))
    assert "sync score: 0.9999\n" in capsys.readouterr().out
