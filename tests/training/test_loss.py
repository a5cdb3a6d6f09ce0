"""The N-way loss, against loops that follow its description word by word."""

import math

import pytest
import torch
import torch.nn.functional as F

from src.training.loss import n_way_loss

ALL = torch.ones(2, 9, dtype=torch.bool)


def embeddings(batch=2, windows=9, dim=6, seed=0):
    torch.manual_seed(seed)
    return [F.normalize(torch.randn(batch, windows, dim), dim=-1) for _ in range(2)]


def naive_loss(video, audio, scale, usable, candidate):
    """Mean loss, right answers and questions: each window asks one after the other."""
    losses, right = [], 0
    for asking, answering in ((video, audio), (audio, video)):
        for clip in range(len(video)):
            for place in range(video.shape[1]):
                if not usable[clip, place]:
                    continue
                logits = {
                    other: scale * float(asking[clip, place] @ answering[clip, other])
                    for other in range(video.shape[1])
                    if candidate[clip, other] and abs(other - place) != 1
                }
                total = sum(math.exp(value) for value in logits.values())
                losses.append(-math.log(math.exp(logits[place]) / total))
                right += max(logits, key=logits.get) == place
    return sum(losses) / len(losses), right, len(losses)


def test_it_is_the_loop():
    video, audio = embeddings()
    usable = ALL.clone()
    usable[0, 2:5] = False
    candidate = ALL.clone()
    candidate[1, 6:] = usable[1, 6:] = False
    found = n_way_loss(video, audio, torch.tensor(7.0), usable, candidate)
    loss, right, asked = naive_loss(video, audio, 7.0, usable, candidate)
    assert float(found[0]) == pytest.approx(loss, rel=1e-5)
    assert (int(found[1]), found[2]) == (right, asked)
    assert asked == 2 * (6 + 6)


def test_equal_embeddings_cost_the_chance_level():
    same = F.normalize(torch.ones(1, 9, 4), dim=-1)
    loss, _, asked = n_way_loss(same, same, torch.tensor(10.0), ALL[:1], ALL[:1])
    # 7 candidates for the 7 inner windows, 8 for the two at the ends, which have one neighbour.
    assert float(loss) == pytest.approx((7 * math.log(7) + 2 * math.log(8)) / 9, rel=1e-5)
    assert asked == 18


def test_neighbours_are_neither_right_nor_wrong():
    video, audio = torch.eye(9)[None], torch.eye(9)[None].clone()
    loss = n_way_loss(video, audio, torch.tensor(20.0), ALL[:1], ALL[:1])[0]
    for place in range(8):  # every window looks like the one after it, too
        audio[0, place, place + 1] = 1
    audio = F.normalize(audio, dim=-1)
    confused, right, asked = n_way_loss(video, audio, torch.tensor(20.0), ALL[:1], ALL[:1])
    assert int(right) == asked == 18
    assert float(confused) < 1e-4 and float(loss) < 1e-4


def test_what_lies_in_the_padding_changes_nothing():
    video, audio = embeddings()
    exist = ALL.clone()
    exist[:, 5:] = False
    first = n_way_loss(video, audio, torch.tensor(5.0), exist, exist)
    video[:, 5:], audio[:, 5:] = F.normalize(torch.randn(2, 4, 6), dim=-1), 1 / math.sqrt(6)
    second = n_way_loss(video, audio, torch.tensor(5.0), exist, exist)
    assert float(first[0]) == float(second[0]) and first[2] == second[2] == 20


def test_without_questions_the_loss_is_zero_and_finite_gradients_flow():
    video, audio = embeddings()
    video.requires_grad_()
    loss, right, asked = n_way_loss(video, audio, torch.tensor(5.0), ~ALL, ALL)
    loss.backward()
    assert loss.item() == 0 and int(right) == 0 and asked == 0
    assert torch.equal(video.grad, torch.zeros_like(video))


def test_gradients_pull_the_true_pair_together():
    video, audio = embeddings(seed=3)
    video.requires_grad_()
    before = n_way_loss(video, audio, torch.tensor(5.0), ALL, ALL)[0]
    before.backward()
    better = F.normalize(video.detach() - 0.5 * video.grad, dim=-1)
    assert n_way_loss(better, audio, torch.tensor(5.0), ALL, ALL)[0] < before
    assert torch.isfinite(video.grad).all()


@pytest.mark.parametrize("origin", [[0, 1, 2], [5, 5, 2]])
def test_windows_of_other_clips_are_candidates_too(origin):
    """But for those of other pieces of the same clip, one of which may be the true one."""
    video, audio = embeddings(batch=3, windows=5)
    usable = torch.ones(3, 5, dtype=torch.bool)
    usable[0, 1] = False
    candidate = torch.ones(3, 5, dtype=torch.bool)
    candidate[2, 3:] = usable[2, 3:] = False
    losses, right = [], 0
    for asking, answering in ((video, audio), (audio, video)):
        for piece, place in torch.nonzero(usable).tolist():
            logits = {
                (other, there): 7 * float(asking[piece, place] @ answering[other, there])
                for other, there in torch.nonzero(candidate).tolist()
                if (abs(there - place) != 1 if other == piece else origin[other] != origin[piece])
            }
            total = sum(math.exp(value) for value in logits.values())
            losses.append(-math.log(math.exp(logits[piece, place]) / total))
            right += max(logits, key=logits.get) == (piece, place)
    found = n_way_loss(video, audio, torch.tensor(7.0), usable, candidate, torch.tensor(origin))
    assert float(found[0]) == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert (int(found[1]), found[2]) == (right, len(losses))
