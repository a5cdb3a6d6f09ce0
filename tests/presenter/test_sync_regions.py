"""Crops of the footage as the sync model sees them."""

import numpy as np
import pytest

from src.models.spec import ModelSpec
from src.presenter.crops import WINDOW_LEFT, WINDOW_SIDE, WINDOW_TOP
from src.presenter.sync_regions import region_matrix, sync_region


def spec_of(input_size: int) -> ModelSpec:
    return ModelSpec(input_size, 40, 16, 16, 1, 0.0)


@pytest.mark.parametrize("input_size", [48, 80, 96])
@pytest.mark.parametrize("side", [92, 184, 320])
def test_a_ramp_keeps_its_place(input_size, side):
    """The luma is the template's x (or y): each pixel must show that of its own place."""
    spec = spec_of(input_size)
    height, width = spec.region_shape
    units = np.arange(side) * WINDOW_SIDE / side
    for axis, first in ((1, WINDOW_LEFT), (0, WINDOW_TOP)):
        ramp = np.broadcast_to(units + first, (side, side))
        crop = np.zeros((side * 3 // 2, side), np.uint8)
        crop[:side] = np.rint(ramp if axis else ramp.T)
        region = sync_region(crop, spec)
        assert region.shape == (height, width)
        unit = 96 / input_size
        start = (input_size - width) // 2 if axis else spec.region_top
        expected = unit * (start + np.arange(width if axis else height))
        seen = region.mean(1 - axis)
        # Grey values are whole, and shrinking averages towards the edges.
        assert np.abs(seen - expected)[2:-2].max() < 1.0


def test_the_matrix_leads_to_template_units():
    spec = spec_of(96)
    corner = region_matrix(spec) @ [0, 0, 1]
    assert corner.tolist() == [(96 - spec.region_shape[1]) // 2, spec.region_top, 1]
