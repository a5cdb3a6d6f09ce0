"""``--export``: files for editing software, of one pair and of many."""

import pytest

from src.core.errors import OutputError
from src.pipeline.edit_exports import EditExports, export_many
from tests.support.media_files import make_video
from tests.support.training_helpers import call_script


@pytest.fixture
def details(tmp_path):
    video = make_video(tmp_path / "v.mp4")
    piece = {"start_s": 0, "end_s": 4, "offset_ms": 100, "end_offset_ms": 100}
    return {
        "video": str(video), "audio": str(video), "video_stream": 1, "audio_stream": 1,
        "duration_s": 4.0, "notes": [], "undetermined": False, "per_second": [0.5] * 4,
        "timeline": {"kind": "constant", "pieces": [piece]},
    }  # fmt: skip


def test_each_file_is_written_and_the_remainder_of_an_edl_is_said(details, tmp_path):
    paths = [tmp_path / "out" / f"cut{end}" for end in (".otio", ".edl", ".fcpxml", ".srt")]
    lines = list(EditExports(paths).write(details))
    assert all(path.stat().st_size > 50 for path in paths)
    assert [str(path) in line for path, line in zip(paths, lines, strict=True)] == [True] * 4
    assert ["whole frames" in line for line in lines] == [False, True, False, False]
    details["timeline"]["pieces"][0] |= {"offset_ms": -100, "end_offset_ms": -100}
    (line,) = EditExports([tmp_path / "late.edl"]).write(details)
    assert "up to 20.0 ms remain" in line


def test_existing_files_and_names_of_others_are_refused(details, tmp_path):
    path = tmp_path / "cut.edl"
    path.write_text("somebody's")
    with pytest.raises(OutputError, match=r"cut\.edl exists"):
        EditExports([path]).check([])
    assert EditExports([path], overwrite=True).check([None]) == [path]
    with pytest.raises(OutputError, match="must end in one of"):
        EditExports([tmp_path / "cut.xml"]).check([])
    with pytest.raises(OutputError, match="exists"):
        list(EditExports([path]).write(details))
    assert path.read_text() == "somebody's"


def test_without_an_offset_nothing_is_written(details, tmp_path):
    details |= {"undetermined": True, "reason": {"code": "no_speech", "text": "no speech"}}
    (line,) = EditExports([tmp_path / "cut.edl"]).write(details)
    assert line == "nothing exported: no speech" and not (tmp_path / "cut.edl").exists()


def test_many_pairs_get_names_of_their_own(details, tmp_path):
    video = details["video"]
    rows = [{"video": video, "details": details}, {"video": video, "details": dict(details)},
            {"video": "gone.mp4", "details": None}]  # fmt: skip
    lines = list(export_many(rows, tmp_path / "out", [".CSV"], overwrite=False))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["v.csv", "v_2.csv"]
    assert len(lines) == 3 and lines[2].startswith("gone.mp4: not exported")
    assert all("details" not in row for row in rows)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--find-audio", "v.mp4", "a.wav", "--export", "x.edl"], "--export: only with"),
     (["--video-dir", "d", "--export", "cut.edl"], "give suffixes: .otio"),
     (["--video", "v.mp4", "--score-only", "--export", "cut.doc"], "must end in one of")],
)  # fmt: skip
def test_options_that_do_not_go_together(arguments, words):
    done = call_script("src/inference.py", *arguments)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
