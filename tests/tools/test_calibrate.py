"""Fitting a calibration again, to copies of the validation samples, too."""

import pytest
import torch

from src.checkpoints.checkpoint import load_checkpoint, load_trained, save_checkpoint
from src.dataset.index import INDEX_NAME, SAMPLES_FOLDER, read_index, write_index
from src.dataset.samples import load_samples
from src.dataset.splits import split_samples
from src.scoring.calibration import sync_probability
from src.scoring.clip_evidence import compute_evidence
from src.scoring.evidence import SEARCH_REACH, mean_curve
from src.training.loop import digest_splits
from tests.support.training_helpers import assert_one_line, call_script

pytest_plugins = ("tests.support.training_fixtures",)
CPU = torch.device("cpu")


def write_speakers(corpus, folder, speaker_of, shift_ms=0.0):
    """An index of the samples of the corpus, with other speakers and offsets."""
    index = read_index(corpus / "processed" / INDEX_NAME)
    records = [
        record | {
            "speaker": speaker_of(record),
            "offset_ms": (record.get("offset_ms") or 0.0) + shift_ms, "offset_known": True,
        }
        for record in index["samples"]
    ]  # fmt: skip
    folder.mkdir()
    (folder / SAMPLES_FOLDER).symlink_to(corpus / "processed" / SAMPLES_FOLDER)
    write_index(folder / INDEX_NAME, index["settings"], records)
    return folder / INDEX_NAME


@pytest.fixture
def by_speaker(corpus, trained, tmp_path):
    """(index, checkpoint, validation samples): each clip has a speaker of its own."""
    index = write_speakers(corpus, tmp_path / "own", lambda record: record["id"])
    content = load_checkpoint(trained)
    content["config"]["training"] |= {
        "split_by": "speaker", "train_split": 0.5, "val_split": 0.4, "test_split": 0.1,
    }  # fmt: skip
    path = tmp_path / "by_speaker.pth"
    save_checkpoint(path, content)
    config = load_trained(path, CPU).config
    splits = split_samples(load_samples(index, config.data, "speaker"), config.training)
    save_checkpoint(path, content | {"clips": digest_splits(*splits)})
    return index, path, splits[1]


def calibrate(*arguments):
    return call_script("tools/calibrate.py", *arguments)


def score_of(path, sample) -> float:
    """The sync score of a sample."""
    trained = load_trained(path, CPU)
    evidence = compute_evidence(trained.model, *sample.read(), SEARCH_REACH)
    return sync_probability(mean_curve([evidence.with_speech()]), trained.calibration)


def test_copies_of_validation_speakers_count(corpus, by_speaker, tmp_path):
    index, checkpoint, val = by_speaker
    scores = {}
    for name, shift_ms in (("right", 0.0), ("wrong", 400.0)):
        copies = write_speakers(corpus, tmp_path / name, lambda record: record["id"], shift_ms)
        output = tmp_path / f"{name}.pth"
        done = calibrate(checkpoint, "--index", index, "--copies", copies, "-o", output)
        assert done.returncode == 0, done.stderr
        n = len(val)
        assert n > 1  # the other samples are of training and test speakers
        assert f"fitted to {n} validation samples and {n} copies" in done.stdout
        scores[name] = score_of(output, val[0])
    # Copies with a wrong offset teach that a high similarity proves little.
    assert scores["wrong"] < scores["right"] - 0.05
    before, after = load_checkpoint(checkpoint), load_checkpoint(output)
    assert before.keys() == after.keys()
    for name, tensor in before["model_state_dict"].items():
        assert torch.equal(tensor, after["model_state_dict"][name])
    assert before["val_loss"] == after["val_loss"]


def test_nobody_of_the_validation(corpus, by_speaker, tmp_path):
    index, checkpoint, _ = by_speaker
    copies = write_speakers(corpus, tmp_path / "others", lambda record: "someone else")
    output = tmp_path / "new.pth"
    done = calibrate(checkpoint, "--index", index, "--copies", copies, "-o", output)
    assert_one_line(done, str(copies), "no samples of speakers who are in the validation only")
    assert not output.exists()


def test_a_speaker_of_training_and_validation_does_not_count(corpus, trained, tmp_path):
    """Split by clip, copies of training clips would be of validation speakers."""
    index = corpus / "processed" / INDEX_NAME
    done = calibrate(trained, "--index", index, "--copies", index, "-o", tmp_path / "new.pth")
    assert_one_line(done, "training.split_by=speaker")


def test_the_input_is_no_output(trained, corpus):
    before, index = trained.read_bytes(), corpus / "processed" / INDEX_NAME
    done = calibrate(trained, "--index", index, "--copies", index, "-o", trained)
    assert_one_line(done, "choose another name")
    assert trained.read_bytes() == before
