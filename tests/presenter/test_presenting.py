"""Which footage is refused and why, what would help, and what fitted badly."""

import numpy as np
import pytest

from src.core.errors import PresenterError
from src.presenter.choice import Choice
from src.presenter.judge import JudgeFigures
from src.presenter.presenting import Presented, check_footage, find_weak_spans
from tests.support.made_presenters import footage_clip, presenter_of


def clip_of(speech_s: float = 40.0, **changes):
    """A clip of 60 s with so much speech."""
    clip = footage_clip(((0.0, 60.0),), side=4, **changes)
    clip.grid["speech"][round(25 * speech_s) :] = False
    return clip


def refusal(*clips) -> str:
    with pytest.raises(PresenterError) as error:
        check_footage(presenter_of(*clips))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_good_footage_needs_no_advice():
    assert check_footage(presenter_of(clip_of())) == []
    assert check_footage(presenter_of(clip_of(), clip_of())) == []


@pytest.mark.parametrize(("changes", "words"), [
    ({"face_px": 45.0}, ("45 pixels wide", "at least 60")),
    ({"profile_share": 0.62}, ("turned away", "62%", "from the front")),
    ({"speech_s": 7.0}, ("only 7 s of speech", "at least 10 s", "30 s")),
    ({"offset_ms": None}, ("no clear correlation", "own voice")),
])  # fmt: skip
def test_footage_that_cannot_be_used_is_refused(changes, words):
    message = refusal(clip_of(**changes))
    assert all(word in message for word in words)


@pytest.mark.parametrize(("changes", "words"), [
    ({"face_px": 80.0}, ("80 pixels wide", "100")),
    ({"speech_s": 20.0}, ("only 20 s of speech", "30 s")),
    ({"closed_share": 0.01}, ("hardly ever shut", "15 s of silence")),
])  # fmt: skip
def test_footage_that_could_be_better_is_advised_on(changes, words):
    (advice,) = check_footage(presenter_of(clip_of(**changes)))
    assert all(word in advice for word in words) and "\n" not in advice


def test_clips_count_by_their_length():
    """A short clip of a small face does no harm, a long one does."""
    small, large = clip_of(face_px=30.0), clip_of(face_px=300.0)
    short = footage_clip(((0.0, 2.0),), side=4, face_px=30.0, profile_share=1.0)
    assert check_footage(presenter_of(short, short, large)) == []
    assert check_footage(presenter_of(small, large)) == []
    assert "pixels wide" in refusal(small, small, footage_clip(side=4, face_px=300.0))
    turned = clip_of(profile_share=0.9)
    assert "63%" in refusal(turned, turned, clip_of(profile_share=0.1))


def test_speech_of_all_clips_adds_up():
    assert "only 8 s" in refusal(clip_of(4.0), clip_of(4.0))
    assert check_footage(presenter_of(*[clip_of(8.0)] * 4)) == []


def test_a_clip_whose_offset_is_not_known_is_named():
    clips = clip_of(), clip_of(offset_ms=None, name="silent film.mp4")
    (advice,) = check_footage(presenter_of(*clips))
    assert advice.startswith("silent film.mp4")


# ---------------------------------------------------------------------------- weak spans


def choice_of(similarity: np.ndarray) -> Choice:
    n_frames = len(similarity)
    nowhere = np.zeros(n_frames, bool)
    return Choice(np.zeros(n_frames, int), np.float32(similarity), np.isnan(similarity), nowhere)


def test_stretches_without_good_frames_are_found():
    similarity = np.full(200, 0.5)
    similarity[50:75] = 0.1
    similarity[190:] = -0.2
    spans = find_weak_spans(choice_of(similarity))
    assert [(span.start_s, span.end_s) for span in spans] == [(2.0, 3.0), (7.6, 8.0)]


def test_short_stretches_and_silence_are_no_weak_spans():
    similarity = np.full(200, 0.5)
    similarity[20:29] = 0.0
    similarity[50:100] = np.nan
    assert find_weak_spans(choice_of(similarity)) == []
    assert find_weak_spans(choice_of(np.full(60, np.nan))) == []
    whole = find_weak_spans(choice_of(np.zeros(50)))
    assert [(span.start_s, span.end_s) for span in whole] == [(0.0, 2.0)]


# ---------------------------------------------------------------------------- figures


@pytest.mark.parametrize(("confidence", "real", "closeness"), [
    (4.0, 5.0, 0.8), (None, 5.0, None), (4.0, None, None), (4.0, 0.0, None),
])  # fmt: skip
def test_closeness_is_the_confidence_relative_to_real_footage(confidence, real, closeness):
    judged = JudgeFigures(confidence=confidence, offset_ms=0.0, in_sync=1.0, windows=9)
    presented = Presented(
        output="out.mp4", duration_s=9.0, frames=225, joins_per_s=1.0, judged=judged,
        real_confidence=real, weak_spans=[], warnings=[],
    )  # fmt: skip
    assert presented.closeness == closeness
    assert presented.model_copy(update={"judged": None}).closeness is None
