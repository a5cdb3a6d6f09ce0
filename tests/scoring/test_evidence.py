"""Offsets, hits and distances, on embeddings whose true offset is known."""

from itertools import product

import numpy as np
import pytest

from src.scoring.evidence import (
    MIN_WINDOWS,
    SEARCH_REACH,
    Curve,
    Evidence,
    at_edge,
    compare,
    lse_metrics,
    offset_hits,
    parabola_vertex,
    peak_ms,
    similarity_curve,
)
from tests.support.simulated_evidence import DIM, embeddings, supported_curve, unit
from tests.support.simulated_evidence import evidence as simulated_evidence


@pytest.mark.parametrize("lead_ms", [0, 40, -40, 200, -310, 600, -600])
def test_the_offset_is_by_how_much_the_audio_leads(lead_ms):
    curve = similarity_curve([compare(*embeddings(75, lead_ms), reach=60)])
    assert curve.offsets[np.nanargmax(curve.similarity)] * 10 == lead_ms
    share_with_audio = 1 - abs(lead_ms) / (71 * 40)  # of the 71 windows
    assert np.nanmax(curve.similarity) == pytest.approx(share_with_audio**0.5, abs=0.01)
    assert peak_ms(curve) == pytest.approx(lead_ms, abs=1 if abs(lead_ms) < 600 else 5)


@pytest.mark.parametrize("lead_ms", [3.0, -37.0, 124.5, -268.2])
def test_the_offset_is_finer_than_a_hop(lead_ms):
    curve = similarity_curve([compare(*embeddings(75, lead_ms), reach=60)])
    assert peak_ms(curve) == pytest.approx(lead_ms, abs=1.5)


