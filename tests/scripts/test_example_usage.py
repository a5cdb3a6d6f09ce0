"""The example runs on a video as it says, and shows what it promises."""

from tests.support.training_helpers import assert_one_line, run_script

pytest_plugins = ("tests.support.training_fixtures", "tests.support.inference_fixtures")


def test_every_step_runs_on_a_video(trained, clips, tmp_path):
    video, folder = clips(), tmp_path / "example"
    done = run_script(
        "example_usage.py", "--video", video, "--checkpoint", trained, "--output", folder
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    said = dict(part.strip().split("\n", 1) for part in done.stdout.split("\n\n"))
    assert list(said) == ["score", "correct_sync", "report", "batch", "rank", "live", "errors"]
    assert "face 0" in said["score"] and "in sync" in said["score"]
    assert said["correct_sync"].startswith("True audio lagged by ")
    assert said["batch"].count("\n") == 1 and "missing.mp4 False" in said["batch"]
    assert said["rank"].startswith(str(folder / "own.wav"))
    assert said["live"].splitlines()[-1].startswith("ok ")
    assert said["errors"].startswith("MissingFileError: ")
    made = {path.name for path in folder.iterdir()}
    assert made == {"late.mkv", "mended.mkv", "report.html", "result.png", "seen.mp4", "batch",
                    "own.wav", "backwards.wav"}  # fmt: skip
    assert [path.name for path in (folder / "batch").iterdir()] == [f"{video.stem}_synced.mp4"]


def test_one_step_alone_and_a_video_that_is_none(trained, tmp_path):
    done = run_script("example_usage.py", "--video", tmp_path / "none.mp4", "--checkpoint", trained,
                      "--output", tmp_path / "example", "--steps", "score")  # fmt: skip
    assert_one_line(done, "none.mp4")
    assert "correct_sync" not in done.stdout
