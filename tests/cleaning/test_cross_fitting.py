"""Own offsets of drawn talkers that were put off by known amounts, found without being told."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from src.cleaning import cross_fitting
from src.cleaning.clip_offsets import median_by_speaker, read_found
from src.core.errors import DatasetError
from src.dataset.build import process_clips
from src.dataset.clips import find_clips
from src.dataset.index import INDEX_NAME, read_index, write_index
from src.dataset.samples import load_samples
from tests.support.training_helpers import (
    assert_one_line,
    call_script,
    config_of,
    run_script,
    settings_for,
)
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
    process_clips(config, find_clips(config.data))
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
    assert len(found) >= 0.7 * len(SHIFTS_MS), "the others are too short to tell"
    errors = np.array([found[name] - SHIFTS_MS[int(name)] for name in found])
    errors = np.abs(errors - np.median(errors))
    # Networks of eight short clips, not the same on every machine: found within 15 to 22 ms in the
    # median (as recorded they are 40 ms off), most within one frame or little more.
    recorded = np.abs(SHIFTS_MS - np.median(SHIFTS_MS))
    assert np.median(errors) <= 30 < np.median(recorded)
    assert np.percentile(errors, 70) <= 50 < np.percentile(recorded, 70)


def test_what_it_says_and_leaves_behind(cleaned):
    folder, said = cleaned
    left = {path.name for path in (folder / "processed" / "cleaning").iterdir()}
    assert {"offsets.csv", "offsets.png"} <= left
    assert len([name for name in left if name.startswith("round-")]) == 2 * 3
    assert not [name for name in left if name.endswith(".pth")], "they are large"
    found = read_found(folder / "processed" / "cleaning" / "offsets.csv")
    assert len(found) == len(SHIFTS_MS)
    assert "round 2, fold 3 of 3: training on" in said
    assert "half of them moved by less than" in said


def test_training_reads_the_clips_re_timed(cleaned):
    folder, _ = cleaned
    samples = load_samples(folder / "processed" / INDEX_NAME, config_of(settings_for(folder)).data)
    assert len({one.delay for one in samples}) > 4 and all(one.known for one in samples)


# --- going on, without training anything: what is trained and measured is counted


class Rehearsal:
    """Stands for training and measuring; an offset is ten times the number of its clip, counted
    from what the clips trained on take for zero."""

    def __init__(self, monkeypatch, fail_at: int | None = None):
        self.done, self.fail_at = [], fail_at
        monkeypatch.setattr(cross_fitting, "_trained", self.trained)
        monkeypatch.setattr(cross_fitting, "_measured", self.measured)

    def note(self, what: str) -> None:
        if len(self.done) == self.fail_at:
            raise KeyboardInterrupt
        self.done.append(what)

    def trained(self, config, device, path, earlier, fold, train):
        self.note(f"{path.stem[:14]} {'later' if earlier else 'first'}")
        path.write_bytes(b"weights")
        return median_by_speaker({one.id: one.offset_ms - number_of(one) for one in train}, train)

    def measured(self, model, train, held_out):
        assert not {one.speaker for one in train} & {one.speaker for one in held_out}
        self.note(f"measured {len(held_out)}")
        zero = model
        return [cross_fitting.Found(one.id, number_of(one) + zero, 1.0) for one in held_out]


def number_of(sample) -> float:
    """Ten times the number of a clip."""
    return 10.0 * int(sample.clip[-6:-4])


@pytest.fixture
def copied(talkers, tmp_path):
    shutil.copytree(talkers / "processed", tmp_path / "processed",
                    ignore=shutil.ignore_patterns("cleaning"))  # fmt: skip
    return config_of(settings_for(tmp_path, **CHANGES | {"cleaning.still_ms": 0.0}))


def offsets(config) -> dict[str, float]:
    records = read_index(Path(config.data.processed_dir) / INDEX_NAME)["samples"]
    return {record["clip"][-6:-4]: record["offset_ms"] for record in records}


@pytest.mark.parametrize("fail_at", [0, 1, 4, 7, 11])
def test_what_was_finished_is_not_done_again(copied, monkeypatch, fail_at):
    first = Rehearsal(monkeypatch, fail_at)
    before = offsets(copied)
    with pytest.raises(KeyboardInterrupt):
        cross_fitting.clean(copied)
    assert offsets(copied) == before, "the index changes at the end only"
    second = Rehearsal(monkeypatch)
    cross_fitting.clean(copied)
    measured = [what for what in first.done + second.done if what.startswith("measured")]
    assert len(measured) == 2 * 3
    middle = np.median([np.median([10 * n for n in range(12) if n % 3 == s]) for s in range(3)])
    expected = {f"{n:02d}": 10 * n - middle for n in range(12)}
    assert offsets(copied) == pytest.approx(expected, abs=0.3)  # tenths are rounded on the way
    third = Rehearsal(monkeypatch)
    cross_fitting.clean(copied)
    assert third.done == []


def test_more_rounds_begin_with_new_networks(copied, monkeypatch, tmp_path):
    Rehearsal(monkeypatch)
    cross_fitting.clean(copied)
    changes = CHANGES | {"cleaning.rounds": 3, "cleaning.still_ms": 0.0}
    again = Rehearsal(monkeypatch)
    cross_fitting.clean(config_of(settings_for(tmp_path, **changes)))
    assert len(again.done) == 6 and all(what.endswith("first") for what in again.done[::2])


def test_other_samples_or_settings_begin_anew(copied, monkeypatch, tmp_path):
    Rehearsal(monkeypatch)
    cross_fitting.clean(copied)
    other = config_of(settings_for(tmp_path, **CHANGES | {"training.learning_rate": 0.01}))
    assert_all_anew(other, monkeypatch)
    index = tmp_path / "processed" / INDEX_NAME
    content = read_index(index)
    record = content["samples"][0]
    new = record["file"].replace(".npy", "x.npy")
    shutil.copy(index.parent / record["file"], index.parent / new)
    record["file"] = new
    write_index(index, content["settings"], content["samples"])
    assert_all_anew(other, monkeypatch)


def assert_all_anew(config, monkeypatch) -> None:
    rehearsal = Rehearsal(monkeypatch)
    cross_fitting.clean(config)
    assert len(rehearsal.done) >= 6


def test_nothing_found_leaves_the_index_as_it_is(copied, monkeypatch):
    Rehearsal(monkeypatch)
    monkeypatch.setattr(
        cross_fitting, "_measured",
        lambda model, train, held_out: [cross_fitting.Found(o.id, None, 0.0) for o in held_out],
    )  # fmt: skip
    before = read_index(Path(copied.data.processed_dir) / INDEX_NAME)
    with pytest.raises(DatasetError, match="no sample shows where it is in sync"):
        cross_fitting.clean(copied)
    assert read_index(Path(copied.data.processed_dir) / INDEX_NAME) == before


def test_too_few_speakers_are_one_line(talkers):
    done = call_script("src/clean_offsets.py", *settings_for(talkers, **{"cleaning.folds": 4}))
    assert_one_line(done, "3 speakers")
