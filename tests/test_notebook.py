"""``docs/four_steps.ipynb``: a valid notebook whose commands exist and take the options it gives.

Its steps are those of ``tools/demo.py``, which tests/tools/test_demo.py runs.
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = json.loads((ROOT / "docs" / "four_steps.ipynb").read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def commands() -> list[list[str]]:
    """The literal arguments of each call of ``python``."""
    calls = [
        node for text in CODE for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "python"
    ]  # fmt: skip
    return [
        [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        for call in calls
    ]


def test_it_is_a_valid_notebook_without_outputs():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(ids)) == len(ids) > 8
    for cell in NOTEBOOK["cells"]:
        required = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            required |= {"execution_count", "outputs"}
            assert cell["outputs"] == [] and cell["execution_count"] is None
        assert set(cell) == required


def test_it_runs_the_commands_of_the_demo_in_their_order():
    demo = (ROOT / "tools" / "demo.py").read_text(encoding="utf-8")
    scripts = [command[0] for command in commands()]
    order = [script for script in re.findall(r'"((?:src/|tools/)?\w+\.py)"', demo)
             if script in scripts]  # fmt: skip
    assert scripts == list(dict.fromkeys(order)) and len(scripts) == 5


@pytest.mark.parametrize("command", commands(), ids=lambda command: command[0])
def test_each_command_knows_its_options(command):
    shown = subprocess.run(
        [sys.executable, command[0], "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    for option in (part for part in command[1:] if part.startswith("--")):
        assert option in shown, option


def test_the_code_that_is_no_command_runs_here(monkeypatch, tmp_path):
    """The first cell, which every other one needs, in a folder like the checkout."""
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = {}
    exec(compile(CODE[0], "cell", "exec"), names)
    assert Path.cwd() == tmp_path and names["settings"]()[:2] == [
        "--set", "data.video_dir=data/demo/videos",
    ]  # fmt: skip
    names["python"]("-c", "open('ran', 'w').close()")
    assert (tmp_path / "ran").exists()
