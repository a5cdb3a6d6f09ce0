"""The tab "Training": one's own clips become samples, and a model is trained with them."""

from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from ..checkpoints.location import BEST, LAST
from ..i18n.messages import tr, tr_n
from .jobs import WAITING
from .tab import (
    AUDIO_SUFFIXES,
    VIDEO_SUFFIXES,
    JobParts,
    Page,
    TabActions,
    TabEvents,
    TabState,
    address,
)
from .training_tasks import (
    AUDIOS,
    STOP_NAME,
    VIDEOS,
    Point,
    Prepared,
    Trained,
    prepare_clips,
    train_clips,
)
from .views import (
    downloads_view,
    growing_plot,
    image_view,
    message_view,
    table_view,
)
from .visitors import Visitor

CHECKPOINTS = "checkpoints"  # and a number: folders of trainings
MAX_FILES = 1000
EPOCHS = 60  # of few clips, from the included weights
MAX_EPOCHS = 1000
PLOT_WIDTH = 320  # px at least: on a phone, one is below the other
KEPT_LONGER_S = 12 * 3600  # a training may end in the night


@dataclass
class TrainingState(TabState):
    """What a visitor has in this tab; ``revision`` is that of what the clips became.

    Attributes:
        is_training: whether the job is a training, and not the preparation of clips.
        prepared: what the clips became, or None.
        trained: how the latest training ended, or None.
        points: of its epochs.
        is_resumable: it was begun with the clips that there are now.
        is_clearing: to delete all was asked for once.
        curves_revision: goes up with each change of the training.
        n_trainings: since there is a folder.
    """

    name = "training"

    is_training: bool = False
    prepared: Prepared | None = None
    trained: Trained | None = None
    points: list[Point] = field(default_factory=list)
    is_resumable: bool = False
    is_clearing: bool = False
    curves_revision: int = 0
    n_trainings: int = 0

    @property
    def revisions(self) -> tuple[int, ...]:
        """Of the clips, and of the training."""
        return self.revision, self.curves_revision

    @property
    def best(self) -> Path | None:
        """The best model so far, or None."""
        path = self.checkpoints / BEST if self.n_trainings else None
        return path if path is not None and path.is_file() else None

    @property
    def can_resume(self) -> bool:
        """Whether there is a training to go on with."""
        return self.is_resumable and (self.checkpoints / LAST).is_file()

    @property
    def checkpoints(self) -> Path:
        """The folder of the latest training: each has its own."""
        return self.folder / f"{CHECKPOINTS}{self.n_trainings}"


# ---------------------------------------------------------------------------- what is begun


