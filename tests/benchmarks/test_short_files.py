"""Excerpts that are cut like files."""

import pytest

from benchmarks.short_files import LENGTHS, MARGIN, excerpts, print_table
from src.scoring.evidence import SEARCH_REACH, compare, peak_ms, similarity_curve
from tests.support.simulated_evidence import embeddings


def test_excerpts_have_audio_on_both_sides():
    for n_windows, n_expected in ((25 + 2 * MARGIN - 1, 0), (25 + 2 * MARGIN, 1), (500, 4)):
        evidence = compare(*embeddings(n_windows, 0.0), 2 * SEARCH_REACH)
        found = list(excerpts(evidence, LENGTHS[0]))
        assert len(found) == n_expected * 15
        for hops, part in found:
            assert peak_ms(similarity_curve([part])) == pytest.approx(-10 * hops, abs=5)


def test_the_table(capsys):
    counts = {(29, 0): [(True, True), (True, False), (False, True), (False, False)]}
    print_table(counts, {29: 3})
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| 1.2 s | 3 | 50.0% (25.0%, 25.0%) | – | – |"
