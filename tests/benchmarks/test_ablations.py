"""The ablation table: its rows, and that results of different settings are never mixed."""

import re
import sys

import pytest

from benchmarks import ablations
from benchmarks.ablations import ROWS, check_settings, read_rows
from src.core.config import load_config
from src.core.errors import ConfigError
from tests.support.training_helpers import settings_for

pytest_plugins = ("tests.support.training_fixtures",)


def test_every_row_of_the_project_is_a_setting():
    common, rows = read_rows(ROWS)
    changed = {name: load_config(None, [*common, *settings]) for name, settings in rows.items()}
    plain = changed.pop("as it is")
    assert len(changed) > 8 and all(config != plain for config in changed.values())


@pytest.mark.parametrize(
    "text", ["", "all: []\n", "all: []\nrows: [a]\n", "rows: {a: []}\n", ": ["]
)
def test_an_invalid_table_is_reported(tmp_path, text):
    (tmp_path / "rows.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"rows\.yaml"):
        read_rows(tmp_path / "rows.yaml")


def test_a_table_without_rows(tmp_path):
    (tmp_path / "rows.yaml").write_text("all: []\nrows: {}\n")
    with pytest.raises(ConfigError, match="has no rows"):
        read_rows(tmp_path / "rows.yaml")


def test_a_folder_holds_one_kind_of_settings(tmp_path):
    check_settings(tmp_path, "a")
    check_settings(tmp_path, "a")
    with pytest.raises(ConfigError, match="made with other settings"):
        check_settings(tmp_path, "b")


def test_rows_are_trained_once_and_measured(corpus, tmp_path, monkeypatch, capfd):
    rows = tmp_path / "rows.yaml"
    rows.write_text("all: [training.num_epochs=2]\n"
                    "rows:\n  plain: []\n  batch: [training.negatives=batch]\n")  # fmt: skip
    settings = settings_for(corpus)
    drop = settings.index("training.num_epochs=16")
    del settings[drop - 1 : drop + 1]
    arguments = ["ablations.py", "--rows", str(rows), "--output", str(tmp_path / "out"), *settings]
    monkeypatch.setattr(sys, "argv", arguments)
    assert ablations.main() == 0
    stdout = capfd.readouterr().out
    assert re.search(r"^\| plain \| [\d.]+% \|", stdout, re.M) and "\n| batch | " in stdout
    assert "validation: 1 clip of 1 speaker" in stdout
    weights = tmp_path / "out" / "plain" / "best_model.pth"
    before = weights.stat().st_mtime_ns
    assert ablations.main() == 0
    assert weights.stat().st_mtime_ns == before
    assert stdout.splitlines()[-1] == capfd.readouterr().out.splitlines()[-1]
