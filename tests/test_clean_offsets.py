"""Own offsets of drawn talkers that were put off by known amounts, found without being told."""

import numpy as np
import pytest

from src import data_processing
from src.sample_index import INDEX_NAME, read_index
from tests.training_helpers import config_of, run_script, settings_for
from tools.synthetic_talker import make_clip

pytestmark = pytest.mark.slow

SHIFTS_MS = (-120, -80, -30, 0, 0, 0, 20, 50, 110, 0, -60, 70)
SECONDS = 4.0
CHANGES = {"cleaning.folds": 3, "cleaning.rounds": 2, "cleaning.epochs": 16}


@pytest.fixture(scope="module")
def talkers(tmp_path_factory):
    """Clips of three talkers, each put off by its own amount, processed."""
    folder = tmp_path_factory.mktemp("talkers")
    for number, shift_ms in enumerate(SHIFTS_MS):
        speaker = number % 3
        path = folder / "videos" / f"made__{speaker}" / f"{number:02d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        make_clip(path, 100 + number, SECONDS, shift_ms=shift_ms, speaker=speaker)
    config = config_of(settings_for(folder))
    data_processing.process(config, data_processing.find_clips(config.data))
    return folder


@pytest.fixture(scope="module")
def cleaned(talkers):
    done = run_script("src/clean_offsets.py", *settings_for(talkers, **CHANGES))
    assert done.returncode == 0, done.stderr
    return talkers, done.stdout


def test_the_offsets_are_found(cleaned):
    """Up to a zero that is common to all: the median over speakers."""
    folder, _ = cleaned
    records = read_index(folder / "processed" / INDEX_NAME)["samples"]
    found = {record["clip"][-6:-4]: record["offset_ms"] for record in records
             if record["offset_known"]}  # fmt: skip
    assert len(found) >= len(SHIFTS_MS) - 1
    errors = np.array([found[name] - SHIFTS_MS[int(name)] for name in found])
    assert np.median(np.abs(errors - np.median(errors))) <= 12
    assert np.percentile(np.abs(errors - np.median(errors)), 90) <= 40
