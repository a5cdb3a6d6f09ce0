"""An ensemble: several networks with one embedding, whose similarity is the mean of theirs."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .spec import FACE_REGIONS, GRID_PX, INPUT_REGION, ModelSpec, join_members
from .temporal_blocks import NAMED_BY

StateDict = Mapping[str, torch.Tensor]


class Ensemble(nn.Module):
    """Encoders of one stream whose embeddings are concatenated to one of length 1.

    The cosine of two such embeddings is the mean of the members' cosines (deep ensembles,
    Lakshminarayanan et al. 2017).
    """

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.concatenate([member(x) for member in self.members])

    @staticmethod
    def concatenate(embeddings: list[torch.Tensor]) -> torch.Tensor:
        """Embeddings of the members, [B, n, D] each, of length 1 -> [B, n, members · D], too."""
        return torch.cat(embeddings, -1) / len(embeddings) ** 0.5


def count_members(weights: StateDict) -> int:
    """The number of networks in the ensemble that these weights belong to."""
    matches = [re.match(r"video\.members\.(\d+)\.", name) for name in weights]
    return max((int(match[1]) + 1 for match in matches if match), default=1)


def detect_views(weights: StateDict, spec: ModelSpec) -> list[str]:
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
    grids = [tuple(weights.get(name, torch.empty(0)).shape[2:]) for name in names]
    return [view_by_grid.get(grid, INPUT_REGION) for grid in grids]


def detect_temporal_blocks(weights: StateDict, default: str) -> list[str]:
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


def _video_prefixes(weights: StateDict) -> list[str]:
    """What the names of each member's video weights begin with."""
    if any(name.startswith("video.members.") for name in weights):
        return [f"video.members.{number}." for number in range(count_members(weights))]
    return ["video."]


def detect_network(weights: StateDict, spec: ModelSpec) -> dict[str, int | str]:
    """The ``members``, ``view`` and ``temporal`` of the network that these weights belong to.

    Args:
        spec: its other settings, and the temporal block where none is recognised.
    """
    views = detect_views(weights, spec)
    blocks = detect_temporal_blocks(weights, spec.member_specs[0].temporal)
    return {
        "members": len(views), "view": join_members(views), "temporal": join_members(blocks),
    }  # fmt: skip


def merge_into_ensemble(networks: Sequence[StateDict]) -> dict[str, torch.Tensor]:
    """The weights of one ensemble with all members of the given networks, in their order.

    Its scale is the mean of theirs.
    """
    merged, n_members = {}, 0
    for weights in networks:
        n_added = count_members(weights)
        for name, tensor in weights.items():
            stream, _, parameter = name.partition(".")
            if stream not in ("video", "audio"):
                continue
            member = 0
            if n_added > 1:
                _, number, parameter = parameter.split(".", 2)
                member = int(number)
            merged[f"{stream}.members.{n_members + member}.{parameter}"] = tensor
        n_members += n_added
    merged["log_scale"] = torch.stack([weights["log_scale"] for weights in networks]).mean()
    return merged
