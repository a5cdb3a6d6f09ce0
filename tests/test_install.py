"""The wheel: its content, and the command ``lipsync`` where nothing but the wheel is installed."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from src import __version__
from src.core.resources import resource_path
from tests.support.limits import HANG_S

ROOT = Path(__file__).resolve().parents[1]
BUILD_INPUTS = (
    "LICENSE", "MANIFEST.in", "README.md", "config.yaml", "docs", "pretrained", "pyproject.toml",
    "requirements.txt", "setup.py", "src", "tools",
)  # fmt: skip
SUBCOMMANDS = (
    "score", "correct", "present", "learn-presenter", "train-presenter", "process",
    "clean-offsets", "train", "evaluate", "serve",
)  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution of a copy: the checkout gets no build files."""
    copy = tmp_path_factory.mktemp("build") / "lipsync"
    copy.mkdir()
    for name in BUILD_INPUTS:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy / name)
    backend = "from setuptools import build_meta; build_meta.build_sdist('dist')"
    check_run([sys.executable, "-c", backend], cwd=copy)
    (source,) = (copy / "dist").glob("*.tar.gz")
    check_run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index",
         "--no-build-isolation", "-w", str(copy.parent), str(source)],
        cwd=copy.parent,
    )  # fmt: skip
    shutil.rmtree(copy)
    (built,) = copy.parent.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The folder of the executables of a new environment: the wheel, and the requirements from
    the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    windows = os.name == "nt"
    executables = folder / ("Scripts" if windows else "bin")
    check_run(
        [sys.executable, "-m", "pip", "--python", str(python_in(executables)), "install", "-q",
         "--no-deps", "--no-index", str(wheel)],
        cwd=folder,
    )  # fmt: skip
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / ("Lib/site-packages" if windows else f"lib/{version}/site-packages")
    (packages / "requirements.pth").write_text(
        "\n".join(sysconfig.get_path(kind) for kind in ("purelib", "platlib")), encoding="utf-8"
    )
    return executables


@pytest.fixture
def lipsync(environment, tmp_path):
    """Runs ``lipsync`` with these arguments in an empty folder: (status, stdout, stderr)."""

    def run(*arguments, language="en"):
        command = [environment / "lipsync", *arguments]
        done = run_outside(command, tmp_path, LIPSYNC_LANG=language)
        return done.returncode, done.stdout, done.stderr

    return run


def python_in(executables: Path) -> Path:
    return executables / ("python.exe" if os.name == "nt" else "python")


