"""The folder for Windows, file by file; nothing is downloaded."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from src.core.errors import LipSyncError
from tests.support.training_helpers import assert_one_line, call_script
from tools import portable_windows
from tools.portable_windows import LISTS, PROJECT, extract, make_folder, python_version
from tools.windows_packages import (
    LOCK,
    Packages,
    Pin,
    PipDownload,
    read_lock,
    read_requirements,
    requires,
    windows_markers,
)

ROOT = Path(__file__).resolve().parents[2]
MARKERS = windows_markers("3.11")


def make_zip(path: Path, files: dict[str, str | bytes]) -> Path:
    with ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_wheel(folder: Path, name: str, *needs: str, tag="py3-none-any", **files: str) -> Path:
    """A wheel of version 1.0 with one module; ``files``: more, with ``__`` for ``/``."""
    metadata = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0",
                          *(f"Requires-Dist: {text}" for text in needs), ""])  # fmt: skip
    more = {key.replace("__", "/"): text for key, text in files.items()}
    info = f"{name}-1.0.dist-info"
    wheel = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
    return make_zip(folder / f"{name}-1.0-{tag}.whl", {
        f"{name}/__init__.py": f"# {name}\n", f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel,
        f"{info}/RECORD": "", **more,
    })  # fmt: skip


@pytest.fixture
def python(tmp_path) -> Path:
    """What an embeddable Python of python.org consists of."""
    return make_zip(tmp_path / "python-3.11.9-embed-amd64.zip", {
        "python.exe": b"MZ", "python311.dll": b"MZ", "python311.zip": b"PK",
        "python311._pth": "python311.zip\r\n.\r\n\r\n#import site\r\n",
    })  # fmt: skip


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------------- packages


def test_the_version_for_the_system_is_taken_from_the_lock():
    pins = read_lock(
        "# a comment\n"
        "a==1.0 ; python_full_version < '3.11' \\\n    --hash=sha256:11\n"
        "A==2.0 ; python_full_version >= '3.11' \\\n    --hash=sha256:22 \\\n    --hash=sha256:33\n"
        "b==3 ; sys_platform == 'linux' \\\n    --hash=sha256:44\n"
    )
    taken = {name: [pin.version for pin in found
                    if pin.marker is None or pin.marker.evaluate(MARKERS)]
             for name, found in pins.items()}  # fmt: skip
    assert taken == {"a": ["2.0"], "b": []}
    assert pins["a"][1].hashes == ("sha256:22", "sha256:33")


def test_what_windows_needs_is_read_from_the_wheels(tmp_path):
    made = {
        "app": ('colors; sys_platform == "win32"', 'cuda>=1; platform_system == "Linux"',
                "Server[fast]>=1", 'tests; extra == "dev"', 'old; python_version < "3.11"'),
        "colors": (), "server": ('speed; extra == "fast"', 'more; extra == "all"', "app"),
        "speed": ("server[all]",), "more": (),
    }  # fmt: skip
    wheels = {name: make_wheel(tmp_path, name, *needs) for name, needs in made.items()}
    asked = []

    def fetch(pins):
        asked.append(sorted(pins))
        return {name: wheels[name] for name in pins}

    pins = {name: [Pin("1.0", None, ())] for name in (*made, "cuda", "tests", "old")}
    found = Packages(pins, MARKERS, fetch).wheels([Requirement("App>=0.5")])
    assert found == wheels
    assert asked == [["app"], ["colors", "server"], ["speed"], ["more"]]
    del pins["colors"]
    with pytest.raises(LipSyncError, match=r"requirements\.lock lacks colors"):
        Packages(pins, MARKERS, fetch).wheels([Requirement("app")])


def test_the_lock_of_the_project_has_all_that_the_page_names():
    own = read_lock(portable_windows.WINDOWS_LOCK)
    pins = read_lock((ROOT / LOCK).read_text(encoding="utf-8")) | own
    for python in ("3.10", "3.11", "3.12", "3.13"):
        markers = windows_markers(python)
        for requirement in read_requirements(ROOT / name for name in LISTS):
            (pin,) = [pin for pin in pins[requirement.name.lower()]
                      if pin.marker is None or pin.marker.evaluate(markers)]  # fmt: skip
            assert pin.version in requirement.specifier and pin.hashes
        (runtime,) = [pin for pin in own["msvc-runtime"] if pin.marker.evaluate(markers)]
        assert runtime.hashes


def test_pip_takes_wheels_for_windows_with_the_right_hash_and_names_what_is_missing(
    tmp_path, monkeypatch
):
    offered, folder = tmp_path / "offered", tmp_path / "wheels"
    offered.mkdir()
    folder.mkdir()
    good = make_wheel(offered, "good_one", "other", tag="cp311-cp311-win_amd64")
    linux = make_wheel(offered, "linux", tag="cp311-cp311-manylinux_2_17_x86_64")
    forged = make_wheel(offered, "forged")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(offered))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    def pin(path: Path) -> Pin:
        return Pin("1.0", None, ("sha256:" + hashlib.sha256(path.read_bytes()).hexdigest(),))

    fetch = PipDownload(folder, "3.11")
    assert fetch({"good-one": pin(good)}) == {"good-one": folder / good.name}
    assert [requirement.name for requirement in requires(folder / good.name)] == ["other"]
    with pytest.raises(LipSyncError, match=r"no wheel for Windows .* of forged==1\.0, linux==1\.0"):
        fetch({"forged": pin(good), "good-one": pin(good), "linux": pin(linux)})
    assert forged.exists() and names_in(folder) == {good.name}


# ---------------------------------------------------------------------------- the folder


@pytest.fixture
def made(tmp_path, python) -> Path:
    wheels = [
        make_wheel(tmp_path, "torch", **{"torch__include__ATen__long.h": "x",
                   "torch__lib__dnnl.lib": "x", "torch__lib__torch_cpu.dll": "x"}),
        make_wheel(tmp_path, "runtime", **{
            "runtime-1.0.data__data__msvcp140.dll": "x", "runtime-1.0.data__scripts__run.exe": "x",
            "runtime-1.0.data__platlib__runtime__core.pyd": "x",
            "runtime-1.0.data__headers__core.h": "x",
        }),
    ]  # fmt: skip
    folder = tmp_path / "lipsync-windows"
    folder.mkdir()
    make_folder(folder, python, wheels)
    return folder


def test_python_finds_the_program_and_the_packages_and_nothing_else(made):
    assert (made / "python/python311._pth").read_bytes() == (
        b"..\r\npython311.zip\r\n.\r\nLib\\site-packages\r\nimport site\r\n"
    )
    packages = "Lib/site-packages"
    assert names_in(made / "python") == {
        "python.exe", "python311.dll", "python311.zip", "python311._pth", "msvcp140.dll",
        f"{packages}/torch/__init__.py", f"{packages}/torch/lib/torch_cpu.dll",
        f"{packages}/runtime/__init__.py", f"{packages}/runtime/core.pyd",
        *(f"{packages}/{name}-1.0.dist-info/{file}" for name in ("torch", "runtime")
          for file in ("METADATA", "RECORD", "WHEEL")),
    }  # fmt: skip


def test_the_program_is_that_of_the_checkout(made):
    names = names_in(made)
    for name in PROJECT:
        files = [ROOT / name]
        if files[0].is_dir():
            files = [path for path in files[0].rglob("*") if path.is_file()]
        for path in files:
            place = path.relative_to(ROOT).as_posix()
            if "__pycache__" in place or "/." in place:
                continue
            assert place in names
            assert (made / place).stat().st_size == path.stat().st_size
    assert not [name for name in names if "__pycache__" in name]
    others = {name.split("/")[0] for name in names} - {*PROJECT, "python"}
    assert others == {"start.bat", "启动.bat", "README.txt", "说明.txt"}


def test_the_starters_are_what_the_command_line_of_windows_reads(made):
    plain, chinese = ((made / name).read_bytes() for name in ("start.bat", "启动.bat"))
    for content in (plain, chinese):
        assert content.isascii() and content.startswith(b"@echo off\r\nchcp 65001 >nul\r\n")
        assert content.count(b"\n") == content.count(b"\r\n") == len(content.splitlines())
        assert b'pushd "%~dp0"\r\n' in content
        assert b"\r\npython\\python.exe -X utf8 app.py %*\r\nif errorlevel 1 pause\r\n" in content
    assert set(chinese.splitlines()) - set(plain.splitlines()) == {b"set LIPSYNC_LANG=zh_CN"}
    for name, word in (("README.txt", "start.bat"), ("说明.txt", "启动.bat")):
        text = (made / name).read_bytes()
        assert text.startswith(b"\xef\xbb\xbf") and word in text.decode()
        assert text.count(b"\n") == text.count(b"\r\n")


def test_the_program_starts_with_the_path_that_python_will_have_there(made):
    """Isolated, with the folder first on its path: a script does not get its own folder."""
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    for script in ("app.py", "src/inference.py"):
        code = (
            f"import runpy, sys\nsys.path[:0] = [{str(made)!r}]\nsys.path += {packages!r}\n"
            f"sys.argv = [{script!r}, '--help']\nrunpy.run_path({script!r}, run_name='__main__')"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-c", code], cwd=made, capture_output=True, text=True
        )
        assert done.returncode == 0 and "--checkpoint" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["../out.py", "/out.py", "a/../../out.py", "C:/out.py"])
def test_no_archive_writes_outside_the_folder(tmp_path, name):
    archive = make_zip(tmp_path / "evil.whl", {name: "x"})
    with pytest.raises(LipSyncError, match=r"evil\.whl is not a usable archive"):
        extract(archive, lambda name: tmp_path / "folder" / name)
    assert names_in(tmp_path) == {"evil.whl"}


def test_what_is_no_embeddable_python_is_refused(tmp_path, python):
    assert python_version(python) == "3.11"
    text = tmp_path / "python.zip"
    text.write_text("no zip")
    for path in (text, make_zip(tmp_path / "other.zip", {"python.exe": b"MZ"})):
        with pytest.raises(LipSyncError, match="is not an embeddable Python"):
            python_version(path)


# ---------------------------------------------------------------------------- the command


@pytest.fixture
def command(tmp_path, python, monkeypatch):
    """Runs the command with one package; a second argument is raised instead of finding it."""

    def run(*arguments, error=None):
        def find(folder, version):
            assert version == "3.11"
            if error:
                raise error
            return [make_wheel(folder, "one")]

        monkeypatch.setattr(portable_windows, "find_wheels", find)
        return call_script("tools/portable_windows.py", *arguments)

    return run


def test_the_command_writes_the_folder_and_its_zip(command, python, tmp_path):
    output = tmp_path / "dist" / "lipsync-windows"
    done = command("--output", output, "--python", python, "--zip")
    assert done.returncode == 0, done.stderr
    assert f"{output}: 1 packages, " in done.stdout
    with ZipFile(output.with_name("lipsync-windows.zip")) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {f"lipsync-windows/{name}" for name in names_in(output)}
        assert "lipsync-windows/启动.bat" in archive.namelist()
    assert {path.name for path in output.parent.iterdir()} == {output.name, f"{output.name}.zip"}
    again = command("--output", output, "--python", python)
    assert_one_line(again, str(output), "exists")


def test_nothing_stays_of_a_folder_that_could_not_be_made(command, python, tmp_path):
    output = tmp_path / "dist" / "lipsync-windows"
    for error in (LipSyncError("no wheel"), KeyboardInterrupt()):
        done = command("--output", output, "--python", python, error=error)
        assert done.returncode in (2, 130) and not any(output.parent.iterdir())
    assert_one_line(command("--output", output, "--python", tmp_path / "none.zip"), "none.zip")
    done = command("--output", output, "--python-url", "http://127.0.0.1:9/python.zip")
    assert_one_line(done, "http://127.0.0.1:9/python.zip", "give the file with --python")
    assert not any(output.parent.iterdir())
