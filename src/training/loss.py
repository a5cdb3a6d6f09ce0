"""The loss: each window must pick its match among the windows of the other stream."""

import torch
import torch.nn.functional as F

IGNORED_NEIGHBOURS = 1  # windows this close to the positive are neither correct nor incorrect


def n_way_loss(
    video: torch.Tensor, audio: torch.Tensor, scale: torch.Tensor, anchors: torch.Tensor,
    candidates: torch.Tensor, sample_ids: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, int]:  # fmt: skip
    """N-way cross-entropy between video and audio windows, in both directions.

    For each anchor window i of one stream the positive is window i of the other stream and the
    negatives are its other candidate windows:
    L = −log exp(s·cos(v_i, a_i)) / Σ_j exp(s·cos(v_i, a_j)),
    averaged over anchors and both directions. This is InfoNCE (van den Oord et al. 2018), for
    audio-visual sync the multi-way matching of Chung et al. (Perfect Match, ICASSP 2019). The
    positive's direct neighbours overlap it almost completely and are left out of the sum.

    Args:
        video: float [B, W, D], length 1.
        audio: float [B, W, D], length 1.
        scale: factor s from cosine to logit.
        anchors: bool [B, W], windows with speech.
        candidates: bool [B, W], windows without padding.
        sample_ids: int [B], the sample of each segment. Where given, the windows of segments of
            other samples are negatives too.

    Returns:
        (mean loss, number of correct choices, number of choices). Without anchors the loss is 0.
    """
    n_segments, n_windows_each = candidates.shape
    if sample_ids is not None:  # the batch is treated as one long segment
        video, audio, anchors, candidates = (
            part.flatten(0, 1)[None] for part in (video, audio, anchors, candidates)
        )
    n_windows = video.shape[1]
    logits = scale * video @ audio.transpose(1, 2)  # [B, video window, audio window]
    position = torch.arange(n_windows, device=video.device)
    distance = (position[:, None] - position).abs()
    ignored = (distance > 0) & (distance <= IGNORED_NEIGHBOURS)
    if sample_ids is not None:
        segment = torch.arange(n_segments, device=video.device).repeat_interleave(n_windows_each)
        same_segment = segment[:, None] == segment
        # Segments of one sample may overlap: another one may hold the positive too.
        same_sample = sample_ids[segment][:, None] == sample_ids[segment]
        ignored = (ignored & same_segment) | (same_sample & ~same_segment)
    target = position.expand(len(video), n_windows)[anchors]
    losses, n_correct = [], 0
    for direction in (logits, logits.transpose(1, 2)):
        excluded = ignored | ~candidates[:, None, :]
        rows = direction.masked_fill(excluded, float("-inf"))[anchors]
        losses.append(F.cross_entropy(rows, target, reduction="sum"))
        n_correct = n_correct + (rows.argmax(1) == target).sum()
    n_total = 2 * len(target)
    return sum(losses) / max(n_total, 1), n_correct, n_total
