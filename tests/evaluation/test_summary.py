"""The command that evaluates, on a model that knows one drawn talker."""

import json
import re
import shutil

import cv2
import pytest

from src import evaluate
from src.dataset.index import INDEX_NAME, read_index, write_index
from src.evaluation import protocol
from tests.support.training_helpers import assert_one_line, run_script

pytest_plugins = ("tests.support.training_fixtures",)


@pytest.fixture
def evaluated(monkeypatch, capsys):
    """``evaluated(*arguments)`` runs the command here: what it printed."""

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["evaluate.py", *map(str, arguments)])
        assert evaluate.main() == 0
        return capsys.readouterr().out

    return call


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr(protocol, "DRAWS", 20)


def test_figures_of_a_model_that_knows_its_talker(evaluated, corpus, trained, tmp_path):
    index = corpus / "processed" / INDEX_NAME
    out = evaluated("--checkpoint", trained, "--index", index, "--json", "--device", "cpu",
                    "--output", tmp_path / "new" / "pictures")  # fmt: skip
    summary = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    figures = {name: figure["value"] for name, figure in summary["figures"].items()}
    assert summary["clips"] == 14 and not summary["offsets_known"]
    assert summary["speakers"] == 14, "nobody is named"
    assert figures["K = 15"] > 0.8 and figures["whole clip"] > 0.9
    assert figures["K = 5"] <= figures["K = 15"] <= 1
    assert figures["median error ms"] < 15
    assert figures["AUC shifted 1 s"] > 0.9
    assert figures["AUC foreign 1 s"] > 0.8
    assert summary["places"]["K = 5"]["counted"] > 100
    assert summary["without_a_known_offset"]["clips"] == 0
    for name in ("accuracy", "reliability", "errors"):
        assert cv2.imread(str(tmp_path / "new" / "pictures" / f"{name}.png")).shape[0] > 300


def test_the_table_a_person_reads(evaluated, corpus, trained, speaks):
    index = corpus / "processed" / INDEX_NAME
    out = evaluated("--checkpoint", trained, "--index", index, "--device", "cpu")
    assert re.search(r"^14 clips of 14 speakers", out)
    assert re.search(r"^K = 15 +\d+\.\d% .*of \d+ places, \d+ silent$", out, re.M)
    assert "no clip's own offset is known: 0 is taken for the truth" in out
    assert re.search(r"^by source +clips", out, re.M)
    speaks("zh")
    out = evaluated("--checkpoint", trained, "--index", index, "--device", "cpu")
    assert re.search(r"^14 个片段", out) and "按来源" in out


def test_own_offsets_of_the_index_are_the_truth(evaluated, corpus, trained, tmp_path):
    """Said to be 200 ms off, the same clips are found wrong; those not known are told apart."""
    shutil.copytree(corpus / "processed", tmp_path / "processed")
    index = tmp_path / "processed" / INDEX_NAME
    content = read_index(index)
    for number, record in enumerate(content["samples"]):
        record["offset_known"] = number >= 4
        record["offset_ms"] = 200.0 if number >= 4 else 0.0
    write_index(index, content["settings"], content["samples"])
    out = evaluated("--checkpoint", trained, "--index", index, "--device", "cpu", "--json")
    summary = json.loads(out)
    assert summary["clips"] == 10 and summary["offsets_known"]
    assert summary["figures"]["whole clip"]["value"] < 0.1
    assert summary["without_a_known_offset"]["clips"] == 4
    assert summary["without_a_known_offset"]["whole clip"] > 0.8


def test_a_missing_index_is_one_line(trained, tmp_path):
    none = tmp_path / "none.pkl"
    done = run_script("src/evaluate.py", "--checkpoint", trained, "--index", none)
    assert_one_line(done, str(none))
