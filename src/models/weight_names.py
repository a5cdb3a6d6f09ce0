"""What weights tell of their network by their names and shapes; tensors or arrays, no PyTorch."""

import re
from collections.abc import Mapping
from typing import TypeAlias

from .spec import FACE_REGIONS, GRID_PX, INPUT_REGION, ModelSpec, join_members

Weights: TypeAlias = Mapping  # of names to tensors or arrays
# A parameter that only this temporal block has.
NAMED_BY = {
    "none": "layers.1.weight", "tcn": "layers.0.0.weight", "gru": "gru.weight_ih_l0",
    "transformer": "position",
}  # fmt: skip


def count_members(weights: Weights) -> int:
    """The number of networks in the ensemble that these weights belong to."""
    matches = [re.match(r"video\.members\.(\d+)\.", name) for name in weights]
    return max((int(match[1]) + 1 for match in matches if match), default=1)


def detect_views(weights: Weights, spec: ModelSpec) -> list[str]:
    """The face region of each member that these weights belong to.

    A region is recognised by the shape of the layer that sums up its grid; a shape of no known
    region counts as the lower face.
    """
    view_by_grid = {}
    for view in FACE_REGIONS:
        rows, columns = spec.region_slices(view)
        grid = (rows.stop - rows.start) // GRID_PX, (columns.stop - columns.start) // GRID_PX
        view_by_grid[grid] = view
    layer = "gather.0.weight"
    names = [prefix + layer for prefix in _video_prefixes(weights)]
    grids = [tuple(weights[name].shape[2:]) if name in weights else () for name in names]
    return [view_by_grid.get(grid, INPUT_REGION) for grid in grids]


def detect_temporal_blocks(weights: Weights, default: str) -> list[str]:
    """The temporal block of each member that these weights belong to.

    Args:
        default: what weights of no known block count as.
    """

    def block_of(prefix: str) -> str:
        named = (
            block for block, parameter in NAMED_BY.items()
            if f"{prefix}temporal.{parameter}" in weights
        )  # fmt: skip
        return next(named, default)

    return [block_of(prefix) for prefix in _video_prefixes(weights)]


def _video_prefixes(weights: Weights) -> list[str]:
    """What the names of each member's video weights begin with."""
    if any(name.startswith("video.members.") for name in weights):
        return [f"video.members.{number}." for number in range(count_members(weights))]
    return ["video."]


def detect_network(weights: Weights, spec: ModelSpec) -> dict[str, int | str]:
    """The ``members``, ``view`` and ``temporal`` of the network that these weights belong to.

    Args:
        spec: its other settings, and the temporal block where none is recognised.
    """
    views = detect_views(weights, spec)
    blocks = detect_temporal_blocks(weights, spec.member_specs[0].temporal)
    return {
        "members": len(views), "view": join_members(views), "temporal": join_members(blocks),
    }  # fmt: skip
