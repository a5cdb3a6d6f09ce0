"""The comparison runs from training to its table, and does nothing twice."""

import json

import pytest

from benchmarks import baselines
from src.core.errors import ConfigError
from tests.support.training_helpers import settings_for

pytest_plugins = ("tests.support.training_fixtures",)


def test_the_table(corpus, tmp_path, monkeypatch, capsys):
    kept = {name: baselines.NETWORKS[name] for name in ("ours", "SyncNet, ¼ of the channels")}
    monkeypatch.setattr(baselines, "NETWORKS", kept)
    monkeypatch.setattr(baselines, "UNTRAINED", {})
    monkeypatch.setattr(baselines, "CLIP_FRAMES", 20)
    index = corpus / "processed" / "dataset_index.pkl"
    command = ["baselines.py", *settings_for(corpus), "--index", str(index), "--minutes", "0.03",
               "--output", str(tmp_path / "out")]  # fmt: skip
    monkeypatch.setattr("sys.argv", command)
    assert baselines.main() == 0
    said = capsys.readouterr().out
    rows = [line for line in said.splitlines() if line.startswith("| ")]
    assert len(rows) == 3 and rows[1].startswith("| ours") and "%" in rows[1]
    for name in ("ours", "SyncNet-¼_of_the_channels"):
        found = json.loads((tmp_path / "out" / f"{name}.json").read_text(encoding="utf-8"))
        assert found["frames"] > 0 and found["figures"]["K = 5"]["value"] is not None
    monkeypatch.setattr(baselines, "train", None)
    assert baselines.main() == 0  # what is there is only shown
    monkeypatch.setattr("sys.argv", [*command, "--rows", "ours"])
    capsys.readouterr()
    assert baselines.main() == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(shown) == 2 and shown[1].startswith("| ours |")
    monkeypatch.setattr("sys.argv", [*command, "--minutes", "0.2"])
    with pytest.raises(ConfigError, match="other settings"):
        baselines.main()
    monkeypatch.setattr("sys.argv", [*command, "--minutes", "0"])
    with pytest.raises(SystemExit):
        baselines.main()
