"""Offsets, accuracies and distances, on embeddings whose true offset is known."""

import numpy as np
import pytest
from scipy.stats import norm

from src.evaluation.metrics import auc_of, bootstrap_speakers, eer_of, offset_report, reliability_of
from src.scoring.evidence import (
    MIN_WINDOWS,
    Curve,
    Evidence,
    at_edge,
    compare,
    curve_of,
    hits_at,
    lse,
    peak_ms,
)

DIM = 48


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def streams(windows: int, lead_ms: float, seed: int = 0):
    """Embeddings of a smooth random process: sound that leads its picture by ``lead_ms``.

    What is seen at time τ is heard at τ − lead: the sound is early.
    """
    rng = np.random.default_rng(seed)
    frequency, phase = rng.uniform(0.3, 6, (2, DIM, 8))  # Hz

    def process(times_ms):
        turns = times_ms[:, None, None] / 1000 * frequency + phase
        return unit(np.sin(2 * np.pi * turns).sum(-1))

    video = process(np.arange(windows) * 40.0)
    audio = process(np.arange(4 * windows - 3) * 10.0 + lead_ms)
    return video, audio, np.ones(windows + 4, bool)


@pytest.mark.parametrize("lead_ms", [0, 40, -40, 200, -310, 600, -600])
def test_the_offset_is_how_much_the_sound_leads(lead_ms):
    curve = curve_of([compare(*streams(75, lead_ms), reach=60)])
    assert curve.offsets[np.nanargmax(curve.similarity)] * 10 == lead_ms
    assert np.nanmax(curve.similarity) == pytest.approx(1, abs=1e-5)
    assert peak_ms(curve) == pytest.approx(lead_ms, abs=1 if abs(lead_ms) < 600 else 5)


@pytest.mark.parametrize("lead_ms", [3.0, -37.0, 124.5, -268.2])
def test_the_offset_is_finer_than_a_step(lead_ms):
    curve = curve_of([compare(*streams(75, lead_ms), reach=60)])
    assert peak_ms(curve) == pytest.approx(lead_ms, abs=1.5)


