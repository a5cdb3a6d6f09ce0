"""The lists of packages agree with each other."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tools.windows_packages import read_lock

ROOT = Path(__file__).resolve().parents[1]
LINE = re.compile(r"([A-Za-z0-9_.-]+)(\[[a-z,]+\])?([<>=!~].*)")


def ranges(name: str) -> dict[str, str]:
    """Package -> range, of a file of requirements."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    texts = [line.partition("#")[0].strip() for line in lines]
    matches = [LINE.fullmatch(text) for text in texts if text and not text.startswith("-r")]
    return {match[1].lower(): match[3].strip() for match in matches}


def test_scoring_without_pytorch_uses_the_same_versions():
    every, few = ranges("requirements.txt"), ranges("requirements-infer.txt")
    assert len(few) > 15 and few.items() <= every.items()
    assert not {name for name in few if "torch" in name or name in ("face-alignment", "librosa")}


def test_the_lock_holds_a_version_and_hashes_of_every_package_that_is_required():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text  # no package host
    entries = re.findall(r"^([a-z0-9.-]+)==([^ ]+).*((?:\n    --hash=.*)+)", text, re.M)
    assert len(entries) > 200 and len(entries) == len(re.findall(r"^[a-z0-9]", text, re.M))
    locked: dict[str, list[str]] = {}
    for name, version, _ in entries:
        locked.setdefault(name, []).append(version)
    kinds = ("cluster", "dev", "editors", "service", "web")
    names = ("requirements.txt", *(f"requirements-{kind}.txt" for kind in kinds))
    required = {name: limits for file in names for name, limits in ranges(file).items()}
    assert len(required) > 35
    for name, limits in required.items():
        versions = locked[name.replace("_", "-")]
        assert all(version in SpecifierSet(limits) for version in versions), name


def commands_of(target: str) -> list[str]:
    """What make would run for a target after requirements.lock changed."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(["make", "-n", "-W", "requirements.lock", target], cwd=ROOT, text=True,
                          capture_output=True, check=True)  # fmt: skip
    return done.stdout.splitlines()


def test_make_setup_installs_the_lock_by_its_hashes():
    (install,) = [line for line in commands_of("setup") if " pip install " in line]
    assert install.endswith("--require-hashes -r requirements.lock")
    (latest,) = [line for line in commands_of("setup-latest") if " pip install " in line]
    assert latest.endswith("--upgrade -r requirements-dev.txt")


def sed_of_dockerfile() -> list[str]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "pip install -r requirements.txt -c versions.txt" in text
    return [re.search(r"RUN (sed .*) \\\n", text)[1]]


@pytest.mark.parametrize("commands", [lambda: commands_of("app"), sed_of_dockerfile])
def test_the_page_and_the_image_get_the_versions_of_the_lock(tmp_path, commands):
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    (write,) = [line for line in commands() if line.startswith("sed ")]
    (tmp_path / ".venv").mkdir()
    subprocess.run(["sh", "-c", write], cwd=tmp_path, check=True)
    (path,) = tmp_path.rglob("versions.txt")
    lines = [line.partition(";")[0].strip() for line in path.read_text().splitlines()]
    pins = read_lock((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    assert sorted(lines) == sorted(
        f"{name}=={pin.version}" for name, versions in pins.items() for pin in versions
    )
