"""How commands start and end."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.core.cli import make_parser, run, settings_of
from src.core.errors import ConfigError, MediaError
from tests.support.limits import HANG_S

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1), (130, 130)])
def test_the_status_is_what_main_returns(returned, status):
    with pytest.raises(SystemExit) as end:
        run(lambda: returned)
    assert end.value.code == status


def failing(error):
    def main():
        raise error

    return main


def test_invalid_input_is_one_line_and_status_2(capsys):
    with pytest.raises(SystemExit) as end:
        run(failing(MediaError("video.mp4 is broken")))
    out, err = capsys.readouterr()
    assert end.value.code == 2 and out == "" and err == "error: video.mp4 is broken\n"


def test_ctrl_c_is_status_130(capsys):
    with pytest.raises(SystemExit) as end:
        run(failing(KeyboardInterrupt()))
    assert end.value.code == 130 and "Traceback" not in capsys.readouterr().err


# Saves at its end what it has done, as the commands do, and prints even then.
SAVING = """
import pathlib, signal, sys, time
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may themselves run under nohup
from src.core.cli import run, uninterrupted
def main():
    folder = pathlib.Path(sys.argv[1])
    try:
        with uninterrupted():
            (folder / "begun").touch()
            while not (folder / "sent").exists():
                time.sleep(0.01)
            print("step", flush=True)
        time.sleep(60)
    finally:
        print("saving", flush=True)
        (folder / "saved").touch()
run(main)
"""


def wait_for(path: Path, process: subprocess.Popen | None = None) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline and (process is None or process.poll() is None)
        time.sleep(0.01)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_a_command_let_it_save(tmp_path, number):
    """After the step it is in; a second one does not interrupt the clean-up."""
    with subprocess.Popen(
        [sys.executable, "-c", SAVING, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        wait_for(tmp_path / "begun", process)
        process.send_signal(number)
        (tmp_path / "sent").touch()
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (130, "step\nsaving\n", "stopped")
    assert (tmp_path / "saved").exists()


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
def test_a_command_saves_when_its_terminal_is_closed(tmp_path):
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", SAVING, str(tmp_path)])
    wait_for(tmp_path / "begun")
    os.close(terminal)
    (tmp_path / "sent").touch()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert (tmp_path / "saved").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_command_under_nohup_goes_on():
    code = (
        "import os, signal\n"
        "from src.core.cli import run\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "run(lambda: os.kill(os.getpid(), signal.SIGHUP))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_a_library_that_is_not_installed_is_named(capsys):
    with pytest.raises(SystemExit) as caught:
        run(failing(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")))
    output = capsys.readouterr()
    assert caught.value.code == 2 and output.out == ""
    assert output.err == (
        "error: the package torch is not installed: pip install -r requirements.txt\n"
    )
    for name in ("src.models.none", None):  # a bug
        with pytest.raises(ModuleNotFoundError):
            run(failing(ModuleNotFoundError("No module", name=name)))


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(failing(ZeroDivisionError()))


def test_set_overrides_the_file_and_may_be_repeated(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("training: {batch_size: 3, seed: 5}\n")
    args = make_parser("", "").parse_args(
        ["--config", str(file), "--set", "training.batch_size=4", "--set", "model.hidden_dim=8"]
    )
    config = settings_of(args)
    assert (config.training.batch_size, config.training.seed) == (4, 5)
    assert config.model.hidden_dim == 8


def test_without_arguments_the_settings_are_those_of_config_yaml():
    config = settings_of(make_parser("", "").parse_args([]))
    assert config.data.input_size == 96 and config.training.batch_size == 16


def test_an_unknown_setting_is_rejected():
    args = make_parser("", "").parse_args(["--set", "training.batchsize=4"])
    with pytest.raises(ConfigError, match=r"training\.batchsize.*batch_size"):
        settings_of(args)


def test_a_setting_without_effect_is_refused():
    used = ("data.detector", "inference")

    def settings(override):
        return settings_of(make_parser("", "").parse_args(["--set", override]), used)

    assert settings(" inference.max_offset_frames = 20").inference.max_offset_frames == 20
    assert settings("data.detector=retinaface").data.detector == "retinaface"
    for key in ("training.batch_size=4", "data.video_dir=elsewhere"):
        with pytest.raises(ConfigError, match=r"has no effect here.* data\.detector, inf"):
            settings(key)


def test_help_shows_the_example(capsys):
    with pytest.raises(SystemExit):
        make_parser("Does it.", "python it.py").parse_args(["--help"])
    out = capsys.readouterr().out
    assert "Does it." in out and "example: python it.py" in out and "--set" in out


def test_a_closed_pipe_is_no_traceback():
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from src.core.cli import run\n"
        "def main():\n    for _ in range(100000): print('line')\n"
        "run(main)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(HANG_S) == 1


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_full_disk_under_what_is_printed_is_one_line(lines):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from src.core.cli import run\n"
        f"def main():\n    for _ in range({lines}): print('line')\n"
        "run(main)"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, cwd=ROOT, text=True,
            check=False, env=os.environ | {"LIPSYNC_LANG": "en"},
        )  # fmt: skip
    reason = os.strerror(errno.ENOSPC)
    assert (done.returncode, done.stderr) == (2, f"error: cannot write stdout: {reason}\n")


def test_chinese_on_a_console_that_cannot_encode_it_is_no_crash():
    code = "import sys; sys.path.insert(0, '.')\nfrom src.core.cli import run\n"
    code += "run(lambda: print('训练'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=ROOT, timeout=HANG_S,
        env={"PYTHONIOENCODING": "latin-1", "PATH": "", "SYSTEMROOT": "C:\\Windows"},
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.strip() == b"??"