def test_compare_equals_a_plain_loop():
    rng = np.random.default_rng(1)
    video, audio = unit(rng.normal(size=(9, 5))), unit(rng.normal(size=(61, 5)))
    speech = rng.random(20) < 0.6  # the audio is longer than the track on both sides
    evidence = compare(video, audio, speech, reach=12, first_frame=7)
    assert (evidence.reach, evidence.first_frame) == (12, 7)
    for window in range(9):
        for offset in range(-12, 13):
            hop = 4 * (7 + window) - offset
            similarity, usable = 0.0, False
            if 0 <= hop < 61:
                similarity = float(video[window] @ audio[hop])
                usable = bool(speech[(hop + 10) // 4])  # its middle, 100 ms later
            column = offset + 12
            assert evidence.similarity[window, column] == pytest.approx(similarity, abs=1e-6)
            assert evidence.usable[window, column] == usable


def test_delaying_the_audio_shifts_the_evidence():
    evidence = compare(*embeddings(60, 80.0), reach=120)
    shifted = evidence.shifted(8, 60)
    assert shifted.reach == 60
    assert peak_ms(similarity_curve([shifted])) == pytest.approx(0, abs=1)
    assert peak_ms(similarity_curve([evidence.shifted(-10, 60)])) == pytest.approx(180, abs=1)


def test_a_part_of_a_clip_keeps_its_position():
    video, audio, speech = embeddings(60, 80.0)
    evidence = compare(video[5:], audio, speech, reach=60, first_frame=5)
    assert peak_ms(similarity_curve([evidence])) == pytest.approx(80, abs=1)
    part = evidence.part(20, 40)
    assert part.first_frame == 25 and part.similarity.shape == (20, 121)
    assert np.array_equal(part.similarity, evidence.similarity[20:40])


@pytest.mark.parametrize("hops", [-43, -6, 0, 33])
def test_an_excerpt_as_a_file_is_the_evidence_of_that_file(hops):
    video, audio, speech = embeddings(120, 0.0)
    evidence = compare(video, audio, speech, 2 * SEARCH_REACH)
    first, n_windows = 40, 25
    excerpt = evidence.part(first, first + n_windows).as_file(hops, SEARCH_REACH)
    begin = 4 * first - hops
    file_audio = audio[begin : begin + 4 * (n_windows - 1) + 1]
    file = compare(video[first : first + n_windows], file_audio, speech, SEARCH_REACH)
    np.testing.assert_allclose(
        excerpt.similarity * excerpt.usable, file.similarity * file.usable, atol=1e-6
    )
    assert np.array_equal(excerpt.usable, file.usable)
    assert peak_ms(similarity_curve([excerpt])) == pytest.approx(-10 * hops, abs=5)


def test_in_a_file_the_true_offset_has_fewer_windows():
    evidence = compare(*embeddings(120, 0.0), 2 * SEARCH_REACH)
    excerpt = evidence.part(40, 65)
    files = [(hops, excerpt.as_file(hops, SEARCH_REACH)) for hops in (0, 20, 50)]
    assert [file.usable[:, SEARCH_REACH - hops].sum() for hops, file in files] == [25, 20, 12]


def test_above_mean_equals_a_plain_loop():
    rng = np.random.default_rng(4)
    similarity = rng.uniform(-1, 1, (6, 7)).astype(np.float32)
    usable = rng.random((6, 7)) < 0.6
    usable[2] = False
    above_mean = Evidence(similarity, usable).above_mean()
    for window in range(6):
        used = [float(similarity[window, o]) for o in range(7) if usable[window, o]]
        for offset in range(7):
            expected = similarity[window, offset] - np.mean(used) if usable[window, offset] else 0
            assert above_mean[window, offset] == pytest.approx(expected, abs=1e-6)
    assert Evidence.empty(0, 3, 0).above_mean().shape == (0, 7)


def test_the_curve_compares_offsets_in_units_of_their_standard_errors():
    usable = np.zeros((27, 5), bool)
    for column, windows in enumerate((27, 9, 8, 14, 0)):
        usable[:windows, column] = True
    similarity = np.linspace(-1, 1, 135, dtype=np.float32).reshape(27, 5)
    curve = similarity_curve([Evidence(similarity, usable)])
    assert curve.n_windows == 27 and curve.windows_at(1) == 14
    assert curve.windows_at(-9) == 27 and curve.windows_at(9) == 0, "the nearest offset"
    assert np.isnan(curve.similarity).tolist() == [False, False, True, False, True]
    level, mean = similarity[usable].mean(), similarity[:14, 3].mean()
    assert curve.similarity[3] == pytest.approx(level + (mean - level) * (14 / 27) ** 0.5, abs=1e-6)
    assert curve.means[3] == pytest.approx(mean, abs=1e-6)
    assert np.isnan(curve.distance).tolist() == [False, True, True, False, True], "from half on"
    assert curve.distance[3] == pytest.approx(np.sqrt(2 - 2 * similarity[:14, 3]).mean(), abs=1e-6)


def test_where_all_windows_have_audio_the_curve_is_their_mean():
    similarity = np.random.default_rng(2).uniform(-1, 1, (30, 9)).astype(np.float32)
    curve = similarity_curve([Evidence(similarity, np.ones((30, 9), bool))])
    np.testing.assert_allclose(curve.similarity, similarity.mean(0), atol=1e-6)


def test_small_offsets_of_short_files_are_found_more_often_than_by_plain_means():
    """Files of 1.2 s that are hard to match: towards the ends, offsets have few windows."""
    n_correct = n_correct_by_means = 0
    for hops, seed in product((0, -10, 10, -20, 20), range(60)):
        clip = simulated_evidence(lambda _: 0.0, 4, strength=0.2, noise=1.2, seed=seed, reach=120)
        file = clip.part(35, 60).as_file(hops, SEARCH_REACH)
        curve = similarity_curve([file])
        count = file.usable.sum(0)
        means = (file.similarity * file.usable).sum(0) / np.maximum(count, 1)
        means[count < len(file.usable) / 2] = -1
        n_correct += abs(peak_ms(curve) + 10 * hops) <= 40
        n_correct_by_means += abs(curve.offsets[means.argmax()] + hops) <= 4
    assert n_correct > 1.1 * n_correct_by_means > 50


def test_a_few_windows_are_no_evidence():
    similarity = np.ones((MIN_WINDOWS, 5), np.float32)
    assert not np.isnan(similarity_curve([Evidence(similarity, similarity > 0)]).similarity).any()
    few = Evidence(similarity[1:], similarity[1:] > 0)
    assert (
        np.isnan(similarity_curve([few]).similarity).all()
        and peak_ms(similarity_curve([few])) is None
    )
    assert not np.isnan(similarity_curve([few, few]).similarity).any(), (
        "two tracks are enough together"
    )


def test_a_peak_at_the_edge_of_the_support_is_detected():
    offsets = np.arange(-4, 5)
    rising = supported_curve(offsets, np.linspace(0, 1, 9), 20)
    assert at_edge(rising) and peak_ms(rising) == 40, "no extrapolation"
    cut = supported_curve(offsets, np.r_[np.linspace(0, 1, 7), np.nan, np.nan], 20)
    assert at_edge(cut) and peak_ms(cut) == 20
    inside = supported_curve(offsets, 1 - (offsets / 4) ** 2, 20)
    assert not at_edge(inside) and peak_ms(inside) == pytest.approx(0, abs=1e-6)


def test_an_offset_lies_within_the_support():
    """The parabola is fitted to the means, which may rise further where windows get fewer."""
    offsets = np.arange(-20, 21)
    count = np.where(offsets < 19, 100, 60)
    similarity = (0.5 - 0.002 * (offsets - 26) ** 2) * (count / 100) ** 0.5
    assert offsets[similarity.argmax()] == 18
    assert peak_ms(Curve(offsets, similarity, 1 - similarity, count, 0.0)) == 200


def test_tracks_are_weighted_by_their_windows():
    long = Evidence(np.full((30, 5), 0.2, np.float32), np.ones((30, 5), bool))
    short = Evidence(np.full((10, 5), 0.6, np.float32), np.ones((10, 5), bool))
    curve = similarity_curve([long, short])
    assert curve.n_windows == 40
    np.testing.assert_allclose(curve.similarity, 0.3, atol=1e-6)


def test_without_speech_there_is_no_offset():
    video, audio, speech = embeddings(30, 0.0)
    curve = similarity_curve([compare(video, audio, ~speech, reach=60)])
    assert curve.n_windows == 0 and np.isnan(curve.similarity).all()
    assert peak_ms(curve) is None


@pytest.mark.parametrize("best", [0, 60, 120])
def test_the_peak_may_lie_at_the_end(best):
    offsets = np.arange(-60, 61)
    similarity = -((offsets - offsets[best]) ** 2) / 3600
    offset_ms = peak_ms(supported_curve(offsets, similarity, 50))
    assert offset_ms == pytest.approx(offsets[best] * 10, abs=0.1)


def test_lse_metrics_equal_syncnet():
    video, audio, speech = embeddings(50, 120.0)
    audio = unit(audio + 0.1 * np.random.default_rng(0).normal(size=audio.shape))
    curve = similarity_curve([compare(video, audio, speech, reach=20)])
    distances = [
        np.mean([
            np.linalg.norm(video[w] - audio[4 * w - offset])
            for w in range(50)
            if 0 <= 4 * w - offset < len(audio)
        ])
        for offset in range(-20, 21)
    ]  # fmt: skip
    distance, confidence = lse_metrics(curve)
    assert distance == pytest.approx(min(distances), rel=1e-4)
    assert confidence == pytest.approx(np.median(distances) - min(distances), rel=1e-4)


def naive_hits(video, audio, spoken, frames):
    """The protocol as a plain loop: K − 4 windows, 31 candidates, ±1 frame."""
    hits, n_windows = [], frames - 4
    for first in range(len(video) - n_windows + 1):
        windows = range(first, first + n_windows)
        if first - 15 < 0 or first + n_windows - 1 + 15 >= len(video):
            continue
        if not all(spoken[window + 2] for window in windows):  # the middle frame of each
            continue
        means = {
            offset: np.mean([video[w] @ audio[4 * (w - offset)] for w in windows])
            for offset in range(-15, 16)
        }
        hits.append(abs(max(means, key=means.get)) <= 1)
    return hits


@pytest.mark.parametrize("frames", [5, 7, 15])
def test_offset_hits_equal_a_plain_loop(frames):
    rng = np.random.default_rng(2)
    video, audio, speech = embeddings(70, 0.0)
    video = unit(video + 0.3 * rng.normal(size=video.shape))
    speech[30:34] = False
    hits, n_silent = offset_hits(compare(video, audio, speech, reach=60), frames)
    expected = naive_hits(video, audio, speech, frames)
    assert hits.tolist() == expected
    assert len(hits) + n_silent == 70 - 30 - (frames - 5)
    assert 0.2 < np.mean(expected) <= 1 and len(expected) > 5


def test_random_embeddings_are_at_chance_level():
    rng = np.random.default_rng(3)
    windows = 3000
    video, audio = (unit(rng.normal(size=(n, DIM))) for n in (windows, 4 * windows - 3))
    evidence = compare(video, audio, np.ones(windows + 4, bool), reach=60)
    for frames in (5, 15):
        hits, n_silent = offset_hits(evidence, frames)
        assert len(hits) == windows - 30 - (frames - 5)
        assert n_silent == 0 and hits.mean() == pytest.approx(3 / 31, abs=0.035)


def test_too_short_a_clip_has_no_positions():
    evidence = compare(*embeddings(8, 0.0), reach=60)
    for frames in (5, 15):
        hits, n_silent = offset_hits(evidence, frames)
        assert len(hits) == n_silent == 0


def test_the_vertex_of_a_parabola():
    hops = np.arange(-4, 5)
    values = 1 - 0.3 * (hops - 1.25) ** 2
    assert parabola_vertex(hops, values) == pytest.approx(1.25)
    assert parabola_vertex(hops, 5 - hops**2 / 100 + hops) == 4, "within the hops it is fitted to"
    assert parabola_vertex(hops, -values) == 0, "a minimum is no peak"
    many = parabola_vertex(hops, np.stack([values, -values, values[::-1]], axis=1))
    assert many.tolist() == pytest.approx([1.25, 0, -1.25])
