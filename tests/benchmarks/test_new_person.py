"""Which clips of a person are trained on, and which are measured; what trainings begin with."""

from pathlib import Path

import pytest
import torch

from benchmarks import new_person
from benchmarks.new_person import clips_of
from src.checkpoints.checkpoint import PRETRAINED, load_trained
from src.core.config import load_config
from src.core.errors import DatasetError
from src.dataset.samples import Sample
from src.training.state import AverageMeter


def sample(clip: str, shot: int = 0, known: bool = True, length: int = 50) -> Sample:
    return Sample(f"{clip}#{shot}", clip, clip.split("/")[0], clip, Path(), length, 0.0, known)


OWN = [sample(f"s1/{n}.mp4", shot) for n in range(6) for shot in range(2)]
OTHERS = [sample(f"s1{n}/0.mp4") for n in range(4)]


def test_shots_of_a_clip_stay_together():
    few, rest = clips_of([*OTHERS, *OWN], "s1", 4)
    assert len(few) == 8 and len(rest) == 4
    assert {one.speaker for one in few + rest} == {"s1"}, "the whole name, where there is one"
    assert not {one.clip for one in few} & {one.clip for one in rest}


def test_a_part_of_a_name_is_enough():
    assert len(clips_of([sample("anna_b/1.mp4"), sample("anna_b/2.mp4")], "anna", 1)[0]) == 1


def test_clips_without_a_known_offset_or_too_short_are_left_out():
    samples = [*OWN, sample("s1/8.mp4", known=False), sample("s1/9.mp4", length=3)]
    few, rest = clips_of(samples, "s1", 4)
    assert {one.clip for one in few + rest} == {one.clip for one in OWN}


@pytest.mark.parametrize(("person", "clips"), [("nobody", 2), ("s", 2), ("s1", 6), ("s1", 0)])
def test_who_cannot_be_measured_is_told(person, clips):
    with pytest.raises(DatasetError, match=person):
        clips_of([*OTHERS, *OWN], person, clips)


def test_trainings_begin_with_the_pretrained_networks_or_with_nothing(monkeypatch):
    """However many networks the file holds, and whatever the settings say of one."""
    monkeypatch.setattr(new_person, "train_epoch", lambda state: AverageMeter(1.0, 1, 2))
    config, device = load_config(None, ["training.num_epochs=1"]), torch.device("cpu")
    begun = new_person.trained_on(config, OWN, device, PRETRAINED).state_dict()
    pretrained = load_trained(PRETRAINED, device).model.state_dict()
    assert begun.keys() == pretrained.keys()
    assert all(torch.equal(tensor, pretrained[name]) for name, tensor in begun.items())
    nothing = new_person.trained_on(config, OWN, device, None).state_dict()
    assert not any("members" in name for name in nothing)
