"""The lists of packages agree with each other."""

import re
from pathlib import Path

from packaging.specifiers import SpecifierSet

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
