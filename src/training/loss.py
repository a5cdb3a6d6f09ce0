"""What is learned: to pick, among the windows of one clip, the one that belongs together."""

import torch
import torch.nn.functional as F

NEIGHBOURS = 1  # windows this close to the true one are neither right nor wrong


def n_way_loss(
    video: torch.Tensor, audio: torch.Tensor, scale: torch.Tensor, usable: torch.Tensor,
    candidate: torch.Tensor, origin: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, int]:  # fmt: skip
    """N-way cross-entropy, both ways (Chung et al., PerfectMatch, 2019).

    Each window with speech asks which window of the other stream belongs to it; the candidates
    are all windows of its clip but the true one's two neighbours.

    Args:
        video: float [B, W, D], length 1.
        audio: float [B, W, D], length 1.
        scale: factor from cosine to logit.
        usable: bool [B, W], windows that ask: they hold speech.
        candidate: bool [B, W], windows that exist (the rest is padding).
        origin: int [B], which clip each piece is of; if given, the windows of pieces of other
            clips are candidates, too.

    Returns:
        (mean loss, number of right answers, number of questions). Without questions the loss
        is 0.
    """
    pieces, each = candidate.shape
    if origin is not None:  # as if all were one clip
        video, audio, usable, candidate = (
            part.flatten(0, 1)[None] for part in (video, audio, usable, candidate)
        )
    windows = video.shape[1]
    logits = scale * video @ audio.transpose(1, 2)  # [B, video window, audio window]
    place = torch.arange(windows, device=video.device)
    distance = (place[:, None] - place).abs()
    near = (distance > 0) & (distance <= NEIGHBOURS)
    if origin is not None:
        piece = torch.arange(pieces, device=video.device).repeat_interleave(each)
        same_piece = piece[:, None] == piece
        # Pieces of one clip overlap: another one may hold the true window, too.
        same_clip = origin[piece][:, None] == origin[piece]
        near = (near & same_piece) | (same_clip & ~same_piece)
    target = place.expand(len(video), windows)[usable]
    losses, right = [], 0
    for one_way in (logits, logits.transpose(1, 2)):
        out = near | ~candidate[:, None, :]
        rows = one_way.masked_fill(out, float("-inf"))[usable]
        losses.append(F.cross_entropy(rows, target, reduction="sum"))
        right = right + (rows.argmax(1) == target).sum()
    asked = 2 * len(target)
    return sum(losses) / max(asked, 1), right, asked
