"""The example runs as documented and prints what it announces."""

from tests.support.training_helpers import assert_one_line, run_script

pytest_plugins = ("tests.support.training_fixtures", "tests.support.inference_fixtures")


def test_all_steps_run_on_a_video(trained, clips, tmp_path):
    video, folder = clips(), tmp_path / "example"
    done = run_script(
        "example_usage.py", "--video", video, "--checkpoint", trained, "--output", folder
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    output_by_step = dict(part.strip().split("\n", 1) for part in done.stdout.split("\n\n"))
    assert list(output_by_step) == ["score", "correct", "report", "batch", "rank", "live", "errors"]
    assert "face 0" in output_by_step["score"] and "in sync" in output_by_step["score"]
    assert output_by_step["correct"].startswith("True audio lagged by ")
    assert (
        output_by_step["batch"].count("\n") == 1 and "missing.mp4 False" in output_by_step["batch"]
    )
    assert output_by_step["rank"].startswith(str(folder / "forwards.wav"))
    assert output_by_step["live"].splitlines()[-1].startswith("ok ")
    assert output_by_step["errors"].startswith("MissingFileError: ")
    files = {path.name for path in folder.iterdir()}
    assert files == {"late.mkv", "corrected.mkv", "report.html", "result.png", "annotated.mp4",
                     "batch", "forwards.wav", "backwards.wav"}  # fmt: skip
    assert [path.name for path in (folder / "batch").iterdir()] == [f"{video.stem}_synced.mp4"]


def test_single_step_and_a_missing_video(trained, tmp_path):
    done = run_script("example_usage.py", "--video", tmp_path / "none.mp4", "--checkpoint", trained,
                      "--output", tmp_path / "example", "--steps", "score")  # fmt: skip
    assert_one_line(done, "none.mp4")
    assert "correct" not in done.stdout
