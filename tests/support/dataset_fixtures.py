"""Fixture: an index of synthetic samples."""

import pytest

from src.core.config import parse_config
from src.dataset.samples import Sample, load_samples
from tests.support.dataset_helpers import write_set


@pytest.fixture
def data():
    return parse_config({"data": {"input_size": 48}}, "test").data


@pytest.fixture
def samples(tmp_path, data) -> list[Sample]:
    """Five clips: long ones, a short one and one that is too short for training."""
    return load_samples(write_set(tmp_path, [100, 70, 64, 20, 7]), data)
