"""Which clips of a person are trained on and which are measured, and the initial weights."""

from pathlib import Path

import pytest
import torch

from benchmarks import new_person
from benchmarks.new_person import split_clips
from src.checkpoints.checkpoint import load_trained
from src.checkpoints.location import PRETRAINED
from src.core.config import load_config
from src.core.errors import DatasetError
from src.dataset.samples import Sample
from src.training.state import AverageMeter


def sample(clip: str, shot: int = 0, known: bool = True, length: int = 50) -> Sample:
    return Sample(f"{clip}#{shot}", clip, clip.split("/")[0], clip, Path(), length, 0.0, known)


CLIPS = [sample(f"s1/{n}.mp4", shot) for n in range(6) for shot in range(2)]
OTHER_CLIPS = [sample(f"s1{n}/0.mp4") for n in range(4)]


def test_shots_of_a_clip_stay_together():
    train, test = split_clips([*OTHER_CLIPS, *CLIPS], "s1", 4)
    assert len(train) == 8 and len(test) == 4
    assert {s.speaker for s in train + test} == {"s1"}, "the full name, where it exists"
    assert not {s.clip for s in train} & {s.clip for s in test}


def test_a_part_of_a_name_is_enough():
    assert len(split_clips([sample("anna_b/1.mp4"), sample("anna_b/2.mp4")], "anna", 1)[0]) == 1


def test_clips_without_a_known_offset_or_too_short_are_skipped():
    samples = [*CLIPS, sample("s1/8.mp4", known=False), sample("s1/9.mp4", length=3)]
    train, test = split_clips(samples, "s1", 4)
    assert {s.clip for s in train + test} == {s.clip for s in CLIPS}


@pytest.mark.parametrize(("person", "clips"), [("nobody", 2), ("s", 2), ("s1", 6), ("s1", 0)])
def test_a_person_that_cannot_be_measured_is_reported(person, clips):
    with pytest.raises(DatasetError, match=person):
        split_clips([*OTHER_CLIPS, *CLIPS], person, clips)


def test_networks_are_initialised_from_the_pretrained_weights_or_from_scratch(monkeypatch):
    """With the members of the file, whatever the settings are."""
    monkeypatch.setattr(new_person, "train_epoch", lambda state: AverageMeter(1.0, 1, 2))
    config, device = load_config(None, ["training.num_epochs=1"]), torch.device("cpu")
    fine_tuned = new_person.train_network(config, CLIPS, device, PRETRAINED).state_dict()
    pretrained = load_trained(PRETRAINED, device).model.state_dict()
    assert fine_tuned.keys() == pretrained.keys()
    assert all(torch.equal(tensor, pretrained[name]) for name, tensor in fine_tuned.items())
    from_scratch = new_person.train_network(config, CLIPS, device, None).state_dict()
    assert not any("members" in name for name in from_scratch)
