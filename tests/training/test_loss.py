"""The N-way loss, compared with plain loops over its definition."""

import math

import pytest
import torch
import torch.nn.functional as F

from src.training.loss import n_way_loss

ALL = torch.ones(2, 9, dtype=torch.bool)


def embeddings(batch=2, windows=9, dim=6, seed=0):
    torch.manual_seed(seed)
    return [F.normalize(torch.randn(batch, windows, dim), dim=-1) for _ in range(2)]


def naive_loss(video, audio, scale, anchors, candidates):
    """Mean loss, number of correct choices and number of choices, one anchor after the other."""
    losses, n_correct = [], 0
    for queries, keys in ((video, audio), (audio, video)):
        for clip in range(len(video)):
            for position in range(video.shape[1]):
                if not anchors[clip, position]:
                    continue
                logits = {
                    other: scale * float(queries[clip, position] @ keys[clip, other])
                    for other in range(video.shape[1])
                    if candidates[clip, other] and abs(other - position) != 1
                }
                total = sum(math.exp(value) for value in logits.values())
                losses.append(-math.log(math.exp(logits[position]) / total))
                n_correct += max(logits, key=logits.get) == position
    return sum(losses) / len(losses), n_correct, len(losses)


def test_loss_equals_the_plain_loop():
    video, audio = embeddings()
    anchors = ALL.clone()
    anchors[0, 2:5] = False
    candidates = ALL.clone()
    candidates[1, 6:] = anchors[1, 6:] = False
    result = n_way_loss(video, audio, torch.tensor(7.0), anchors, candidates)
    loss, n_correct, n_total = naive_loss(video, audio, 7.0, anchors, candidates)
    assert float(result[0]) == pytest.approx(loss, rel=1e-5)
    assert (int(result[1]), result[2]) == (n_correct, n_total)
    assert n_total == 2 * (6 + 6)


def test_equal_embeddings_have_the_loss_of_chance_level():
    same = F.normalize(torch.ones(1, 9, 4), dim=-1)
    loss, _, n_total = n_way_loss(same, same, torch.tensor(10.0), ALL[:1], ALL[:1])
    # 7 candidates for the 7 inner windows, 8 for the two at the ends, which have one neighbour.
    assert float(loss) == pytest.approx((7 * math.log(7) + 2 * math.log(8)) / 9, rel=1e-5)
    assert n_total == 18


def test_neighbours_are_neither_correct_nor_incorrect():
    video, audio = torch.eye(9)[None], torch.eye(9)[None].clone()
    loss = n_way_loss(video, audio, torch.tensor(20.0), ALL[:1], ALL[:1])[0]
    for position in range(8):  # every window also matches the next one
        audio[0, position, position + 1] = 1
    audio = F.normalize(audio, dim=-1)
    confused, n_correct, n_total = n_way_loss(video, audio, torch.tensor(20.0), ALL[:1], ALL[:1])
    assert int(n_correct) == n_total == 18
    assert float(confused) < 1e-4 and float(loss) < 1e-4


def test_padding_does_not_change_the_loss():
    video, audio = embeddings()
    is_valid = ALL.clone()
    is_valid[:, 5:] = False
    first = n_way_loss(video, audio, torch.tensor(5.0), is_valid, is_valid)
    video[:, 5:], audio[:, 5:] = F.normalize(torch.randn(2, 4, 6), dim=-1), 1 / math.sqrt(6)
    second = n_way_loss(video, audio, torch.tensor(5.0), is_valid, is_valid)
    assert float(first[0]) == float(second[0]) and first[2] == second[2] == 20


def test_without_anchors_the_loss_and_its_gradient_are_zero():
    video, audio = embeddings()
    video.requires_grad_()
    loss, n_correct, n_total = n_way_loss(video, audio, torch.tensor(5.0), ~ALL, ALL)
    loss.backward()
    assert loss.item() == 0 and int(n_correct) == 0 and n_total == 0
    assert torch.equal(video.grad, torch.zeros_like(video))


def test_a_gradient_step_reduces_the_loss():
    video, audio = embeddings(seed=3)
    video.requires_grad_()
    before = n_way_loss(video, audio, torch.tensor(5.0), ALL, ALL)[0]
    before.backward()
    updated = F.normalize(video.detach() - 0.5 * video.grad, dim=-1)
    assert n_way_loss(updated, audio, torch.tensor(5.0), ALL, ALL)[0] < before
    assert torch.isfinite(video.grad).all()


@pytest.mark.parametrize("sample_ids", [[0, 1, 2], [5, 5, 2]])
def test_windows_of_other_samples_are_negatives(sample_ids):
    """Except those of other segments of the same sample, one of which may be the positive."""
    video, audio = embeddings(batch=3, windows=5)
    anchors = torch.ones(3, 5, dtype=torch.bool)
    anchors[0, 1] = False
    candidates = torch.ones(3, 5, dtype=torch.bool)
    candidates[2, 3:] = anchors[2, 3:] = False

    def is_compared(segment, position, other, window) -> bool:
        if other == segment:
            return abs(window - position) != 1
        return sample_ids[other] != sample_ids[segment]

    losses, n_correct = [], 0
    for queries, keys in ((video, audio), (audio, video)):
        for segment, position in torch.nonzero(anchors).tolist():
            logits = {
                (other, window): 7 * float(queries[segment, position] @ keys[other, window])
                for other, window in torch.nonzero(candidates).tolist()
                if is_compared(segment, position, other, window)
            }
            total = sum(math.exp(value) for value in logits.values())
            losses.append(-math.log(math.exp(logits[segment, position]) / total))
            n_correct += max(logits, key=logits.get) == (segment, position)
    result = n_way_loss(
        video, audio, torch.tensor(7.0), anchors, candidates, torch.tensor(sample_ids)
    )
    assert float(result[0]) == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert (int(result[1]), result[2]) == (n_correct, len(losses))
