"""Chosen frames -> the mouth at any time: which footage is shown, and how joins are crossed."""

from dataclasses import replace

import numpy as np
import pytest

from src.presenter import mouth_track
from src.presenter.compose import Mouth
from src.presenter.mouth_track import MORPH_FRAMES, MouthTrack, Piece, count_joins, find_pieces
from tests.support.made_presenters import footage_clip, footage_of, presenter_of

FOLLOWS = np.array([False] + [True] * 49 + [False] + [True] * 49)  # two runs of 50 frames


# ---------------------------------------------------------------------------- pieces


@pytest.mark.parametrize(("chosen", "pieces", "joins"), [
    ([4, 5, 6, 7], [(0, 4, 4, 1)], 0),
    ([9, 9, 9], [(0, 3, 9, 0)], 0),
    ([4, 5, 6, 20, 21, 22], [(0, 3, 4, 1), (3, 6, 20, 1)], 1),
    ([4, 5, 5, 5, 6], [(0, 2, 4, 1), (2, 4, 5, 0), (4, 5, 6, 1)], 0),
    ([7, 7, 8, 9, 30, 31, 31], [(0, 2, 7, 0), (2, 4, 8, 1), (4, 6, 30, 1), (6, 7, 31, 1)], 1),
    ([6, 5, 4], [(0, 1, 6, 1), (1, 2, 5, 1), (2, 3, 4, 1)], 2),
    ([3], [(0, 1, 3, 1)], 0),
    ([48, 49, 50, 51], [(0, 2, 48, 1), (2, 4, 50, 1)], 1),  # of two runs
])  # fmt: skip
def test_pieces(chosen, pieces, joins):
    chosen = np.array(chosen)
    found = find_pieces(chosen, FOLLOWS)
    assert [(p.first, p.stop, p.source, p.rate) for p in found] == pieces
    assert count_joins(found, FOLLOWS) == joins


def test_pieces_say_again_what_was_chosen():
    rng = np.random.default_rng(2)
    for _ in range(200):
        steps = rng.choice([0, 1, 1, 1, 1, 7, -5], 40)
        chosen = np.abs(np.cumsum(steps) + 10) % 100
        pieces = find_pieces(chosen, FOLLOWS)
        said = [p.position(frame) for p in pieces for frame in range(p.first, p.stop)]
        assert said == chosen.tolist()
        assert [p.first for p in pieces[1:]] == [p.stop for p in pieces[:-1]]


def test_the_position_goes_on_around_a_piece():
    played, held = Piece(10, 14, 40, 1), Piece(10, 14, 40, 0)
    assert [played.position(f) for f in (8.5, 10, 12.25, 15)] == [38.5, 40, 42.25, 45]
    assert [held.position(f) for f in (8.5, 10, 12.25, 15)] == [40] * 4


# ---------------------------------------------------------------------------- times


def make_track(chosen, runs=((0.0, 2.0),), fps=25.0) -> MouthTrack:
    presenter = presenter_of(footage_clip(runs, fps))
    return MouthTrack(presenter, footage_of(presenter), np.array(chosen))


def row_at(track: MouthTrack, time_s: float) -> int:
    """The row of the crop that is shown (its luma)."""
    values = np.unique(track.at(time_s).crop[:4])
    assert len(values) == 1
    return int(values[0])


def test_at_the_times_of_the_grid_the_chosen_frames_are_shown():
    chosen = np.arange(7, 40)
    track = make_track(chosen)
    assert [row_at(track, k / 25) for k in range(len(chosen))] == chosen.tolist()


def test_between_the_frames_of_the_grid_faster_footage_shows_its_own():
    track = make_track(np.arange(10, 30), fps=50.0)
    assert [row_at(track, k / 50) for k in range(30)] == list(range(20, 50))


@pytest.mark.parametrize("fps", [24000 / 1001, 25.0, 30.0, 60.0])
def test_a_base_of_another_rate_shows_the_nearest_frame(fps):
    track = make_track(np.arange(5, 45))
    times = np.arange(int(1.5 * fps)) / fps
    rows = np.array([row_at(track, t) for t in times])
    assert np.abs(rows / 25 - (times + 5 / 25)).max() <= 0.5 / 25 + 1e-9
    assert (np.diff(rows) >= 0).all() and np.diff(rows).max() <= 2


def test_a_held_frame_stays():
    track = make_track([12] * 20)
    assert {row_at(track, t) for t in np.linspace(0, 0.8, 55)} == {12}


def test_after_the_end_and_before_the_beginning_the_outermost_frames_stay():
    track = make_track([3, 4, 5, 6])
    assert [row_at(track, t) for t in (-1.0, 0.0, 0.12, 0.13, 5.0)] == [3, 3, 6, 6, 6]


