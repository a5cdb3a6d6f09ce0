"""Fixtures of tests that extract features."""

from itertools import count

import pytest

from src.preprocessing.clip_features import ClipFeatures
from src.preprocessing.extract import ExtractOptions, extract_clip
from tests.support.square_faces import SETTINGS, SquareDetector


@pytest.fixture
def extracted(tmp_path):
    """``extracted(video, …)`` calls ``extract_clip`` with an empty folder and these defaults."""
    numbers = count()

    def extract(video, audio=None, settings=SETTINGS, detector=None, **options) -> ClipFeatures:
        folder = tmp_path / f"features {next(numbers)}"
        folder.mkdir()
        return extract_clip(
            video, audio, settings, detector or SquareDetector(), folder, ExtractOptions(**options)
        )

    return extract
