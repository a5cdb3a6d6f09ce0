"""An ensemble: several networks with one embedding, whose similarity is the mean of theirs."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .weight_names import count_members

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