def test_at_the_end_of_a_run_its_last_frame_is_shown():
    """Not the first frame of the next run, which is later in the list."""
    track = make_track(list(range(15, 25)), runs=((0.0, 1.0), (3.0, 4.0)), fps=30.0)
    rows = [row_at(track, t) for t in np.linspace(0.3, 0.4, 20)]
    assert max(rows) == 29


def test_clips_do_not_share_frames():
    first, second = footage_clip(((0.0, 1.0),)), footage_clip(((0.0, 1.0),), seed=1)
    second.crops[:, :16] += 100
    presenter = presenter_of(first, second)
    track = MouthTrack(presenter, footage_of(presenter), np.arange(30, 45))
    assert [row_at(track, k / 25) for k in range(15)] == list(range(105, 120))


# ---------------------------------------------------------------------------- joins


@pytest.fixture
def morphed(monkeypatch):
    """Morphs are recorded: a crop whose luma is the row of the first, of the second, and the weight
    (in percent)."""

    def record(first: Mouth, second: Mouth, weight: float) -> Mouth:
        crop = np.zeros_like(first.crop)
        crop[0, :3] = first.crop[0, 0], second.crop[0, 0], round(100 * weight)
        crop[1, :] = 1
        return Mouth(crop, first.jaw, first.lips)

    monkeypatch.setattr(mouth_track, "morph", record)


def weights_at(track: MouthTrack, time_s: float, border: int) -> tuple[float, list[int]]:
    """How much of what is shown comes from rows from ``border`` on, 0 … 1, and the rows."""
    crop = track.at(time_s).crop
    if crop[1, 0] != 1 or (crop[0] == crop[1]).all():
        row = int(crop[0, 0])
        return float(row >= border), [row]
    first, second, percent = map(int, crop[0, :3])
    assert first < border <= second, "the earlier piece is the first"
    return percent / 100, [first, second]


def test_a_join_is_crossed_without_a_step(morphed):
    """The weight of the new piece rises evenly, and is a half where it begins."""
    track = make_track([*range(10, 20), *range(30, 40)])
    frames = np.linspace(5, 15, 401)
    weights, rows = zip(*(weights_at(track, frame / 25, 25) for frame in frames), strict=True)
    expected = np.clip(0.5 + 0.5 * (frames - 9.5) / MORPH_FRAMES, 0, 1)
    assert np.abs(np.array(weights) - expected).max() <= 0.0051
    for frame, shown in zip(frames, rows, strict=True):
        for row in shown:  # both pieces go on under the morph
            own = frame + 10 if row < 25 else frame - 10 + 30
            assert abs(row - own) <= 0.5 + 1e-9


def test_pieces_that_follow_each_other_are_not_morphed(morphed):
    track = make_track([10, 11, 12, 12, 12, 13, 14, 15])
    rows = [weights_at(track, t, 99)[1] for t in np.linspace(0, 0.28, 99)]
    assert all(len(shown) == 1 for shown in rows)


def test_at_the_ends_of_the_output_nothing_is_morphed(morphed):
    track = make_track([*range(10, 20), *range(30, 40)])
    for frame in (0, 0.4, 19, 19.4):
        assert len(weights_at(track, frame / 25, 25)[1]) == 1


def test_joins_of_real_crops_change_evenly():
    """Without a step larger than that of the footage itself; the grey values are those of rows."""
    presenter = presenter_of(footage_clip(side=32))
    track = MouthTrack(presenter, footage_of(presenter), np.array([*range(20), *range(28, 48)]))
    means = np.array([track.at(f / 25).crop[:32].mean() for f in np.linspace(10, 30, 201)])
    assert np.diff(means).min() >= -1e-9 and np.diff(means).max() <= 3
    assert means[0] == 10 and means[-1] == pytest.approx(38, abs=0.51)


def test_the_jaw_is_morphed_too():
    clip = footage_clip(side=32)
    clip.frames["jaw"][25:, :, 1] += 4
    clip = replace(clip, crops=np.full_like(clip.crops, 120))
    presenter = presenter_of(clip)
    track = MouthTrack(presenter, footage_of(presenter), np.array([*range(10), *range(30, 40)]))
    chins = [track.at(frame / 25).jaw[8, 1] for frame in (5, 8.5, 9.5, 10.5, 14)]
    assert np.allclose(chins, [80, 81, 82, 83, 84], atol=1e-3)


def test_every_mouth_is_reshaped_for_its_frame():
    calls = []

    class Reshaper:
        def reshape(self, mouth, frame):
            calls.append((int(mouth.crop[0, 0]), frame))
            return mouth

    presenter = presenter_of(footage_clip(((0.0, 2.0),)))
    track = MouthTrack(presenter, footage_of(presenter), np.arange(10, 20), Reshaper())
    track.at(0.0), track.at(0.1), track.at(9.9)
    assert calls == [(10, 0.0), (12, 2.5), (19, 9.0)] or calls == [(10, 0.0), (13, 2.5), (19, 9.0)]
