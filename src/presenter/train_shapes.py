"""Learns the shapes of a person's mouth from their footage (``mouth_shapes``).

Two things are asked of the network: that it draws the frames of the footage for the footage's own
audio, and that the sync model finds what it draws for the speech of others in sync, as much as the
person's real mouth is (Prajwal et al. 2020 use such a frozen expert). Without the second it fails
on any voice but the person's own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..core.constants import FPS, HOPS_PER_FRAME, WINDOW_FRAMES
from ..core.errors import PresenterError
from ..core.progress import Progress, no_progress
from ..i18n.messages import tr
from ..models.sync_model import SyncModel
from .footage import Footage, FrameRows
from .foreign_speech import HeardSpeech
from .mouth_shapes import (
    CONTEXT,
    FaceSpace,
    MouthShapes,
    ShapeNetwork,
    ShapesHeader,
    with_context,
)
from .store import FootageClip, Presenter
from .sync_regions import region_matrix, sync_region
from .sync_tools import SyncTools

STEPS = 1200
ROWS = 256  # frames of the footage in a step
SEQUENCES, SEQUENCE_FRAMES = 3, 24  # drawn for the speech of others, in every second step
MIN_SEQUENCE_FRAMES = 8
LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 2e-3, 1e-2, 50
SYNC_WEIGHT = 0.3
AVERAGE = 0.995  # of the moving average of the weights: some 200 steps
COMPONENTS = 64
SPACE_ROWS = 1500  # frames that the principal components are computed from, at most
# The mouth counts in full, the rest of the face less: an ellipse in template units.
MOUTH_CENTRE, MOUTH_HALF_AXES, LEAST_WEIGHT = (48.0, 60.0), (27.0, 20.0), 0.15


@dataclass(frozen=True)
class Examples:
    """The footage as it is learned from, ``N`` frames at 25 fps.

    Attributes:
        regions: uint8 [N, height, width], what the sync model sees.
        audio: float32 [N, 9, D], what is heard around them.
        clip: int [N].
        pose: float32 [N, P].
        video: float32 [N, D], embeddings of the frames.
        has_speech, follows: bool [N].
    """

    regions: np.ndarray
    audio: np.ndarray
    clip: np.ndarray
    pose: np.ndarray
    video: np.ndarray
    has_speech: np.ndarray
    follows: np.ndarray


def gather_examples(presenter: Presenter, footage: Footage, model: SyncModel) -> Examples:
    """The frames of the footage whose audio is known to be in sync.

    Raises:
        PresenterError: there are none.
    """
    keep = np.array([presenter.clips[n].record.offset_ms is not None for n in footage.clip], bool)
    numbers = np.flatnonzero(keep)
    if not len(numbers):
        raise PresenterError(
            tr("lips and audio of the footage show no clear correlation: use footage in which the "
               "person's own voice is heard")
        )  # fmt: skip
    rows = FrameRows(presenter)
    regions, audio = [], []
    for number in numbers:
        clip_number = int(footage.clip[number])
        clip, time_s = presenter.clips[clip_number], float(footage.time[number])
        row = rows.nearest(clip_number, int(footage.run[number]), time_s)
        regions.append(sync_region(clip.crops[row], model.spec))
        audio.append(heard_around(clip, time_s))
    frames = footage.frames
    return Examples(
        np.stack(regions), np.stack(audio), footage.clip[keep], frames.pose[keep],
        frames.embedding[keep], footage.has_speech[keep], frames.follows[keep],
    )  # fmt: skip


def heard_around(clip: FootageClip, time_s: float) -> np.ndarray:
    """The clip's own audio in the frames around a time of its video: float32 [9, D], length 1."""
    times = time_s + np.arange(-CONTEXT, CONTEXT + 1) / FPS - clip.record.offset_ms / 1000
    hops = np.rint((times * FPS - WINDOW_FRAMES // 2) * HOPS_PER_FRAME).astype(int)
    heard = clip.audio[np.clip(hops, 0, len(clip.audio) - 1)].astype(np.float32)
    return heard / np.maximum(np.linalg.norm(heard, axis=1, keepdims=True), 1e-6)


def train_shapes(
    presenter: Presenter,
    footage: Footage,
    foreign: list[HeardSpeech],
    tools: SyncTools,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress = no_progress,
) -> MouthShapes:
    """Train a network for a person. The same footage and seed give the same network.

    Args:
        presenter, footage: of the person.
        foreign: speech of others; what is shorter than a sequence is left out.
        steps: of the training.
        progress: reports the steps; to cancel, it raises an exception of its own.

    Raises:
        PresenterError: the footage or the speech of others is too short.
    """
    examples = gather_examples(presenter, footage, tools.model)
    space, components = make_space(examples, len(presenter.clips), tools.model)
    header = ShapesHeader(
        model=tools.sha256, clips=[clip.key for clip in presenter.clips],
        region=tools.model.spec.region_shape, audio_dim=examples.audio.shape[2],
        pose_dim=examples.pose.shape[1], components=components.shape[1], steps=steps,
    )  # fmt: skip
    with _frozen(tools.model), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ShapeNetwork(
            header.audio_dim, header.pose_dim, len(header.clips), header.components
        )
        trainer = _Trainer(network, examples, space, components, foreign, tools.model, seed)
        for step in progress(range(steps), tr("training the shapes of the mouth"), steps):
            trainer.step(step, steps)
    network.load_state_dict(trainer.average)
    return MouthShapes(header, space, network.eval())


@contextmanager
def _frozen(model: SyncModel) -> Iterator[None]:
    """No gradients are computed for the weights of the model."""
    trained = [value for value in model.parameters() if value.requires_grad]
    for value in trained:
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in trained:
            value.requires_grad_(True)


def make_space(examples: Examples, n_clips: int, model: SyncModel) -> tuple[FaceSpace, np.ndarray]:
    """The principal components of the faces, and those of each frame: float32 [N, K]."""
    values = examples.regions.reshape(len(examples.regions), -1).astype(np.float32) / 255
    levels = np.tile(np.float32([values.mean(), values.std()]), (n_clips, 1))
    for number in np.unique(examples.clip):
        own = values[examples.clip == number]
        levels[number] = own.mean(), max(own.std(), 1e-3)
    values = (values - levels[examples.clip, :1]) / levels[examples.clip, 1:]
    mean = values.mean(0)
    values -= mean
    weight = _mouth_weight(model).ravel()
    weighted = values * weight
    _, _, axes = np.linalg.svd(
        weighted[:: max(1, len(weighted) // SPACE_ROWS)], full_matrices=False
    )
    axes = axes[: min(COMPONENTS, max(1, len(axes) // 2))]
    components = weighted @ axes.T
    scale = np.float32(max(components.std(0).mean(), 1e-6))
    components /= scale
    draw = np.linalg.lstsq(components, values, rcond=None)[0]
    pose = examples.pose
    space = FaceSpace(
        draw=draw.astype(np.float32), mean=mean.astype(np.float32),
        project=(weight[:, None] * axes.T / scale).astype(np.float32), levels=levels,
        pose_mean=pose.mean(0).astype(np.float32),
        pose_scale=(pose.std(0) + 0.3).astype(np.float32),  # units: less is noise
    )  # fmt: skip
    return space, components.astype(np.float32)


def _mouth_weight(model: SyncModel) -> np.ndarray:
    """float32 [height, width], ``LEAST_WEIGHT`` … 1."""
    to_units, (height, width) = region_matrix(model.spec), model.spec.region_shape
    x = to_units[0, 0] * np.arange(width) + to_units[0, 2] - MOUTH_CENTRE[0]
    y = to_units[1, 1] * np.arange(height) + to_units[1, 2] - MOUTH_CENTRE[1]
    radius = (x[None] / MOUTH_HALF_AXES[0]) ** 2 + (y[:, None] / MOUTH_HALF_AXES[1]) ** 2
    fade = np.exp(-1.5 * np.maximum(radius - 0.6, 0))
    return (LEAST_WEIGHT + (1 - LEAST_WEIGHT) * fade).astype(np.float32)


class _Trainer:
    """The state of a training. ``average``: moving average of the weights."""

    def __init__(
        self, network: ShapeNetwork, examples: Examples, space: FaceSpace, components: np.ndarray,
        foreign: list[HeardSpeech], model: SyncModel, seed: int,
    ):  # fmt: skip
        self._network, self._model = network.train(), model.eval()
        self._random = np.random.default_rng(seed)
        self._audio = torch.from_numpy(examples.audio)
        self._head = torch.from_numpy(space.head(examples.pose, examples.clip))
        self._components = torch.from_numpy(components)
        self._draw, self._mean = torch.from_numpy(space.draw), torch.from_numpy(space.mean)
        self._length, self._ends = _find_sequences(examples.follows)
        self._foreign = [s for s in foreign if len(s.embedding) > self._length]
        if not self._foreign:
            raise PresenterError(tr("the speech of others is too short: give longer recordings"))
        self._contexts = [torch.from_numpy(with_context(s.embedding)) for s in self._foreign]
        spoken = examples.has_speech if examples.has_speech.any() else slice(None)
        own = (examples.video * examples.audio[:, CONTEXT]).sum(1)
        self._real_similarity = float(own[spoken].mean())
        self._optimizer = torch.optim.AdamW(
            network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        self.average = {name: value.clone() for name, value in network.state_dict().items()}

    def step(self, number: int, n_steps: int) -> None:
        """One step of the optimizer."""
        rate = 0.5 + 0.5 * np.cos(np.pi * number / n_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (number + 1) / WARM_UP) * rate
        rows = self._random.integers(0, len(self._components), ROWS)
        drawn = self._network(self._audio[rows], self._head[rows])
        loss = F.smooth_l1_loss(drawn, self._components[rows])
        if number % 2 == 0:
            loss = loss + SYNC_WEIGHT * self._sync_loss()
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        keep = min(AVERAGE, (number + 1) / (number + 20))
        with torch.no_grad():
            for name, value in self._network.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)

    def _sync_loss(self) -> torch.Tensor:
        """How much less in sync than the real mouth what is drawn for other voices is."""
        length, half = self._length, WINDOW_FRAMES // 2
        drawn, heard = [], []
        for _ in range(SEQUENCES):
            end = self._random.choice(self._ends)
            which = self._random.integers(len(self._foreign))
            embedding = self._foreign[which].embedding
            first = self._random.integers(0, len(embedding) - length)
            head = self._head[end - length + 1 : end + 1]
            drawn.append(self._network(self._contexts[which][first : first + length], head))
            heard.append(torch.from_numpy(embedding[first + half : first + length - half]))
        regions = torch.stack(drawn) @ self._draw + self._mean
        regions = regions.view(SEQUENCES, length, *self._model.spec.region_shape)
        device = self._model.log_scale.device
        similarity = (self._model.video(regions.to(device)).cpu() * torch.stack(heard)).sum(-1)
        return F.relu(self._real_similarity - similarity).mean()


def _find_sequences(follows: np.ndarray) -> tuple[int, np.ndarray]:
    """How many frames in a row are drawn, and the numbers of the frames that end so many.

    Raises:
        PresenterError: there are no ``MIN_SEQUENCE_FRAMES``.
    """
    count = np.zeros(len(follows), int)
    for number in range(len(follows)):
        count[number] = count[number - 1] + 1 if number and follows[number] else 1
    for length in (SEQUENCE_FRAMES, MIN_SEQUENCE_FRAMES):
        ends = np.flatnonzero(count >= length)
        if len(ends):
            return length, ends
    raise PresenterError(
        tr("the footage holds no stretch of {n} usable frames", n=MIN_SEQUENCE_FRAMES)
    )
