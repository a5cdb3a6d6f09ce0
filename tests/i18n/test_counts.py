"""Counts in both languages."""

import pytest

from src.i18n.counts import clips_of_speakers
from src.i18n.messages import use_language


@pytest.mark.parametrize(
    ("language", "counts", "expected"),
    [
        ("en", (1, 1), "1 clip of 1 speaker"),
        ("en", (2, 1), "2 clips of 1 speaker"),
        ("en", (179, 28), "179 clips of 28 speakers"),
        ("zh", (2, 1), "1 位说话人的 2 个片段"),
    ],
)
def test_clips_of_speakers(language, counts, expected):
    with use_language(language):
        assert clips_of_speakers(*counts) == expected