class TrainingActions(TabActions[TrainingState]):
    """What the buttons begin."""

    state_type = TrainingState

    def prepare(self, visitor: Visitor, files: list[str] | None) -> bool:
        """Add uploaded clips to those that there are, and make samples of all; whether that was
        begun."""
        state = self.state(visitor)
        if not self._may_begin(state):
            return False
        files = files or []
        is_new = state.folder is None
        if is_new and not any(_suffix(path) in VIDEO_SUFFIXES for path in files):
            state.text = tr("Choose videos first.")
            return False
        if len(files) > MAX_FILES:
            state.text = tr("Choose at most {n} videos at a time.", n=MAX_FILES)
            return False
        if is_new:
            state.folder = visitor.new_folder()
        for kind in (VIDEOS, AUDIOS):
            (state.folder / kind).mkdir(exist_ok=True)
        names = self._copy(visitor, ((path, state.folder / _kind(path)) for path in files))
        if names is None:
            if is_new:
                visitor.forget(state.folder)
                state.folder = None
            return False

        def keep(prepared: Prepared) -> None:
            state.prepared = prepared

        state.prepared = None
        state.is_training = state.is_resumable = state.is_clearing = False
        state.revision += 1
        self._begin(visitor, prepare_clips, {"max_minutes": self._page.max_minutes}, keep)
        return True

    def start(self, visitor: Visitor, epochs: float, is_pretrained: bool) -> None:
        """Begin a training; its models take the place of those of an earlier one."""
        state = self.state(visitor)
        if state.is_busy or state.prepared is None or not state.prepared.n_samples:
            return
        state.points, state.is_resumable = [], True
        state.n_trainings += 1
        self._train(visitor, epochs, is_pretrained, False)

    def resume(self, visitor: Visitor, epochs: float, is_pretrained: bool) -> None:
        """Go on with the training that was stopped, or has ended."""
        state = self.state(visitor)
        if state.is_busy or not state.can_resume:
            return
        if state.points and state.points[-1].epoch >= int(epochs):
            state.text = tr_n("{n} epoch is done: choose more, to go on.",
                              "{n} epochs are done: choose more, to go on.",
                              state.points[-1].epoch)  # fmt: skip
            return
        self._train(visitor, epochs, is_pretrained, True)

    def cancel(self, visitor: Visitor) -> None:
        """End a training, which saves; cancel all else."""
        state = self.state(visitor)
        if state.is_busy and state.is_training and state.job.state != WAITING:
            (state.job.folder / STOP_NAME).touch()
        else:
            super().cancel(visitor)

    def clear(self, visitor: Visitor) -> None:
        """Delete the clips with all that was made of them, when asked for twice."""
        state = self.state(visitor)
        if state.is_busy or state.folder is None:
            return
        if not state.is_clearing:
            state.is_clearing = True
            return
        visitor.forget(state.folder)
        visitor.tabs[state.name] = TrainingState(
            revision=state.revision + 1, curves_revision=state.curves_revision + 1
        )

    def _train(
        self, visitor: Visitor, epochs: float, is_pretrained: bool, is_resumed: bool
    ) -> None:
        state = self.state(visitor)
        state.trained, state.is_training, state.is_clearing = None, True, False
        state.curves_revision += 1

        def add(point: Point) -> None:
            state.points.append(point)
            state.curves_revision += 1

        def keep(trained: Trained) -> None:
            state.trained = trained
            state.curves_revision += 1
            visitor.touch(KEPT_LONGER_S)

        n_done = state.points[-1].epoch if state.points else 0
        inputs = {"checkpoints": state.checkpoints.name, "epochs": int(epochs), "n_done": n_done,
                  "is_pretrained": is_pretrained, "is_resumed": is_resumed}  # fmt: skip
        self._begin(visitor, train_clips, inputs, keep, add, self._page.trainings)


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()


def _kind(path: str) -> str:
    return VIDEOS if _suffix(path) in VIDEO_SUFFIXES else AUDIOS


# ---------------------------------------------------------------------------- what is shown


