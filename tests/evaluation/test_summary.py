"""The command that evaluates, on a model trained on one synthetic face."""

import json
import re
import shutil

import cv2
import pytest

from benchmarks import scoring
from src import evaluate
from src.core.errors import ConfigError
from src.dataset.index import INDEX_NAME, read_index, write_index
from src.evaluation import summary as summary_module
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
def _few_bootstrap_samples(monkeypatch):
    monkeypatch.setattr(summary_module, "BOOTSTRAP_SAMPLES", 20)


@pytest.mark.parametrize(
    ("script", "key"),
    [(evaluate, "data.detect_every=1"), (evaluate, "inference.max_offset_frames=20"),
     (scoring, "training.num_epochs=2")],
)  # fmt: skip
def test_a_setting_without_effect_is_refused(monkeypatch, script, key):
    """Before the checkpoint and the index are read."""
    options = ["--index", "none.pkl"] if script is evaluate else []
    monkeypatch.setattr("sys.argv", ["command", *options, "--set", key])
    with pytest.raises(ConfigError, match=rf"--set {key.partition('=')[0]}: has no effect here"):
        script.main()


def test_metrics_of_a_model_on_its_training_clips(evaluated, corpus, trained, tmp_path):
    index = corpus / "processed" / INDEX_NAME
    out = evaluated("--checkpoint", trained, "--index", index, "--json", "--device", "cpu",
                    "--output", tmp_path / "new" / "plots")  # fmt: skip
    summary = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    metrics = {name: metric["value"] for name, metric in summary["figures"].items()}
    assert summary["clips"] == 14 and not summary["offsets_known"]
    assert summary["speakers"] == 14, "no speaker is named"
    assert metrics["K = 15"] > 0.8 and metrics["whole clip"] > 0.9
    assert metrics["K = 5"] <= metrics["K = 15"] <= 1
    assert metrics["median error ms"] < 15
    assert metrics["AUC shifted 1 s"] > 0.9
    assert metrics["AUC foreign 1 s"] > 0.8
    assert summary["places"]["K = 5"]["counted"] > 100
    assert summary["without_a_known_offset"]["clips"] == 0
    for name in ("accuracy", "reliability", "errors"):
        assert cv2.imread(str(tmp_path / "new" / "plots" / f"{name}.png")).shape[0] > 300


def test_the_printed_table(evaluated, corpus, trained, speaks):
    index = corpus / "processed" / INDEX_NAME
    out = evaluated("--checkpoint", trained, "--index", index, "--device", "cpu")
    assert re.search(r"^14 clips of 14 speakers", out)
    assert re.search(r"^K = 15 +\d+\.\d% .*of \d+ positions, \d+ silent$", out, re.M)
    assert "no clip offset is known: 0 is taken as the ground truth" in out
    assert re.search(r"^by source +clips", out, re.M)
    speaks("zh")
    out = evaluated("--checkpoint", trained, "--index", index, "--device", "cpu")
    assert re.search(r"^14 位说话人的 14 个片段；", out) and "按来源" in out


def test_clip_offsets_of_the_index_are_the_ground_truth(evaluated, corpus, trained, tmp_path):
    """With a clip offset of 200 ms, the same clips are incorrect; unknown ones are separate."""
    shutil.copytree(corpus / "processed", tmp_path / "processed")
    index = tmp_path / "processed" / INDEX_NAME
    data = read_index(index)
    for number, record in enumerate(data["samples"]):
        record["offset_known"] = number >= 4
        record["offset_ms"] = 200.0 if number >= 4 else 0.0
    write_index(index, data["settings"], data["samples"])
    out = evaluated("--checkpoint", trained, "--index", index, "--device", "cpu", "--json")
    summary = json.loads(out)
    assert summary["clips"] == 10 and summary["offsets_known"]
    assert summary["figures"]["whole clip"]["value"] < 0.1
    assert summary["without_a_known_offset"]["clips"] == 4
    assert summary["without_a_known_offset"]["whole clip"] > 0.8


def test_a_missing_index_gives_one_line(trained, tmp_path):
    missing = tmp_path / "none.pkl"
    done = run_script("src/evaluate.py", "--checkpoint", trained, "--index", missing)
    assert_one_line(done, str(missing))
