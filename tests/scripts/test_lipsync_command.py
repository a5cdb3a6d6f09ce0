"""The command ``lipsync``: what it hands to the scripts, its help and its errors."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from src import __main__ as command
from tests.support.limits import HANG_S

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def started(monkeypatch):
    """Runs ``lipsync`` with these arguments; (the script, its ``sys.argv``, the exit status)."""
    scripts = []

    def fake_import(name, package):
        def main():
            scripts.append((name, sys.argv))
            return 1

        return SimpleNamespace(main=main)

    def start(*arguments):
        monkeypatch.setattr(sys, "argv", ["/usr/bin/lipsync", *arguments])
        with pytest.raises(SystemExit) as ended:
            command.main()
        script, argv = scripts.pop() if scripts else (None, None)
        return script, argv, ended.value.code

    monkeypatch.setattr(command, "import_module", fake_import)
    return start


@pytest.mark.parametrize(
    ("given", "script", "handed_on"),
    [
        ("score v.mp4", "inference", "--video v.mp4 --score-only"),
        ("score v.mp4 a.wav", "inference", "--video v.mp4 --audio a.wav --score-only"),
        ("score v.mp4 --json", "inference", "--video v.mp4 --score-only --json"),
        ("score v.mp4 --face 1", "inference", "--video v.mp4 --score-only --face 1"),
        ("score v.mp4 a.wav b.wav", "inference", "--video v.mp4 --audio a.wav --score-only b.wav"),
        ("score --video v.mp4", "inference", "--score-only --video v.mp4"),
        ("score --video-dir=d", "inference", "--score-only --video-dir=d"),
        ("correct v.mp4", "inference", "--video v.mp4"),
        ("correct v.mp4 a.wav", "inference", "--video v.mp4 --audio a.wav"),
        ("correct v.mp4 a.wav o.mp4 --fit trim", "inference",
         "--video v.mp4 --audio a.wav --output o.mp4 --fit trim"),
        ("correct --batch list.csv", "inference", "--batch list.csv"),
        ("present v.mp4 a.wav o.mp4 --label", "present",
         "--video v.mp4 --audio a.wav --output o.mp4 --label"),
        ("present v.mp4 --text hello --output o.mp4", "present",
         "--video v.mp4 --text hello --output o.mp4"),
        ("present --batch list.csv --output out", "present", "--batch list.csv --output out"),
        ("learn-presenter --footage v.mp4 w.mp4 --output me", "learn_presenter",
         "--footage v.mp4 w.mp4 --output me"),
        ("train-presenter presenters/me", "train_presenter", "presenters/me"),
        ("process --overwrite", "data_processing", "--overwrite"),
        ("clean-offsets", "clean_offsets", ""),
        ("train --resume auto", "train", "--resume auto"),
        ("evaluate --json", "evaluate", "--json"),
    ],
)  # fmt: skip
def test_arguments_are_handed_to_the_script(started, given, script, handed_on):
    name = given.split()[0]
    assert started(*given.split()) == (f".{script}", [f"lipsync {name}", *handed_on.split()], 1)


def test_an_unknown_command_ends_in_one_line(started, capsys):
    assert started("scor", "v.mp4") == (None, None, 2)
    assert capsys.readouterr() == (
        "",
        "error: unknown command scor: choose from score, correct, present, learn-presenter, "
        "train-presenter, process, clean-offsets, train, evaluate, serve\n",
    )


@pytest.mark.parametrize("options", [(), ("--json", "v.mp4")])
@pytest.mark.parametrize("name", ["correct", "present"])
def test_a_missing_video_ends_in_one_line(started, capsys, name, options):
    assert started(name, *options) == (None, None, 2)
    assert capsys.readouterr().err == (
        "error: name the video before the options: "
        f"lipsync {name} VIDEO [AUDIO [OUTPUT]] [OPTION …]\n"
    )


def lipsync(*arguments, language="en"):
    import os

    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "src", *arguments], cwd=ROOT, timeout=HANG_S,
        capture_output=True, text=True, encoding="utf-8",
        env=os.environ | {"LIPSYNC_LANG": language, "COLUMNS": "90", "PYTHONUTF8": "1"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("score", "--help"),
        ("present", "--help"),
        ("process", "--help"),
    ],
)
def test_help_does_not_import_torch(arguments):
    done = lipsync(*arguments)
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "argparse" in imported
    assert not imported & {"torch", "onnxruntime", "matplotlib", "librosa"}


def test_help_of_score_shows_the_files_and_the_options_of_the_script():
    text = lipsync("score", "--help").stdout
    begin = "usage: lipsync score VIDEO [AUDIO] [OPTION …]\n\nScore a video against its audio"
    assert text.startswith(begin)
    assert "\n  VIDEO " in text and "\n  AUDIO " in text and "OUTPUT  " not in text.split("-h,")[0]
    assert "--face" in text and text.count("usage:") == text.count("--help") == 1
    assert text.rstrip().endswith("example: lipsync score v.mp4 a.wav --report result.html")


def test_help_of_present_shows_the_files_and_the_options_of_the_script():
    text = lipsync("present", "--help").stdout
    assert text.startswith("usage: lipsync present VIDEO [AUDIO [OUTPUT]] [OPTION …]\n\nRe-make")
    files = text.split("-h,")[0]
    assert all(f"\n  {name} " in files for name in ("VIDEO", "AUDIO", "OUTPUT"))
    assert "--consent" in text and text.count("usage:") == text.count("--help") == 1
    assert text.rstrip().splitlines()[-1].startswith("example: lipsync present me.mp4 new.wav")


@pytest.mark.parametrize(
    ("name", "script", "option"),
    [("train", "train", "--set"), ("learn-presenter", "learn_presenter", "--footage")],
)
def test_help_of_other_commands_names_the_command(name, script, option):
    text = lipsync(name, "--help").stdout
    assert text.startswith(f"usage: lipsync {name} [-h]")
    assert f"example: lipsync {name} {option}" in text and f"{script}.py" not in text


def test_without_a_command_the_help_is_shown_with_status_2():
    done = lipsync()
    assert done.returncode == 2
    assert done.stdout == lipsync("--help").stdout
