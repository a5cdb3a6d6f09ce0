"""The footage that is chosen: compared with an exhaustive search, and with what was built in."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from src.presenter import selection
from src.presenter.selection import (
    MIN_PIECE,
    FootageFrames,
    SelectionWeights,
    SpeechFrames,
    choose_frames,
)
from tests.support.simulated_evidence import unit

WEIGHTS = SelectionWeights()


def make_footage(runs: list[int], seed: int = 0, dim: int = 12, smooth: bool = False):
    """Random footage of so many frames in each stretch."""
    rng = np.random.default_rng(seed)
    n_frames = sum(runs)
    follows = np.ones(n_frames, bool)
    follows[np.cumsum([0, *runs[:-1]])] = False
    embedding = rng.normal(0, 1, (n_frames, dim))
    if smooth:
        embedding = embedding + np.roll(embedding, 1, 0) + np.roll(embedding, 2, 0)
    opening = rng.uniform(0, 12, n_frames).astype(np.float32)
    return FootageFrames(
        embedding=unit(embedding),
        follows=follows,
        pose=rng.normal(48, 2, (n_frames, 4)).astype(np.float32),
        opening=opening,
        mouth=rng.normal(0, 6, (n_frames, 5)).astype(np.float32),
        closed=opening < 3,
        look=rng.uniform(120, 150, (n_frames, 3)).astype(np.float32),
    )


def make_speech(
    n_frames: int, footage: FootageFrames, seed: int = 1, silent=(), closures=()
) -> SpeechFrames:
    """Random speech.

    Args:
        silent: frames in which the lips must be shut.
        closures: frames in which a sound shuts them.
    """
    rng = np.random.default_rng(seed)
    embedding = unit(rng.normal(0, 1, (n_frames, footage.embedding.shape[1])))
    closed, closure = np.zeros((2, n_frames), bool)
    closed[list(silent)] = closure[list(closures)] = True
    embedding[closed] = 0
    pose = rng.normal(48, 3, (n_frames, footage.pose.shape[1])).astype(np.float32)
    return SpeechFrames(embedding, pose, closed, closure)


def speech_of(footage: FootageFrames, path: np.ndarray) -> SpeechFrames:
    """Speech for which a known path of footage frames is the answer."""
    nowhere = np.zeros(len(path), bool)
    return SpeechFrames(footage.embedding[path], footage.pose[path], nowhere, nowhere)


# ---------------------------------------------------------------------------- exhaustive search


def frame_cost(footage, speech, weights, t: int, n: int) -> float:
    cost = 1 - float(speech.embedding[t].astype(float) @ footage.embedding[n])
    difference = speech.pose[t].astype(float) - footage.pose[n]
    if not np.isnan(difference).any():
        points = difference.reshape(-1, 2)
        distance = np.sqrt((points**2).sum(1).mean())
        cost += weights.pose * max(0, distance - selection.POSE_FREE) ** 2
    if speech.closure[t] and not footage.closed[n]:
        cost += weights.closure
    if speech.closed[t]:
        cost += 0.1 * footage.opening[n] if footage.closed[n] else 1 + 0.2 * footage.opening[n]
    return cost


def join_cost(footage, weights, before: int, after: int) -> float:
    n_frames = len(footage.follows)
    goes_on = before + 1 < n_frames and footage.follows[before + 1]
    expected = footage.mouth[before + 1 if goes_on else before].astype(float)
    distance = np.linalg.norm(expected - footage.mouth[after])
    return weights.join + weights.join_distance * distance


def path_cost(footage, speech, weights, path) -> float:
    """Of chosen frames; the shortest reading of them that is allowed."""
    assert min(path) >= 0
    cost = frame_cost(footage, speech, weights, 0, path[0])
    age = MIN_PIECE
    for t in range(1, len(path)):
        before, now = path[t - 1], path[t]
        if now == before + 1 and footage.follows[now]:
            age += 1
        elif now == before and speech.closed[t] and age >= MIN_PIECE:
            cost += weights.hold
        else:
            assert age >= MIN_PIECE, f"a piece of {age} frames before output frame {t}"
            cost += join_cost(footage, weights, before, now)
            age = 1
        cost += frame_cost(footage, speech, weights, t, now)
    return cost


def cheapest(footage, speech, weights) -> float:
    """The cost of the best path, over all of them, backwards and in double precision."""
    n_frames, last = len(footage.follows), len(speech.embedding) - 1

    @cache
    def rest(t: int, n: int, age: int) -> float:
        """From output frame ``t`` on, if it shows frame ``n`` of a piece of this age."""
        cost = frame_cost(footage, speech, weights, t, n)
        if t == last:
            return cost
        following = []
        if n + 1 < n_frames and footage.follows[n + 1]:
            following.append(rest(t + 1, n + 1, min(age + 1, MIN_PIECE)))
        if age == MIN_PIECE:
            if speech.closed[t + 1]:
                following.append(weights.hold + rest(t + 1, n, age))
            following += [
                join_cost(footage, weights, n, other) + rest(t + 1, other, 1)
                for other in range(n_frames)
            ]
        return cost + min(following, default=1e9)

    return min(rest(0, n, MIN_PIECE) for n in range(n_frames))


@pytest.mark.parametrize("seed", range(6))
def test_no_path_is_cheaper(seed):
    footage = make_footage([9, 4, 12, 3], seed)
    silent = range(6, 10) if seed % 2 else ()
    speech = make_speech(14, footage, 100 + seed, silent, (2, 5, 12))
    weights = SelectionWeights(join=0.2, join_distance=0.03)
    path = choose_frames(footage, speech, weights)
    assert path.shape == (14,) and path.dtype == np.int64
    assert path_cost(footage, speech, weights, path) == pytest.approx(
        cheapest(footage, speech, weights), abs=1e-4
    )


def test_every_weight_counts():
    """Each one alone changes what is chosen, and the choice is still the cheapest."""
    footage = make_footage([15, 15], 3)
    speech = make_speech(16, footage, 4, range(9, 13), (3, 5))
    base = SelectionWeights(pose=0, join=0.1, join_distance=0, closure=0, hold=0)
    plain = choose_frames(footage, speech, base)
    changes = {"pose": 0.5, "join": 3.0, "join_distance": 0.1, "closure": 2.0, "hold": 2.0}
    for name, value in changes.items():
        weights = replace(base, **{name: value})
        path = choose_frames(footage, speech, weights)
        assert not np.array_equal(path, plain), name
        assert path_cost(footage, speech, weights, path) == pytest.approx(
            cheapest(footage, speech, weights), abs=1e-4
        ), name


def test_where_the_base_has_no_face_any_pose_will_do():
    footage = make_footage([12, 12], 5)
    speech = make_speech(12, footage, 6)
    speech.pose[3:6] = np.nan
    path = choose_frames(footage, speech)
    assert path_cost(footage, speech, WEIGHTS, path) == pytest.approx(
        cheapest(footage, speech, WEIGHTS), abs=1e-4
    )


# ---------------------------------------------------------------------------- what was built in


def built_in_path() -> np.ndarray:
    """Pieces of 20, 15 and 30 frames of 600."""
    return np.concatenate([np.arange(40, 60), np.arange(333, 348), np.arange(120, 150)])


def test_the_pieces_that_fit_are_found():
    footage = make_footage([200, 200, 200], 7, dim=32)
    path = built_in_path()
    assert np.array_equal(choose_frames(footage, speech_of(footage, path)), path)


def test_noise_does_not_cut_pieces_up():
    footage = make_footage([200, 200, 200], 7, dim=32)
    path, rng = built_in_path(), np.random.default_rng(8)
    speech = speech_of(footage, path)
    noisy = unit(speech.embedding + 0.15 * rng.normal(0, 1, speech.embedding.shape))
    chosen = choose_frames(footage, replace(speech, embedding=noisy))
    assert (chosen == path).mean() > 0.95


@pytest.mark.parametrize("seed", range(3))
def test_pieces_are_not_shorter_than_three_frames(seed):
    """Except at both ends, which lie outside the output; many runs are hardly longer themselves."""
    rng = np.random.default_rng(seed)
    footage = make_footage([*rng.integers(3, 9, 60)], seed)
    speech = make_speech(120, footage, 50 + seed)
    path = choose_frames(footage, speech, SelectionWeights(join=0.0, join_distance=0.0))
    goes_on = (np.diff(path) == 1) & footage.follows[path[1:]]
    borders = np.flatnonzero(~goes_on) + 1
    assert len(borders) > 20, "joins are free here"
    assert np.diff(borders).min() >= MIN_PIECE


def test_frames_that_do_not_follow_each_other_are_not_played_as_if():
    """The end of a clip and the beginning of the next are a join, and cost one."""
    footage = make_footage([20, 20], 9)
    path = np.arange(10, 30)
    weights = SelectionWeights(join=1e6)
    chosen = choose_frames(footage, speech_of(footage, path[:10]), weights)
    assert np.array_equal(chosen, path[:10])
    speech = speech_of(footage, path)
    chosen = choose_frames(footage, speech, SelectionWeights(join=0.0, join_distance=0.0))
    assert np.array_equal(chosen, path)
    assert path_cost(footage, speech, SelectionWeights(), path) > 0.5


# ---------------------------------------------------------------------------- silence


def test_lips_are_shut_in_silence():
    footage = make_footage([150], 11)
    closed = np.zeros(150, bool)
    closed[60:75] = closed[100:130] = True
    opening = np.where(closed, 1.0, 8.0).astype(np.float32)
    footage = replace(footage, closed=closed, opening=opening)
    silent = [*range(30, 60), *range(90, 100)]
    speech = make_speech(130, footage, 12, silent)
    path = choose_frames(footage, speech)
    assert closed[path[silent]].all()
    assert not closed[path[:20]].all(), "but not in speech"


def test_a_short_stretch_with_shut_lips_is_held_through_a_long_silence():
    footage = make_footage([100], 13)
    closed = np.zeros(100, bool)
    closed[48:52] = True
    footage = replace(footage, closed=closed, opening=np.where(closed, 1, 9).astype(np.float32))
    speech = make_speech(60, footage, 14, range(60))
    path = choose_frames(footage, speech)
    assert closed[path].all()
    assert (np.diff(path) == 0).mean() > 0.5
    talking = make_speech(60, footage, 14)
    assert (np.diff(choose_frames(footage, talking)) != 0).all(), "speech is never held"


def test_sounds_shut_the_lips_where_it_costs_little():
    footage = make_footage([300], 27)
    speech = make_speech(100, footage, 28, closures=range(5, 100, 10))
    with_closures, without = (
        footage.closed[choose_frames(footage, speech, SelectionWeights(closure=value))]
        for value in (1.0, 0.0)
    )
    assert with_closures[5::10].mean() > max(0.8, without[5::10].mean() + 0.3)


def test_footage_without_shut_lips_takes_the_least_open():
    footage = make_footage([80], 15)
    footage = replace(footage, closed=np.zeros(80, bool))
    path = choose_frames(footage, make_speech(40, footage, 16, range(40)))
    assert footage.opening[path].mean() < np.percentile(footage.opening, 25)


# ---------------------------------------------------------------------------- size


def test_borders_of_blocks_leave_no_trace(monkeypatch):
    footage = make_footage([100, 90, 110], 17, dim=32, smooth=True)
    speech = make_speech(230, footage, 18, range(100, 120))
    whole = choose_frames(footage, speech)
    monkeypatch.setattr(selection, "BLOCK", 40)
    monkeypatch.setattr(selection, "LOOK_AHEAD", 60)
    in_blocks = choose_frames(footage, speech)
    assert np.array_equal(in_blocks, whole)
    path_cost(footage, speech, WEIGHTS, in_blocks)  # no piece is cut short at a border


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_pieces_go_on_over_borders_whatever_is_looked_ahead(monkeypatch, block):
    footage = make_footage([30, 30], 19)
    speech = make_speech(25, footage, 20, range(12, 17))
    monkeypatch.setattr(selection, "BLOCK", block)
    monkeypatch.setattr(selection, "LOOK_AHEAD", 3)
    path = choose_frames(footage, speech, SelectionWeights(join=0.05, join_distance=0))
    path_cost(footage, speech, WEIGHTS, path)  # checks the length of the pieces


def test_trying_few_joins_costs_little(monkeypatch):
    """What the pruning loses, on footage of which all joins can be tried too."""
    footage = make_footage([250, 200], 21, dim=24, smooth=True)
    speech = make_speech(80, footage, 22, range(40, 50))
    pruned = path_cost(footage, speech, WEIGHTS, choose_frames(footage, speech))
    monkeypatch.setattr(selection, "N_SOURCES", 450)
    monkeypatch.setattr(selection, "N_TARGETS", 450)
    complete = path_cost(footage, speech, WEIGHTS, choose_frames(footage, speech))
    assert complete <= pruned + 1e-3 and pruned < 1.02 * complete


def test_the_last_frames_of_a_run_are_no_places_to_go(monkeypatch):
    """They fit best here, but no piece of three frames begins there."""
    footage = make_footage([5] * 40, 29, dim=32)
    speech = make_speech(60, footage, 30)
    target = unit(speech.embedding.mean(0))
    is_last = np.arange(200) % 5 >= 3
    embedding = np.where(is_last[:, None], target, footage.embedding - target).astype(np.float32)
    footage = replace(footage, embedding=unit(embedding))
    monkeypatch.setattr(selection, "N_TARGETS", 10)
    speech = replace(speech, embedding=np.tile(target, (60, 1)))
    speech.pose[:] = np.nan
    path = choose_frames(footage, speech)
    path_cost(footage, speech, WEIGHTS, path)  # checks the length of the pieces


@pytest.mark.parametrize("n_frames", [1, 2, 3, 4])
def test_very_short_speech(n_frames):
    footage = make_footage([3, 5], 23)
    path = choose_frames(footage, make_speech(n_frames, footage, 24))
    assert len(path) == n_frames and (path >= 0).all() and (path < 8).all()


def test_the_shortest_footage_is_enough():
    footage = make_footage([MIN_PIECE], 25)
    path = choose_frames(footage, make_speech(20, footage, 26, range(8, 12)))
    assert len(path) == 20 and set(path) <= {0, 1, 2}


@pytest.mark.parametrize(("channels", "step"), [(slice(0, 2), 12), (slice(2, 3), 60)])
def test_a_mouth_of_another_colour_is_not_chosen_where_another_one_does_as_well(channels, step):
    """Two shots with the same frames; one has the lipstick, or the light, of the base."""
    footage = make_footage((30,))
    twice = {name: np.concatenate([value, value]) for name, value in vars(footage).items()}
    look = np.zeros((60, 3), np.float32) + 140
    look[30:, channels] += step
    twice = FootageFrames(**twice | {"look": look})
    asked = speech_of(footage, np.arange(5, 25))
    for base, first in ((59, 35), (0, 5)):
        speech = replace(asked, look=np.repeat(look[base : base + 1] + 1, 20, 0))
        assert choose_frames(twice, speech).tolist() == list(range(first, first + 20))
    unknown = replace(asked, look=np.full((20, 3), np.nan, np.float32))
    assert (choose_frames(twice, unknown) % 30).tolist() == list(range(5, 25))
