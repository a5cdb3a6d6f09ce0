"""What packages log: plain lines on the console of a command, nothing in a library but warnings."""

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.core.cli import run
from src.core.console import (
    PROJECT,
    ConsoleHandler,
    console_logging,
    is_console_logging,
    print_json,
    printable_console,
)
from src.core.workers import map_in_processes
from src.i18n.shown_values import printable
from tests.support.limits import HANG_S

ROOT = Path(__file__).resolve().parents[2]
logger = logging.getLogger(f"{PROJECT}.some.module")


@pytest.fixture
def console():
    """Instead of the one that every other test has: no handler."""


def log_all() -> None:
    logger.debug("debugging")
    logger.info("100%% %s", "done")
    logger.warning("careful")
    logger.error("failed")


def test_information_is_printed_and_warnings_go_to_stderr(capsys):
    with console_logging():
        log_all()
    assert capsys.readouterr() == ("100% done\n", "careful\nfailed\n")


def test_a_command_logs_to_its_console(capsys):
    with pytest.raises(SystemExit) as end:
        run(log_all)
    assert end.value.code == 0
    assert capsys.readouterr() == ("100% done\n", "careful\nfailed\n")


def test_lines_are_not_doubled_and_the_console_is_as_before_afterwards(capsys):
    assert PROJECT == "src"
    project = logging.getLogger(PROJECT)
    before = project.handlers[:], project.level
    with console_logging():
        with console_logging():
            logger.info("inner")
        logger.info("outer")
        assert sum(isinstance(handler, ConsoleHandler) for handler in project.handlers) == 1
    assert (project.handlers, project.level) == before and not is_console_logging()
    with pytest.raises(ValueError), console_logging():
        raise ValueError
    assert not is_console_logging()
    assert capsys.readouterr().out == "inner\nouter\n"


def test_other_libraries_are_not_printed(capsys):
    with console_logging():
        logging.getLogger("another.library").info("its business")
    assert capsys.readouterr() == ("", "")


def run_code(code: str, **options) -> subprocess.CompletedProcess:
    setup = "import logging\nfrom src.core.cli import run\nlogger = logging.getLogger('src.x')\n"
    return subprocess.run(
        [sys.executable, "-c", setup + code], cwd=ROOT, check=False, text=True, timeout=HANG_S,
        stderr=subprocess.PIPE, env=os.environ | {"LIPSYNC_LANG": "en"}, **options,
    )  # fmt: skip


def test_a_library_prints_warnings_only():
    done = run_code("logger.info('a')\nlogger.warning('b')\n", stdout=subprocess.PIPE)
    assert (done.stdout, done.stderr) == ("", "b\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_full_disk_under_what_is_logged_is_one_line(lines):
    code = f"def main():\n    for _ in range({lines}): logger.info('line')\nrun(main)\n"
    with open("/dev/full", "w") as full:
        done = run_code(code, stdout=full)
    reason = os.strerror(errno.ENOSPC)
    assert (done.returncode, done.stderr) == (2, f"error: cannot write stdout: {reason}\n")


def test_a_closed_pipe_under_what_is_logged_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as pipe:
        done = run_code("run(lambda: logger.info('line'))\n", stdout=pipe)
    assert (done.returncode, done.stderr) == (1, "")


def log_job(context: None, job: int) -> int:
    logging.getLogger(f"{PROJECT}.worker").info("job %d", job)
    return job


def test_worker_processes_log_to_the_console_of_the_command(capfd):
    with console_logging():
        assert [result for _, result in map_in_processes(log_job, None, [1, 2], 1)] == [1, 2]
    assert sorted(capfd.readouterr().out.splitlines()) == ["job 1", "job 2"]
    assert [result for _, result in map_in_processes(log_job, None, [3], 1)] == [3]
    assert capfd.readouterr().out == ""


def test_file_names_cannot_command_the_terminal():
    code = (
        "import sys\n"
        "def main():\n"
        "    print('a\\x1b[31mb\\x07.mp4')\n"
        "    logger.warning('c\\x1b]0;title\\x07')\n"
        "    print('plain\\ttext\\n口播', end='')\n"
        "run(main)\n"
    )
    done = run_code(code, stdout=subprocess.PIPE, encoding="utf-8")
    assert done.stdout == "a\\x1b[31mb\\x07.mp4\nplain\ttext\n口播"
    assert done.stderr == "c\\x1b]0;title\\x07\n"


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_command_without_streams_writes_its_files_only(tmp_path, closed):
    """Nor is what is printed written into the next file that is opened."""
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from src.core.cli import run\n"
        "def main():\n"
        f"    with open({str(tmp_path / 'output')!r}, 'w') as file:\n"
        "        file.write('content')\n"
        "        file.flush()\n"
        "        print('printed', flush=True)\n"
        "        print('printed', file=sys.stderr, flush=True)\n"
        "    return 1\n"
        "run(main)\n"
    )
    command = f'exec "{sys.executable}" -c "$CODE" {closed}'
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env=os.environ | {"CODE": code}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (tmp_path / "output").read_text() == "content"
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_json_stays_json(capsys):
    values = {"video": "a\x1b\x7f\x9b口播\x85.mp4", "score": 0.5}
    with printable_console():
        print_json(values)
    out = capsys.readouterr().out
    assert json.loads(out) == values and "口播" in out and out == printable(out)
