"""Several networks side by side as one."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .spec import VIEWS, ModelSize


class Ensemble(nn.Module):
    """Encoders of one stream whose embeddings are put one after the other, at length 1.

    The cosine of two such embeddings is the mean of the members' cosines.
    """

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.joined([member(x) for member in self.members])

    @staticmethod
    def joined(embeddings: list[torch.Tensor]) -> torch.Tensor:
        """Those of the members, [B, n, D] each, as one of length 1."""
        return torch.cat(embeddings, -1) / len(embeddings) ** 0.5


def members_in(weights: Mapping[str, torch.Tensor]) -> int:
    """How many networks side by side these weights are of."""
    names = [re.match(r"video\.members\.(\d+)\.", name) for name in weights]
    return max((int(found[1]) + 1 for found in names if found), default=1)


def parts_in(weights: Mapping[str, torch.Tensor], size: ModelSize) -> list[str]:
    """What the members look at whose weights these are, by the grid their pictures come to; those
    of no known grid count as looking at the whole view."""
    grids = {}
    for part in VIEWS:
        rows, columns = size.within_view(part)
        grids[(rows.stop - rows.start) // 16, (columns.stop - columns.start) // 16] = part
    one = "gather.0.weight"
    names = [f"video.members.{i}.{one}" for i in range(members_in(weights))]
    names = [f"video.{one}"] if f"video.{one}" in weights else names
    found = (weights.get(name, torch.empty(0)).shape[2:] for name in names)
    return [grids.get(tuple(grid), "lower_face") for grid in found]


def combine_members(weights: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The weights of networks as those of one with as many members; its scale is their mean."""
    joint = {}
    at = 0
    for one in weights:
        n = members_in(one)
        for name, tensor in one.items():
            stream, _, rest = name.partition(".")
            if stream not in ("video", "audio"):
                continue
            member = 0
            if n > 1:
                _, number, rest = rest.split(".", 2)
                member = int(number)
            joint[f"{stream}.members.{at + member}.{rest}"] = tensor
        at += n
    joint["log_scale"] = torch.stack([one["log_scale"] for one in weights]).mean()
    return joint
