"""Ways to train: what each changes, and that the table is made."""

import json
from types import SimpleNamespace

import pytest
import torch

from benchmarks import methods
from benchmarks.baselines import TimeBudget
from benchmarks.methods import METHODS, TEACHER
from src.core.config import load_config
from src.models.spec import ModelSpec
from src.models.sync_model import example_input
from src.training.loss import n_way_loss
from tests.support.training_helpers import settings_for

pytest_plugins = ("tests.support.training_fixtures",)

SPEC = ModelSpec.of(load_config(None, ["model.hidden_dim=32", "model.embedding_dim=16"]))


def samples_of(frames: dict[str, list[int]]) -> list[SimpleNamespace]:
    return [SimpleNamespace(speaker_id=speaker, n_frames=n) for speaker, counts in frames.items()
            for n in counts]  # fmt: skip


def test_half_of_the_people_and_half_of_the_clips_have_about_as_many_frames():
    samples = samples_of({"a": [50] * 8, "b": [40] * 9, "c": [100, 10], "d": [90]})
    people = methods.half_of_the_people(samples)
    assert {sample.speaker_id for sample in people} == {"a", "c"}
    assert len(people) == 10  # all clips of each
    clips = methods.half_of_the_clips(samples)
    kept = {speaker: [s.n_frames for s in clips if s.speaker_id == speaker] for speaker in "abcd"}
    assert kept == {"a": [50] * 4, "b": [40] * 4, "c": [100], "d": [90]}


def test_exchanged_appearance_keeps_movement_and_takes_the_light_of_another_segment():
    generator = torch.Generator().manual_seed(1)
    light = torch.tensor([0.0, 10.0, 20.0, 30.0])[:, None, None, None]
    movement = torch.randn(4, 6, 48, 64, generator=generator)
    mixed = methods.exchange_appearance(movement + light, generator)
    change = mixed - (movement + light)
    assert torch.allclose(change, change[:, :1].expand_as(change), atol=1e-4)  # the same each frame
    levels = mixed.mean((1, 2, 3)).round()
    assert set(levels.tolist()) <= {0.0, 10.0, 20.0, 30.0}
    assert (levels != light.flatten()).any()


def test_appearance_is_exchanged_in_training_only():
    torch.manual_seed(0)
    model = METHODS["exchanged appearance"].make_model(SPEC)
    regions, bands = example_input(SPEC, 9, 8)
    seen = []
    model.video.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.eval()(regions, bands)
    model.train()(regions, bands)
    assert torch.equal(seen[0], regions) and not torch.equal(seen[1], regions)


def test_late_negatives_come_from_other_clips_late_only():
    torch.manual_seed(0)
    model = METHODS["as it is"].make_model(SPEC)
    video, audio = torch.randn(2, 3, 12, 16)
    masks = (torch.ones(3, 12, dtype=torch.bool),) * 2
    ids = torch.arange(3)
    budget = SimpleNamespace(share=0.1)
    loss = methods.late_negatives(model, budget)
    early = loss(model, video, audio, *masks, ids)[0]
    budget.share = 0.9
    late = loss(model, video, audio, *masks, ids)[0]
    assert early == n_way_loss(video, audio, model.scale, *masks)[0]
    assert late == n_way_loss(video, audio, model.scale, *masks, ids)[0] != early


def test_a_student_is_drawn_to_the_choices_of_its_teacher():
    torch.manual_seed(0)
    spec = ModelSpec.of(load_config(None, ["model.view=lower_face"]))
    model = methods.student(spec).train()
    regions, bands = example_input(model.spec, 16, 2)
    video, audio = model(regions, bands)
    assert video.shape == (2, 12, 256)
    masks = (torch.ones(2, 12, dtype=torch.bool),) * 2
    loss = methods.distillation(model, TimeBudget(torch.device("cpu"), 1))
    with torch.no_grad():
        own = n_way_loss(video, audio, model.scale, *masks)[0]
        teacher = methods.load_trained(TEACHER, torch.device("cpu")).model.eval()
        same = teacher(regions, bands)
        apart = loss(model, video, audio, *masks, None)[0] - own
        model.log_scale.copy_(teacher.log_scale)
        equal = loss(model, *same, *masks, None)[0]
        equal = equal - n_way_loss(*same, model.scale, *masks)[0]
    assert apart > 0.01 and equal.abs() < 1e-4


