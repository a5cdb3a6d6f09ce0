"""The Dockerfile, as far as it can be checked without building it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LINES = TEXT.replace("\\\n", " ").splitlines()


def copied() -> list[str]:
    """What is copied into the image."""
    return [name for line in LINES if line.startswith("COPY ") for name in line.split()[1:-1]]


def test_what_it_copies_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert len(copied()) > 8
    for name in copied():
        assert (ROOT / name).exists(), name
        assert name.partition("/")[0] not in ignored, name


def test_it_carries_what_the_package_is_built_from():
    resources = re.search(r"RESOURCES = \((.*?)\)", (ROOT / "setup.py").read_text(), re.S)[1]
    needed = [
        *re.findall(r'"([^"]+)"', resources),
        "pyproject.toml",
        "setup.py",
        "src",
        "README.md",
    ]
    for name in needed:
        assert any(name == path or name.startswith(path + "/") for path in copied()), name


def test_torch_comes_from_the_cpu_index_unless_it_is_asked_otherwise():
    assert "ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu" in LINES
    pattern = re.search(r"grep -E '([^']+)'", TEXT)[1]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = {line.partition("==")[0] for line in lines if re.match(pattern, line)}
    assert names == {"torch", "torchvision", "torchaudio"}


def test_it_runs_as_a_user_of_its_own_with_a_health_check():
    instructions = [line.split()[0] for line in LINES if re.match(r"[A-Z]+ ", line)]
    assert instructions.index("USER") < instructions.index("HEALTHCHECK")
    assert "USER lipsync" in LINES and LINES[-2:] == ['ENTRYPOINT ["lipsync"]', 'CMD ["--help"]']
