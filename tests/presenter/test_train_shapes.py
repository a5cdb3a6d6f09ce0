"""Shapes are learned from footage whose mouth is a known function of what is heard."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from src.core.errors import PresenterError
from src.models.spec import ModelSpec
from src.models.sync_model import SyncModel
from src.presenter.foreign_speech import HeardSpeech
from src.presenter.mouth_shapes import load_shapes
from src.presenter.sync_tools import SyncTools
from src.presenter.train_shapes import gather_examples, heard_around, train_shapes
from tests.support.made_presenters import DIM, SHA256, footage_clip, footage_of, presenter_of

SPEC = ModelSpec(48, 40, DIM, 16, 1, 0.0)
SIDE = 92
N_FRAMES = 400


def opening(angle):
    """How far the mouth opens for a sound, template units."""
    return 4 + 3 * np.sin(angle)


def sound(angle: np.ndarray) -> np.ndarray:
    """What the sync model hears of a sound: float32 [n, DIM], length 1."""
    parts = [np.cos(angle), np.sin(angle), *[0 * angle] * (DIM - 2)]
    return np.stack(parts, -1).astype(np.float32)


def draw(gap: float) -> np.ndarray:
    """A crop whose mouth is a dark ellipse."""
    rows, columns = np.indices((SIDE, SIDE)) + np.array([14, 2])[:, None, None]
    radius = ((columns - 48) / 14) ** 2 + ((rows - 60) / gap) ** 2
    crop = np.full((SIDE * 3 // 2, SIDE), 128, np.uint8)
    crop[:SIDE] = 170 - 110 / (1 + radius**3)
    return crop


def angles_of(seed: int, n: int = N_FRAMES) -> np.ndarray:
    """A sound that changes slowly and never repeats."""
    steps = np.random.default_rng(seed).normal(0.25, 0.15, n)
    return np.cumsum(steps)


def tools_of() -> SyncTools:
    torch.manual_seed(0)
    model = SyncModel(SPEC).eval()
    return SyncTools(model, {}, None, None, 60, 0.5, "model.pth", SHA256)


@pytest.fixture(scope="module")
def made():
    """A presenter, and the angle of the sound in each of its frames."""
    angles = angles_of(1)
    clip = footage_clip(((0.0, N_FRAMES / 25),), side=SIDE, duration_s=N_FRAMES / 25)
    grid = clip.grid.copy()
    grid["embedding"], grid["pose"] = sound(angles), 48.0
    at_hops = np.interp(np.arange(4 * N_FRAMES) / 4 + 2, np.arange(N_FRAMES), angles)
    clip = replace(
        clip, grid=grid, crops=np.stack([draw(opening(a)) for a in angles]),
        audio=sound(at_hops).astype(np.float16),
    )  # fmt: skip
    presenter = presenter_of(clip)
    return presenter, footage_of(presenter), angles


@pytest.mark.parametrize("offset_ms", [0.0, 80.0, -120.0])
def test_what_is_heard_around_a_frame(offset_ms):
    """``audio.npy`` tells the time: its first value is of frame 2, and 10 ms lie between two."""
    hops = np.arange(400)
    audio = sound(0.004 * hops).astype(np.float16)
    clip = replace(footage_clip(((0.0, 4.0),), offset_ms=offset_ms), audio=audio)
    heard = heard_around(clip, 2.0)
    assert heard.shape == (9, DIM) and np.allclose(np.linalg.norm(heard, axis=1), 1)
    times = np.arctan2(heard[:, 1], heard[:, 0]) / 0.4 + 0.08  # of the audio, seconds
    assert times == pytest.approx(2.0 + np.arange(-4, 5) / 25 - offset_ms / 1000, abs=0.006)


def test_frames_without_a_known_offset_are_not_learned_from():
    clips = footage_clip(offset_ms=None), footage_clip(seed=1, name="b.mp4")
    presenter = presenter_of(*clips)
    examples = gather_examples(presenter, footage_of(presenter), tools_of().model)
    assert set(examples.clip) == {1} and len(examples.regions) == len(clips[1].grid)
    assert not examples.follows[0]
    presenter = presenter_of(clips[0])
    with pytest.raises(PresenterError, match="no clear correlation"):
        gather_examples(presenter, footage_of(presenter), tools_of().model)


def test_shapes_follow_new_speech(made, tmp_path):
    presenter, footage, _ = made
    foreign = [HeardSpeech(sound(angles_of(seed, 80)), np.ones(80, bool)) for seed in (7, 8)]
    tools = tools_of()
    shapes = train_shapes(presenter, footage, foreign, tools, steps=150)
    assert all(value.requires_grad for value in tools.model.parameters())
    new = angles_of(42, 100)
    clip, pose = np.zeros(100, int), np.full((100, 12), 48.0)
    drawn = shapes.shape(sound(new), pose, clip)
    # The mouth is dark: the mean of what is drawn goes down with its opening.
    regions = [shapes.space.draw_region(z, 0, SPEC.region_shape) for z in drawn]
    darkness = -np.array([region.mean() for region in regions])
    assert np.corrcoef(darkness[4:-4], opening(new)[4:-4])[0, 1] > 0.95
    shapes.save(tmp_path / "shapes.npz")
    assert load_shapes(tmp_path / "shapes.npz").header.clips == [presenter.clips[0].key]


def test_the_same_seed_gives_the_same_shapes(made):
    presenter, footage, _ = made
    foreign = [HeardSpeech(sound(angles_of(7, 60)), np.ones(60, bool))]
    first, second = (
        train_shapes(presenter, footage, foreign, tools_of(), steps=3) for _ in range(2)
    )
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name])


def test_too_little_to_learn_from_is_one_line(made):
    presenter, footage, _ = made
    short = [HeardSpeech(sound(angles_of(7, 5)), np.ones(5, bool))]
    with pytest.raises(PresenterError, match="too short"):
        train_shapes(presenter, footage, short, tools_of(), steps=1)
    few = presenter_of(footage_clip(((0.0, 0.2),)))
    long = [HeardSpeech(sound(angles_of(7, 60)), np.ones(60, bool))]
    with pytest.raises(PresenterError, match="8 usable frames"):
        train_shapes(few, footage_of(few), long, tools_of(), steps=1)


def test_cancelling_leaves_the_model_as_it_was(made):
    presenter, footage, _ = made
    foreign = [HeardSpeech(sound(angles_of(7, 60)), np.ones(60, bool))]
    tools = tools_of()

    def cancel(steps, *_):
        yield next(iter(steps))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_shapes(presenter, footage, foreign, tools, steps=9, progress=cancel)
    assert all(value.requires_grad for value in tools.model.parameters())
