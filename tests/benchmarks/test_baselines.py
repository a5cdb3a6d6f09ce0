"""The comparison runs from training to its table, and does nothing twice."""

import json

import pytest

from benchmarks import baselines
from tests.training_helpers import settings_for

pytest_plugins = ("tests.training_fixtures",)


def test_the_table(corpus, tmp_path, monkeypatch, capsys):
    kept = {name: baselines.NETWORKS[name] for name in ("ours", "SyncNet, ¼ of the channels")}
    monkeypatch.setattr(baselines, "NETWORKS", kept)
    monkeypatch.setattr(baselines, "UNTRAINED", {})
    monkeypatch.setattr(baselines, "CLIP_FRAMES", 20)
    index = corpus / "processed" / "dataset_index.pkl"
    command = ["baselines.py", *settings_for(corpus), "--index", str(index), "--minutes", "0.1",
               "--output", str(tmp_path / "out")]  # fmt: skip
    monkeypatch.setattr("sys.argv", command)
    assert baselines.main() == 0
    said = capsys.readouterr().out
    rows = [line for line in said.splitlines() if line.startswith("| ")]
    assert len(rows) == 3 and rows[1].startswith("| ours") and "%" in rows[1]
    for number in range(2):
        found = json.loads((tmp_path / "out" / f"network-{number}.json").read_text())
        assert found["frames"] > 0 and found["figures"]["K = 5"]["value"] is not None
    monkeypatch.setattr(baselines, "train", pytest.fail)
    assert baselines.main() == 0  # what is there is only shown
