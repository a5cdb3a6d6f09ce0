"""The frames of all clips as one list."""

from dataclasses import replace

import numpy as np
import pytest

from src.presenter.footage import gather_footage, has_piece, speech_seconds
from src.presenter.quality import closed_threshold
from tests.support.made_presenters import footage_clip, presenter_of


def test_frames_of_all_clips_are_gathered():
    first = footage_clip(((0.0, 1.0), (2.0, 3.0)), seed=1)
    second = footage_clip(((0.4, 2.0),), seed=2)
    footage = gather_footage(presenter_of(first, second))
    assert footage.clip.tolist() == [0] * 50 + [1] * 40
    assert footage.run.tolist() == [0] * 25 + [1] * 25 + [0] * 40
    assert footage.time[[0, 25, 50]].tolist() == [0.0, 2.0, 0.4]
    assert np.flatnonzero(~footage.frames.follows).tolist() == [0, 25, 50]
    lengths = np.linalg.norm(footage.frames.embedding, axis=1)
    assert np.allclose(lengths, 1, atol=1e-6), "half precision on disk, length 1 here"
    assert footage.frames.embedding.dtype == np.float32
    assert np.array_equal(footage.frames.opening[50:], second.grid["opening"])
    assert np.array_equal(footage.frames.pose[:50], first.grid["pose"])


def test_a_clip_does_not_go_on_in_the_next_one():
    """Though their runs have one number, and their frames would continue."""
    clips = footage_clip(((0.0, 1.0),)), footage_clip(((1.0, 2.0),))
    footage = gather_footage(presenter_of(*clips))
    assert np.allclose(np.diff(footage.time), 1 / 25)
    assert np.flatnonzero(~footage.frames.follows).tolist() == [0, 25]


def test_frames_that_cannot_be_used_are_left_out():
    clip = footage_clip(((0.0, 1.0),))
    clip.grid["usable"][[3, 4, 10, 24]] = False
    footage = gather_footage(presenter_of(clip))
    assert np.rint(25 * footage.time).astype(int).tolist() == [
        n for n in range(25) if n not in (3, 4, 10, 24)
    ]
    gaps = footage.time[~footage.frames.follows] * 25
    assert np.rint(gaps).tolist() == [0, 5, 11], "what comes after a gap follows nothing"


def test_shut_lips_are_those_of_the_person():
    clips = [footage_clip(seed=1), footage_clip(seed=2)]
    for clip, rest in zip(clips, (1.0, 1.2), strict=True):
        clip.grid["opening"] = np.where(np.arange(50) % 3, 9.0, rest)
        clip.grid["usable"][40:] = False
    clips[0].grid["opening"][40:] = 100  # not usable: does not count
    footage = gather_footage(presenter_of(*clips))
    assert footage.frames.closed.tolist() == [n % 3 == 0 for n in range(40)] * 2
    usable = np.concatenate([clip.grid["opening"][:40] for clip in clips])
    assert footage.closed_below == pytest.approx(closed_threshold(usable))


def test_the_distance_of_mouths_is_their_difference_in_grey_values():
    """Of images of a few kinds, as mouths are; brightness does not count."""
    rng = np.random.default_rng(3)
    kinds = rng.normal(0, 20, (6, 20, 20))
    clip = footage_clip(((0.0, 4.0),))
    images = 128 + np.einsum("nk,kyx->nyx", rng.uniform(-0.7, 0.7, (100, 6)), kinds)
    clip.grid["mouth"] = np.clip(np.rint(images), 0, 255)
    mouth = gather_footage(presenter_of(clip)).frames.mouth
    flat = clip.grid["mouth"].reshape(100, -1).astype(float)
    flat -= flat.mean(1, keepdims=True)
    for a, b in rng.integers(0, 100, (40, 2)):
        true = np.sqrt(np.mean((flat[a] - flat[b]) ** 2))
        assert np.linalg.norm(mouth[a] - mouth[b]) == pytest.approx(true, rel=0.05, abs=0.2)
    brighter = replace(clip, grid=clip.grid.copy())
    brighter.grid["mouth"][7] = np.clip(brighter.grid["mouth"][7].astype(int) + 9, 0, 255)
    again = gather_footage(presenter_of(brighter)).frames.mouth
    assert np.linalg.norm(again[7] - again[8]) == pytest.approx(
        np.linalg.norm(mouth[7] - mouth[8]), rel=0.05
    )


def test_footage_without_three_frames_in_a_row_has_no_piece():
    clip = footage_clip(((0.0, 1.0),))
    assert has_piece(gather_footage(presenter_of(clip)))
    clip.grid["usable"][2::3] = False
    assert not has_piece(gather_footage(presenter_of(clip)))
    clip.grid["usable"][2] = True
    assert has_piece(gather_footage(presenter_of(clip)))


def test_speech_counts_where_the_face_is_usable():
    first, second = footage_clip(((0.0, 4.0),)), footage_clip(((0.0, 2.0),))
    first.grid["speech"][:25] = False
    second.grid["usable"][:25] = False
    assert speech_seconds(presenter_of(first, second)) == pytest.approx(3 + 1)