def build_training_tab(page: Page, blocks: gr.Blocks) -> None:
    """Put the tab into the page, with its events."""
    files = gr.File(
        label=tr("Videos of people speaking, and their audio files"),
        file_count="multiple", file_types=VIDEO_SUFFIXES + AUDIO_SUFFIXES,
        elem_id="ls-clips", height=160,
    )  # fmt: skip
    with gr.Row():
        prepare = gr.Button(tr("Prepare the clips"), variant="primary", elem_id="ls-prepare")
        clear = gr.Button(tr("Delete all clips"), visible=False, elem_id="ls-clear")
    found = gr.HTML(elem_id="ls-found")
    with gr.Column(visible=False) as second:
        epochs = gr.Slider(
            1, MAX_EPOCHS, value=EPOCHS, step=1, label=tr("Epochs (passes over the clips)"),
            elem_id="ls-epochs",
        )  # fmt: skip
        pretrained = gr.Checkbox(
            True, label=tr("start from the included model (better with few clips)"),
            elem_id="ls-pretrained",
        )  # fmt: skip
        with gr.Row():
            start = gr.Button(tr("Train"), variant="primary", elem_id="ls-train")
            resume = gr.Button(tr("Resume"), visible=False, elem_id="ls-resume")
    error = gr.HTML(elem_id="ls-training-error")
    progress = gr.HTML()
    stop = gr.Button(tr("Stop"), variant="stop", visible=False, elem_id="ls-training-stop")
    message = gr.HTML(elem_id="ls-training-message")
    downloads = gr.HTML(elem_id="ls-training-downloads")
    with gr.Row(visible=False) as plots:
        loss = gr.Plot(label=tr("Loss"), show_label=False, min_width=PLOT_WIDTH)
        accuracy = gr.Plot(label=tr("Accuracy"), show_label=False, min_width=PLOT_WIDTH)
    actions = TrainingActions(page)

    def show(visitor: Visitor, state: TrainingState, is_new: bool, are_curves_new: bool) -> dict:
        busy = state.is_busy
        updates = {
            stop: gr.Button(
                visible=busy, value=tr("Stop") if state.is_training else tr("Cancel")
            ),
            clear: gr.Button(
                visible=state.folder is not None and not busy,
                value=tr("Click again: delete clips and model") if state.is_clearing
                else tr("Delete all clips"),
            ),
            resume: gr.Button(visible=state.can_resume and not busy),
        }  # fmt: skip
        if is_new:
            prepared = state.prepared
            updates[second] = gr.Column(visible=bool(prepared and prepared.n_samples))
            updates[found] = _found(visitor, prepared)
        if are_curves_new:
            updates |= _curves(visitor, state)
        return updates

    def _curves(visitor: Visitor, state: TrainingState) -> dict:
        points = state.points
        updates = {
            message: _message(state), plots: gr.Row(visible=bool(points)), downloads: "",
        }  # fmt: skip
        if points and state.best is not None:
            updates[downloads] = downloads_view([
                (tr("Best model so far ({name})", name=BEST), address(visitor, state.best))
            ])  # fmt: skip
        if not points:
            return updates
        x, names = [point.epoch for point in points], (tr("training"), tr("validation"))
        losses = [point.train_loss for point in points], [point.val_loss for point in points]
        shares = (
            [point.train_accuracy for point in points], [point.val_accuracy for point in points],
        )  # fmt: skip
        updates[loss] = growing_plot(tr("Loss"), x, dict(zip(names, losses, strict=True)))
        updates[accuracy] = growing_plot(tr("Accuracy"), x, dict(zip(names, shares, strict=True)))
        return updates

    def take(visitor: Visitor, chosen: list[str] | None) -> dict:
        """Clips that were taken are not taken again."""
        return {files: None} if actions.prepare(visitor, chosen) else {}

    parts = JobParts(error, progress, stop, (prepare, start))
    others = [files, clear, found, second, resume, message, downloads, plots, loss, accuracy]
    events = TabEvents(blocks, page, actions, parts, others, show)
    events.on(prepare.click, take, [files])
    events.on(clear.click, actions.clear)
    events.on(start.click, actions.start, [epochs, pretrained])
    events.on(resume.click, actions.resume, [epochs, pretrained])


def _found(visitor: Visitor, prepared: Prepared | None) -> str:
    if prepared is None:
        return ""
    parts = [*map(message_view, prepared.lines)]
    if prepared.skipped:
        lines = [[(name, None), (reason, None)] for name, reason in prepared.skipped]
        parts.append(table_view([tr("not used, or only in part"), tr("why")], lines))
    if prepared.sheet is not None:
        text = tr("What the model sees of each clip: always the speaker's mouth, and upright")
        parts.append(image_view(address(visitor, prepared.sheet), text))
    return "".join(parts)


def _message(state: TrainingState) -> str:
    if state.trained is None:
        return ""
    if not state.trained.is_finished:
        return message_view(tr("Stopped. Resume goes on from here."))
    hint = tr("To use it: python app.py --checkpoint {name}", name=BEST)
    return "".join(map(message_view, [*state.trained.lines, hint]))
