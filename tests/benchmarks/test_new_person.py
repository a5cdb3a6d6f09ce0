"""Which clips of a person are trained on, and which are measured."""

from pathlib import Path

import pytest

from benchmarks.new_person import clips_of
from src.errors import DatasetError
from src.samples import Sample


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
