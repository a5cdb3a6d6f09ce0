"""The judge's figures, on evidence whose offset is known."""

import pytest

from src.presenter.judge import _figures
from src.scoring.evidence import SEARCH_REACH, lse_metrics, similarity_curve
from tests.support.simulated_evidence import REACH, evidence


def test_evidence_in_sync():
    track = evidence(lambda second: 0, 12, strength=0.5)
    assert track.reach == REACH == SEARCH_REACH
    figures = _figures([track], 0.0)
    assert figures.in_sync == 1.0 and abs(figures.offset_ms) < 8
    assert figures.confidence == pytest.approx(lse_metrics(similarity_curve([track]))[1], abs=1e-3)
    assert figures.windows == len(track.similarity) - 20  # windows of 1 s, 21 embeddings


@pytest.mark.parametrize("offset_ms", [-200, 120])
def test_an_offset_is_not_in_sync_and_is_reported(offset_ms):
    figures = _figures([evidence(lambda second: offset_ms, 12, strength=0.5)], 0.0)
    assert figures.in_sync == 0.0
    assert figures.offset_ms == pytest.approx(offset_ms, abs=10)
    shifted = _figures([evidence(lambda second: offset_ms, 12, strength=0.5)], 40.0)
    assert shifted.offset_ms == pytest.approx(offset_ms + 40, abs=10)


def test_half_in_sync():
    figures = _figures([evidence(lambda second: 0 if second < 10 else 250, 20, strength=0.5)], 0.0)
    assert figures.in_sync == pytest.approx(0.5, abs=0.1)


def test_stronger_evidence_is_more_confident():
    weak, strong = (
        _figures([evidence(lambda second: 0, 10, strength)], 0.0) for strength in (0.2, 0.6)
    )
    assert strong.confidence > 2 * weak.confidence


def test_several_tracks_are_judged_together():
    tracks = [evidence(lambda second: 0, 8, 0.5, seed=seed) for seed in (1, 2)]
    single = [_figures([track], 0.0) for track in tracks]
    both = _figures(tracks, 0.0)
    assert both.windows == sum(figures.windows for figures in single)
    confidences = [figures.confidence for figures in single]
    assert min(confidences) - 0.05 <= both.confidence <= max(confidences) + 0.05


def test_pauses_do_not_count():
    track = evidence(lambda second: 0, 20, 0.5)
    track.usable[100:300] = False
    figures = _figures([track], 0.0)
    # Windows of 21 rows count with up to 5 in the pause: 200 rows rule out 200 + 20 − 2 · 5.
    assert figures.windows == len(track.similarity) - 20 - 210 and figures.in_sync == 1.0


def test_what_is_seen_in_a_short_pause_does_not_count():
    track = evidence(lambda second: 0, 8, 0.5)
    track.usable[100:104] = False
    track.similarity[100:104, REACH + 4 * 7] = 9  # seven frames late, as strong as can be
    figures = _figures([track], 0.0)
    assert figures.windows == len(track.similarity) - 20 and figures.in_sync == 1.0
    track.usable[100:104] = True
    assert _figures([track], 0.0).in_sync < 0.9


def test_rows_without_audio_at_some_offset_do_not_count():
    track = evidence(lambda second: 0, 8, 0.5)
    track.similarity[:40, : REACH - 3] = 0  # as before the beginning of the audio
    assert _figures([track], 0.0).windows == len(track.similarity) - 40 - 20


def test_without_speech_there_are_no_figures():
    track = evidence(lambda second: 0, 6)
    track.usable[:] = False
    for parts in ([track], [evidence(lambda second: 0, 6).part(0, 5)]):
        figures = _figures(parts, 0.0)
        assert (figures.confidence, figures.offset_ms, figures.in_sync) == (None, None, None)
        assert figures.windows == 0