def run_outside(command, folder, **variables) -> subprocess.CompletedProcess:
    """Run a command in ``folder`` with nothing of the checkout on Python's path."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True,
        encoding="utf-8", timeout=HANG_S, env=inherited | {"PYTHONUTF8": "1"} | variables,
    )  # fmt: skip


def check_run(command, cwd) -> None:
    done = run_outside(command, cwd)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_wheel_holds_what_the_program_reads(wheel):
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        weights = archive.read("lipsync/resources/pretrained/best_model.pth")
        (name,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = message_from_string(archive.read(name).decode())
    assert weights == (ROOT / "pretrained/best_model.pth").read_bytes()
    modules = {
        f"lipsync/{path.relative_to(ROOT / 'src').as_posix()}"
        for path in (ROOT / "src").rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} - modules == {
        "lipsync/resources/tools/inference_example.py"
    }
    assert modules <= names
    assert {
        "lipsync/i18n/locale/zh_CN/LC_MESSAGES/lipsync.po",
        "lipsync/i18n/locale/zh_CN/LC_MESSAGES/lipsync.mo",
        "lipsync/report/presented.html",
        "lipsync/report/template.html",
        "lipsync/resources/config.yaml",
        "lipsync/resources/docs/result.schema.json",
    } <= names
    folders = {name.split("/")[0] for name in names}
    assert folders == {"lipsync", f"lipsync-{metadata['Version']}.dist-info"}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requirements = [line for line in lines if line and not line.startswith("#")]
    required = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert len(required) == len(requirements)


@pytest.mark.slow
def test_an_installed_lipsync_scores_a_clip_with_the_weights_of_the_wheel(
    lipsync, talking_clip, tmp_path
):
    from src.inference import LipSyncInference

    status, out, err = lipsync("score", talking_clip, "--device", "cpu", "--report", "report.html")
    assert status == 0, err
    engine = LipSyncInference(resource_path("pretrained/best_model.pth"), device="cpu")
    expected, _ = engine.compute_sync_score(talking_clip)
    score = re.search(r"^sync score: (0\.\d{4})$", out, re.MULTILINE)
    assert score and float(score[1]) == pytest.approx(expected, abs=2e-3)
    assert "best_model.pth" in err and "resources" in err
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html"]


@pytest.mark.slow
def test_an_installed_lipsync_speaks_chinese(lipsync, talking_clip):
    status, out, err = lipsync("score", talking_clip, "--device", "cpu", language="zh")
    assert status == 0, err
    assert re.search(r"^同步分数: 0\.\d{4}$", out, re.MULTILINE)


@pytest.mark.slow
def test_help_and_version_of_an_installed_lipsync(lipsync):
    status, out, err = lipsync("--help")
    assert (status, err) == (0, "")
    assert all(f"\n  {name} " in out for name in SUBCOMMANDS)
    assert lipsync("--version") == (0, f"lipsync {__version__}\n", "")


@pytest.mark.slow
def test_the_settings_of_the_wheel_are_the_defaults(lipsync):
    """Without data, the step ends in one line that names the folder of config.yaml."""
    status, _, err = lipsync("process")
    assert status == 2
    assert re.fullmatch(r"error: .*data[/\\]videos.*\n", err)


@pytest.mark.slow
def test_the_modules_are_importable_as_lipsync_only(environment, tmp_path):
    code = (
        "import importlib.util, lipsync.inference, lipsync.stream, lipsync.model\n"
        "from lipsync.core.resources import resource_path\n"
        "from lipsync.training.export import EXAMPLE\n"
        "assert importlib.util.find_spec('src') is None\n"
        "assert lipsync.inference.LipSyncInference.__module__ == 'lipsync.pipeline.engine'\n"
        "assert resource_path('config.yaml').is_file() and EXAMPLE.is_file()\n"
        "print(lipsync.__file__)"
    )
    done = run_outside([python_in(environment), "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(environment.parent)


# ------------------------------------------------------------------------ files of the project


def test_pyproject_names_every_package():
    """Without any import of what is installed: a package that is not named would be missing."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = set(re.findall(r'^    "(lipsync[.\w]*)",$', text, re.MULTILINE))
    folders = {path.parent.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("*.py")}
    assert named == {".".join(("lipsync", *folder.parts)) for folder in folders}


def test_no_module_of_the_package_imports_src_by_name():
    lines = [
        f"{path.name}: {line}"
        for path in (ROOT / "src").rglob("*.py")
        for line in re.findall(
            r"^\s*(?:from|import) src\b.*", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    ]
    assert lines == []


def test_the_ruff_of_pre_commit_is_that_of_the_tests():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (ruff,) = [repo for repo in hooks["repos"] if repo["repo"].endswith("/ruff-pre-commit")]
    requirements = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    (minor,) = re.findall(r"^ruff>=(\d+\.\d+),", requirements, re.MULTILINE)
    assert ruff["rev"].startswith(f"v{minor}.")


def test_ci_runs_make_test_on_the_first_and_last_python_and_scores_on_windows_and_macos():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    test, smoke = workflow["jobs"]["test"], workflow["jobs"]["smoke"]
    assert test["strategy"]["matrix"]["python"] == ["3.10", "3.13"]
    assert "make test" in commands_of(test)
    assert smoke["strategy"]["matrix"]["os"] == ["windows-latest", "macos-latest"]
    for command in ("pip install .", "setup_directories.py", "lipsync score", "tests/scoring"):
        assert command in commands_of(smoke)


def commands_of(job: dict) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_scripts_start_from_any_folder_by_the_same_lines():
    lines = (
        "\nif not __package__:  # started as a script\n"
        "    sys.path[0] = str(Path(__file__).resolve().parents[1])\n"
    )
    other = []
    for folder in ("src", "tools", "benchmarks"):
        expected = lines + '    __package__ = "src"\n\n' if folder == "src" else lines
        for path in (ROOT / folder).glob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "\n    run(main)\n" in text and expected not in text:
                other.append(path.name)
            assert text.count("sys.path") <= 1, path
    assert other == []
