"""The command writes what one asked to look at."""

import json

import av
import pytest

from src import inference_command
from src.checkpoint import PRETRAINED
from src.inference import LipSyncInference

pytest_plugins = ("tests.training_fixtures", "tests.inference_fixtures")


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
    for said, option in (("report", "report"), ("picture", "plot"), ("annotated copy", "annotate")):
        assert f"{said}: {paths[option]}" in out.splitlines()
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


def test_the_usual_name_of_the_mended_video_leaves_the_copy_alone(
    command, talking_clip, tmp_path, monkeypatch
):
    monkeypatch.setattr(LipSyncInference, "mend", lambda self, video, audio, output, *_: (
        True, "mended", {"score_before": 0.1, "details": {}, "notes": [], "output": output}
    ))  # fmt: skip
    for name in ("_show", "print_result"):
        monkeypatch.setattr(inference_command, name, lambda *_: None)
    copy = tmp_path / f"{talking_clip.stem}_synced.mp4"
    _, out, _ = command(
        "--checkpoint", PRETRAINED, "--video", talking_clip, "--annotate", copy, "--device", "cpu",
        "--set", f"paths.output_dir={tmp_path}",
    )  # fmt: skip
    assert f"output: {copy.with_stem(copy.stem + '_2')}" in out and f"copy: {copy}" in out


def test_of_many_pairs_there_is_no_single_page(command, tmp_path):
    status, _, err = command("--video-dir", tmp_path, "--report", tmp_path / "page.html")
    assert status == 2 and "only with --video" in err
