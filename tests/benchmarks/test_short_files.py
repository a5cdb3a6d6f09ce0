"""Excerpts that are cut like files: an offset leaves fewer windows to compare."""

import numpy as np
import pytest

from benchmarks.short_files import LENGTHS, MARGIN, cut, excerpts, print_table
from src.scoring.evidence import SEARCH_REACH, compare, mean_curve, peak_ms
from tests.support.simulated_evidence import embeddings


@pytest.mark.parametrize("hops", [-43, -6, 0, 33])
def test_it_is_the_evidence_of_the_file(hops):
    video, audio, speech = embeddings(120, 0.0)
    evidence = compare(video, audio, speech, 2 * SEARCH_REACH)
    first, n_windows = 40, 25
    excerpt = cut(evidence, first, n_windows, hops)
    begin = 4 * first - hops
    file_audio = audio[begin : begin + 4 * (n_windows - 1) + 1]
    file = compare(video[first : first + n_windows], file_audio, speech, SEARCH_REACH)
    np.testing.assert_allclose(
        excerpt.similarity * excerpt.usable, file.similarity * file.usable, atol=1e-6
    )
    assert np.array_equal(excerpt.usable, file.usable)
    assert peak_ms(mean_curve([excerpt])) == pytest.approx(-10 * hops, abs=5)


def test_the_true_offset_has_fewer_windows():
    evidence = compare(*embeddings(120, 0.0), 2 * SEARCH_REACH)
    n_used = [
        cut(evidence, 40, 25, hops).usable[:, SEARCH_REACH - hops].sum() for hops in (0, 20, 50)
    ]
    assert n_used == [25, 20, 12]


def test_excerpts_have_audio_on_both_sides():
    for n_windows, n_expected in ((25 + 2 * MARGIN - 1, 0), (25 + 2 * MARGIN, 1), (500, 4)):
        evidence = compare(*embeddings(n_windows, 0.0), 2 * SEARCH_REACH)
        found = list(excerpts(evidence, LENGTHS[0]))
        assert len(found) == n_expected * 15
        for hops, part in found:
            if abs(hops) < 50:  # half a second leaves less than half of the windows
                assert peak_ms(mean_curve([part])) == pytest.approx(-10 * hops, abs=5)


def test_the_table(capsys):
    counts = {(29, 0): [(True, True), (True, False), (False, True), (False, False)]}
    print_table(counts, {29: 3})
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| 1.2 s | 3 | 50.0% (25.0%, 25.0%) | – | – |"