def test_levels_of_three_seconds_are_those_around_each_hop():
    bands = torch.randn(1, 900, 40, generator=torch.Generator().manual_seed(0))
    bands[:, 450:] = 2 * bands[:, 450:] + 1
    local = methods.remove_local_levels(bands)
    assert local.abs().max() <= 4
    for hop, span in ((0, (0, 151)), (200, (50, 351)), (460, (310, 611)), (899, (749, 900))):
        around = bands[0, slice(*span)].double().numpy()
        deviation = around.var(0).mean() ** 0.5
        expected = (bands[0, hop].numpy() - around.mean(0)) / deviation
        assert local[0, hop].numpy() == pytest.approx(expected.clip(-4, 4), abs=1e-3)


def test_without_the_mean_face_what_does_not_move_changes_nothing():
    torch.manual_seed(0)
    model = METHODS["without the mean face"].make_model(SPEC).eval()
    regions, bands = example_input(SPEC, 12, 2)
    still = torch.randn(2, 1, *regions.shape[2:], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        video, audio = model(regions, bands)
        other, same = model(regions + still, bands)
        moved = model(regions + still * torch.arange(12)[:, None, None], bands)[0]
    assert torch.allclose(video, other, atol=1e-5) and torch.equal(audio, same)
    assert not torch.allclose(video, moved, atol=1e-2)


def two_pass_model():
    torch.manual_seed(0)
    model = methods.with_kept_inputs(SPEC).eval()  # without chance
    masks = (torch.ones(4, 12, dtype=torch.bool),) * 2
    return model, model(*example_input(SPEC, 16, 4)), masks


def test_the_sharpness_aware_gradient_is_that_of_the_moved_weights():
    model, embeddings, masks = two_pass_model()
    before = [weight.detach().clone() for weight in model.parameters()]
    total, *_ = methods.sharpness_aware(model, None)(model, *embeddings, *masks, None)
    own = n_way_loss(*model(*model.latest_inputs), model.scale, *masks)[0]
    assert total.item() == pytest.approx(own.item(), rel=1e-5)
    model.zero_grad()
    total.backward()
    gradient = [weight.grad.clone() for weight in model.parameters()]
    for weight, value in zip(model.parameters(), before, strict=True):
        assert torch.allclose(weight, value, atol=1e-6), "moved only for a while"

    model.zero_grad()
    own.backward()
    steps = [weight.grad.clone() for weight in model.parameters()]
    norm = sum(step.square().sum() for step in steps).sqrt()
    with torch.no_grad():
        for weight, step in zip(model.parameters(), steps, strict=True):
            weight += methods.SHARPNESS * step / norm
    model.zero_grad()
    n_way_loss(*model(*model.latest_inputs), model.scale, *masks)[0].backward()
    for value, weight in zip(gradient, model.parameters(), strict=True):
        assert torch.allclose(value, weight.grad, rtol=1e-2, atol=1e-5)
    pairs = zip(gradient, steps, strict=True)
    assert any((value - step).abs().max() > 1e-3 for value, step in pairs)


def test_two_variants_of_a_segment_are_drawn_to_each_other(monkeypatch):
    model, embeddings, masks = two_pass_model()
    loss = methods.consistency(model, None)
    own = n_way_loss(*embeddings, model.scale, *masks)[0]
    apart = loss(model, *embeddings, *masks, None)[0] - own
    assert apart > 1e-3
    model(*example_input(SPEC, 16, 4))
    monkeypatch.setattr(methods, "vary", lambda regions, bands, generator: (regions, bands))
    equal = loss(model, *embeddings, *masks, None)[0] - own
    assert equal.abs() < 1e-5


@pytest.mark.slow
def test_the_table(corpus, tmp_path, monkeypatch, capsys):
    rows = ["as it is", "moving average of the weights", "negatives of all clips, late"]
    command = ["methods.py", *settings_for(corpus), "--minutes", "0.02", "--rows", *rows,
               "--output", str(tmp_path)]  # fmt: skip
    monkeypatch.setattr("sys.argv", command)
    assert methods.main() == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0][2:] for line in lines[1:]] == rows
    results = [json.loads(path.read_text()) for path in tmp_path.glob("*_*.json")]
    assert len(results) == 3 and all(result["frames"] > 0 for result in results)
    monkeypatch.setattr(methods, "train_for", None)
    assert methods.main() == 0  # finished rows are not trained again