def test_compare_is_the_loop():
    rng = np.random.default_rng(1)
    video, audio = unit(rng.normal(size=(9, 5))), unit(rng.normal(size=(61, 5)))
    speech = rng.random(20) < 0.6  # the sound is longer than the track on both sides
    found = compare(video, audio, speech, reach=12, first_frame=7)
    assert (found.reach, found.first_frame) == (12, 7)
    for window in range(9):
        for offset in range(-12, 13):
            step = 4 * (7 + window) - offset
            similarity, usable = 0.0, False
            if 0 <= step < 61:
                similarity = float(video[window] @ audio[step])
                usable = bool(speech[(step + 10) // 4])  # its middle, 100 ms on
            assert found.similarity[window, offset + 12] == pytest.approx(similarity, abs=1e-6)
            assert found.usable[window, offset + 12] == usable


def test_delaying_the_sound_moves_the_evidence():
    evidence = compare(*streams(60, 80.0), reach=120)
    moved = evidence.shifted(8, 60)
    assert moved.reach == 60
    assert peak_ms(curve_of([moved])) == pytest.approx(0, abs=1)
    assert peak_ms(curve_of([evidence.shifted(-10, 60)])) == pytest.approx(180, abs=1)


def test_part_of_a_clip_keeps_its_place():
    video, audio, speech = streams(60, 80.0)
    evidence = compare(video[5:], audio, speech, reach=60, first_frame=5)
    assert peak_ms(curve_of([evidence])) == pytest.approx(80, abs=1)
    part = evidence.part(20, 40)
    assert part.first_frame == 25 and part.similarity.shape == (20, 121)
    assert np.array_equal(part.similarity, evidence.similarity[20:40])


def test_offsets_with_less_than_half_of_the_windows_are_left_out():
    usable = np.zeros((20, 5), bool)
    for column, windows in enumerate((20, 10, 9, 12, 0)):
        usable[:windows, column] = True
    similarity = np.linspace(-1, 1, 100, dtype=np.float32).reshape(20, 5)
    curve = curve_of([Evidence(similarity, usable)])
    assert curve.windows == 20
    assert np.isnan(curve.similarity).tolist() == [False, False, True, False, True]
    assert curve.similarity[3] == pytest.approx(similarity[:12, 3].mean())
    assert curve.distance[1] == pytest.approx(
        np.mean([np.sqrt(2 - 2 * value) for value in similarity[:10, 1]])
    )


def test_a_few_windows_are_no_evidence():
    similarity = np.ones((MIN_WINDOWS, 5), np.float32)
    assert not np.isnan(curve_of([Evidence(similarity, similarity > 0)]).similarity).any()
    few = Evidence(similarity[1:], similarity[1:] > 0)
    assert np.isnan(curve_of([few]).similarity).all() and peak_ms(curve_of([few])) is None
    assert not np.isnan(curve_of([few, few]).similarity).any(), "two tracks are enough together"


def test_a_peak_at_the_edge_of_the_support_is_told():
    rising = Curve(np.arange(-4, 5), np.linspace(0, 1, 9), np.ones(9), 20)
    assert at_edge(rising) and peak_ms(rising) == 40, "nothing is guessed beyond the edge"
    cut = Curve(rising.offsets, np.r_[np.linspace(0, 1, 7), np.nan, np.nan], np.ones(9), 20)
    assert at_edge(cut) and peak_ms(cut) == 20
    inside = Curve(rising.offsets, 1 - (rising.offsets / 4) ** 2, np.ones(9), 20)
    assert not at_edge(inside) and peak_ms(inside) == pytest.approx(0, abs=1e-6)


def test_tracks_weigh_by_their_windows():
    one = Evidence(np.full((30, 5), 0.2, np.float32), np.ones((30, 5), bool))
    two = Evidence(np.full((10, 5), 0.6, np.float32), np.ones((10, 5), bool))
    curve = curve_of([one, two])
    assert curve.windows == 40
    np.testing.assert_allclose(curve.similarity, 0.3, atol=1e-6)


def test_without_speech_there_is_no_offset():
    video, audio, speech = streams(30, 0.0)
    curve = curve_of([compare(video, audio, ~speech, reach=60)])
    assert curve.windows == 0 and np.isnan(curve.similarity).all()
    assert peak_ms(curve) is None


@pytest.mark.parametrize("best", [0, 60, 120])
def test_the_peak_may_lie_at_the_end(best):
    offsets = np.arange(-60, 61)
    similarity = -((offsets - offsets[best]) ** 2) / 3600
    found = peak_ms(Curve(offsets, similarity, 1 - similarity, 50))
    assert found == pytest.approx(offsets[best] * 10, abs=0.1)


def test_lse_is_syncnets():
    video, audio, speech = streams(50, 120.0)
    audio = unit(audio + 0.1 * np.random.default_rng(0).normal(size=audio.shape))
    curve = curve_of([compare(video, audio, speech, reach=20)])
    distances = [
        np.mean([
            np.linalg.norm(video[w] - audio[4 * w - offset])
            for w in range(50)
            if 0 <= 4 * w - offset < len(audio)
        ])
        for offset in range(-20, 21)
    ]  # fmt: skip
    smallest, confidence = lse(curve)
    assert smallest == pytest.approx(min(distances), rel=1e-4)
    assert confidence == pytest.approx(np.median(distances) - min(distances), rel=1e-4)


def naive_hits(video, audio, spoken, frames):
    """The protocol in words: K − 4 windows, 31 candidates, ±1 frame."""
    hits, windows = [], frames - 4
    for first in range(len(video) - windows + 1):
        place = range(first, first + windows)
        if first - 15 < 0 or first + windows - 1 + 15 >= len(video):
            continue
        if not all(spoken[window + 2] for window in place):  # the middle frame of each
            continue
        means = {
            offset: np.mean([video[w] @ audio[4 * (w - offset)] for w in place])
            for offset in range(-15, 16)
        }
        hits.append(abs(max(means, key=means.get)) <= 1)
    return hits


@pytest.mark.parametrize("frames", [5, 7, 15])
def test_hits_at_is_the_protocol(frames):
    rng = np.random.default_rng(2)
    video, audio, speech = streams(70, 0.0)
    video = unit(video + 0.3 * rng.normal(size=video.shape))
    speech[30:34] = False
    found, silent = hits_at(compare(video, audio, speech, reach=60), frames)
    expected = naive_hits(video, audio, speech, frames)
    assert found.tolist() == expected
    assert len(found) + silent == 70 - 30 - (frames - 5)
    assert 0.2 < np.mean(expected) <= 1 and len(expected) > 5


def test_random_embeddings_score_at_chance():
    rng = np.random.default_rng(3)
    windows = 3000
    video, audio = (unit(rng.normal(size=(n, DIM))) for n in (windows, 4 * windows - 3))
    evidence = compare(video, audio, np.ones(windows + 4, bool), reach=60)
    for frames in (5, 15):
        hits, silent = hits_at(evidence, frames)
        assert len(hits) == windows - 30 - (frames - 5)
        assert silent == 0 and hits.mean() == pytest.approx(3 / 31, abs=0.035)


def test_too_short_a_clip_has_no_places():
    evidence = compare(*streams(8, 0.0), reach=60)
    for frames in (5, 15):
        hits, silent = hits_at(evidence, frames)
        assert len(hits) == silent == 0


def test_report_counts_clips_and_places_together():
    leads = (0.0, 30.0, -55.0, 100.0)
    clips = [compare(*streams(60, lead, seed), 60) for seed, lead in enumerate(leads)]
    silent = compare(*streams(60, 0.0)[:2], np.zeros(64, bool), 60)
    report = offset_report([*clips, silent])
    assert report.clips == 4
    assert report.places == {5: 4 * 30, 15: 4 * 20}
    assert report.whole_clip == 0.75  # 100 ms is two frames and a half
    assert report.median_error_ms == pytest.approx((30 + 55) / 2, abs=1.5)
    assert report.share_at[5] == pytest.approx(np.mean(np.concatenate(
        [hits_at(clip, 5)[0] for clip in clips])))  # fmt: skip


def test_a_report_on_nothing_says_nan():
    report = offset_report([])
    assert report.clips == 0 and report.places == {5: 0, 15: 0}
    assert np.isnan([report.whole_clip, report.median_error_ms, report.share_at[5]]).all()


# --- telling pairs apart


@pytest.mark.parametrize("seed", range(4))
def test_auc_is_the_share_of_pairs_in_order(seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(60) < 0.4
    scores = np.round(rng.normal(labels, 1.0), 1)  # with ties
    true, false = scores[labels], scores[~labels]
    wins = (true[:, None] > false).mean() + 0.5 * (true[:, None] == false).mean()
    assert auc_of(scores, labels) == pytest.approx(wins)


def test_eer_of_two_normal_distributions():
    """Scores of deviation 1 whose means are d apart: half of them cross at Φ(−d/2)."""
    rng = np.random.default_rng(0)
    for distance in (0.5, 2.0, 4.0):
        labels = rng.random(40000) < 0.3
        scores = rng.normal(distance * labels, 1.0)
        assert eer_of(scores, labels) == pytest.approx(norm.cdf(-distance / 2), abs=0.01)


def test_eer_of_a_few_scores():
    labels = np.array([True, True, True, False, False])
    assert eer_of(np.array([5, 4, 3, 2, 1.0]), labels) == 0
    assert eer_of(np.array([1, 2, 3, 4, 5.0]), labels) == 1
    assert eer_of(np.zeros(5), labels) == pytest.approx(0.5)


def test_one_kind_of_pairs_has_no_auc():
    for labels in (np.ones(3, bool), np.zeros(3, bool), np.zeros(0, bool)):
        assert np.isnan(auc_of(np.zeros(len(labels)), labels))
        assert np.isnan(eer_of(np.zeros(len(labels)), labels))


def test_reliability_by_hand():
    chances = np.array([0.05, 0.05, 0.55, 1.0])
    labels = np.array([False, True, True, True])
    found = reliability_of(chances, labels, np.array([1.0, 1, 1, 3]))
    assert found.weight[[0, 5, 9]].tolist() == pytest.approx([1 / 3, 1 / 6, 1 / 2])
    assert np.isnan(found.predicted[1]) and found.observed[0] == 0.5
    assert found.ece == pytest.approx(1 / 3 * 0.45 + 1 / 6 * 0.45)


def test_true_chances_are_reliable():
    rng = np.random.default_rng(5)
    chances = rng.random(50000)
    labels = rng.random(50000) < chances
    assert reliability_of(chances, labels, np.ones(50000)).ece < 0.01
    assert reliability_of(chances**3, labels, np.ones(50000)).ece > 0.1


def test_speakers_are_drawn_whole():
    """The interval of a mean over speakers is that of speakers, however many clips they have."""
    rng = np.random.default_rng(6)
    truth = rng.normal(0, 1, 40)
    speakers = [f"s{n}" for n in range(40) for _ in range(25)]
    values = np.repeat(truth, 25)
    means = [np.average(values, weights=times) for times in bootstrap_speakers(speakers, 800)]
    assert np.std(means) == pytest.approx(truth.std() / np.sqrt(40), rel=0.15)
    for times in bootstrap_speakers(speakers, 3):
        assert times.sum() == 1000 and (times.reshape(40, 25) == times[::25, None]).all()
    assert not list(bootstrap_speakers(["a", "a"], 5))
