"""The lists of packages agree with each other."""

import re
from pathlib import Path

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
