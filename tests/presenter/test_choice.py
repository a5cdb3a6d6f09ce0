"""What the selection is asked for: speech, silence, the base's head, sounds that shut the lips."""

from pathlib import Path

import numpy as np
import pytest

from src.presenter import choice as choice_module
from src.presenter.base import BasePlan, plan_base
from src.presenter.choice import choose_mouths
from src.presenter.selection import SelectionWeights
from src.presenter.speech import Speech
from src.presenter.store import POSE_VALUES
from tests.support.made_presenters import DIM, base_video, footage_clip, footage_of, presenter_of

N_FRAMES = 60


@pytest.fixture
def footage():
    return footage_of(presenter_of(footage_clip(((0.0, 8.0),), seed=3)))


@pytest.fixture
def speech(footage) -> Speech:
    """That of footage frames 50 …; nobody speaks from frame 30 to 50."""
    embedding = footage.frames.embedding[50 : 50 + N_FRAMES].copy()
    has_speech = np.ones(N_FRAMES, bool)
    has_speech[30:50] = False
    return Speech(Path("a.wav"), N_FRAMES / 25, embedding, has_speech)


@pytest.fixture
def asked(monkeypatch):
    """What the selection is called with."""
    calls = []
    choose = choice_module.choose_frames

    def record(footage_frames, speech_frames, weights):
        calls.append(speech_frames)
        return choose(footage_frames, speech_frames, weights)

    monkeypatch.setattr(choice_module, "choose_frames", record)
    return calls


def test_the_frames_of_the_same_speech_are_chosen(footage, speech):
    base = base_video(np.arange(100) / 25, pose=np.full((100, POSE_VALUES), np.nan, np.float32))
    choice = choose_mouths(footage, speech, base, plan_base(base, speech.duration_s))
    assert choice.frames[:28].tolist() == list(range(50, 78))
    assert choice.frames.shape == choice.similarity.shape == choice.silent.shape == (N_FRAMES,)
    assert np.flatnonzero(choice.silent).tolist() == list(range(33, 47))
    assert np.isnan(choice.similarity[33:47]).all()
    assert np.allclose(choice.similarity[:28], 1, atol=1e-3), "a cosine"
    assert footage.frames.closed[choice.frames[34:46]].all()


def test_in_silence_no_sound_is_asked_for(footage, speech, asked):
    base = base_video(np.arange(100) / 25)
    choose_mouths(footage, speech, base, plan_base(base, speech.duration_s))
    assert not asked[0].embedding[33:47].any() and asked[0].embedding[:33].any(1).all()
    assert np.array_equal(asked[0].closed, speech.silent)
    assert asked[0].embedding.shape == (N_FRAMES, DIM) and not asked[0].closure.any()


@pytest.mark.parametrize("fps", [24000 / 1001, 25.0, 30.0, 60.0])
def test_the_pose_is_that_of_the_base_at_the_same_time(footage, speech, asked, fps):
    """Also where the base goes back, and at other frame rates than that of the grid."""
    times = np.arange(round(1.5 * fps)) / fps  # shorter than the speech
    pose = np.repeat(times[:, None], POSE_VALUES, 1).astype(np.float32)
    base = base_video(times, pose=pose)
    plan = plan_base(base, speech.duration_s)
    choose_mouths(footage, speech, base, plan)
    grid = np.arange(N_FRAMES) / 25
    nearest = np.abs(plan.times[:, None] - grid).min(0)
    for frame, time_s in enumerate(grid):
        shown = np.abs(plan.times - time_s) <= nearest[frame] + 1e-9
        assert asked[0].pose[frame, 0] in times[plan.numbers[shown]].astype(np.float32)


def test_a_still_base(footage, speech, asked):
    base = base_video(np.zeros(1), pose=np.full((1, POSE_VALUES), 51, np.float32))
    choose_mouths(footage, speech, base, BasePlan(np.zeros(1, int), np.zeros(1)))
    assert (asked[0].pose == 51).all()


def test_sounds_that_shut_the_lips(footage, speech, asked):
    base = base_video(np.arange(100) / 25)
    plan = plan_base(base, speech.duration_s)
    closures_s = np.array([[0.38, 0.46], [1.0, 1.04], [-0.3, -0.2], [9.0, 9.1]])
    choose_mouths(footage, speech, base, plan, closures_s)
    shut = np.flatnonzero(asked[0].closure).tolist()
    assert len(shut) == 2 and abs(shut[0] - 0.40 * 25) <= 0.5 and abs(shut[1] - 1.01 * 25) <= 0.5
    choose_mouths(footage, speech, base, plan, np.zeros((0, 2)), weights=SelectionWeights())
    assert not asked[1].closure.any()


def test_the_bases_own_mouth_of_the_moment_is_not_chosen(footage, speech):
    """The audio asks for the very frames that are under it: they would move as the base does."""
    base = base_video(np.arange(100) / 25, pose=np.full((100, POSE_VALUES), np.nan, np.float32))
    plan = BasePlan(np.arange(50, 50 + N_FRAMES) % 100, np.arange(N_FRAMES) / 25)
    free = choose_mouths(footage, speech, base, plan)
    assert free.frames[:28].tolist() == list(range(50, 78))
    frames = choose_mouths(footage, speech, base, plan, own_clip=0).frames
    apart = np.abs(footage.time[frames] - base.times[plan.numbers])
    assert apart.min() > choice_module.OWN_S - 0.03
    assert (choose_mouths(footage, speech, base, plan, own_clip=1).frames == free.frames).all()
