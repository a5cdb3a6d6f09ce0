"""The tab "Training": one's own clips become samples, and a model is trained with them."""

from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from ..checkpoints.checkpoint import BEST, LAST
from ..core.errors import LipSyncError
from ..i18n.messages import tr
from .jobs import WAITING, Job, Queue
from .tab import AUDIO_SUFFIXES, LOOK, QUICK, TICK_S, VIDEO_SUFFIXES, Page, address, status_of
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
    error_view,
    growing_plot,
    image_view,
    message_view,
    table_view,
)
from .visitors import Visitor

NAME = "training"
CHECKPOINTS = "checkpoints"  # and a number: folders of trainings
MAX_FILES = 1000
EPOCHS = 60  # of few clips, from the included weights
MAX_EPOCHS = 1000
PLOT_WIDTH = 320  # px at least: on a phone, one is below the other
KEPT_LONGER_S = 12 * 3600  # a training may end in the night


@dataclass
class TrainingState:
    """What a visitor has in this tab.

    Attributes:
        folder: of the clips and of all that is made of them; None: there is none.
        job: the latest one, or None.
        queue: where it is.
        is_training: whether it is a training, and not the preparation of clips.
        text: why nothing could be begun.
        prepared: what the clips became, or None.
        trained: how the latest training ended, or None.
        points: of its epochs.
        is_resumable: it was begun with the clips that there are now.
        is_clearing: to delete all was asked for once.
        revision: goes up with each change of what the clips became …
        curves_revision: … and of the training.
        n_jobs, n_trainings: since there is a folder.
    """

    folder: Path | None = None
    job: Job | None = None
    queue: Queue | None = None
    is_training: bool = False
    text: str = ""
    prepared: Prepared | None = None
    trained: Trained | None = None
    points: list[Point] = field(default_factory=list)
    is_resumable: bool = False
    is_clearing: bool = False
    revision: int = 0
    curves_revision: int = 0
    n_jobs: int = 0
    n_trainings: int = 0

    @property
    def is_busy(self) -> bool:
        """Whether work goes on."""
        return self.job is not None and self.job.is_busy

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


def state_of(visitor: Visitor) -> TrainingState:
    """What a visitor has in this tab."""
    return visitor.tabs.setdefault(NAME, TrainingState())


# ---------------------------------------------------------------------------- what is begun


class TrainingActions:
    """What the buttons begin; each returns at once.

    Args:
        page: of which language.
    """

    def __init__(self, page: Page):
        self._page = page

    def prepare(self, visitor: Visitor, files: list[str] | None) -> bool:
        """Add uploaded clips to those that there are, and make samples of all; whether that was
        begun."""
        state = state_of(visitor)
        if state.is_busy:
            return False
        state.job, state.text = None, ""
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
        try:
            for path in files:
                kind = VIDEOS if _suffix(path) in VIDEO_SUFFIXES else AUDIOS
                (state.folder / kind).mkdir(exist_ok=True)
                visitor.take_upload(path, state.folder / kind)
        except LipSyncError as error:
            if is_new:
                visitor.forget(state.folder)
                state.folder = None
            state.text = str(error)
            return False

        def keep(prepared: Prepared) -> None:
            state.prepared = prepared
            state.revision += 1

        state.prepared = None
        state.is_training = state.is_resumable = False
        state.revision += 1
        self._begin(visitor, self._page.queue, prepare_clips,
                    {"max_minutes": self._page.max_minutes}, keep)  # fmt: skip
        return True

    def start(self, visitor: Visitor, epochs: float, is_pretrained: bool) -> None:
        """Begin a training; its models take the place of those of an earlier one."""
        state = state_of(visitor)
        if state.is_busy or state.prepared is None or not state.prepared.n_samples:
            return
        state.points, state.is_resumable = [], True
        state.n_trainings += 1
        self._train(visitor, epochs, is_pretrained, False)

    def resume(self, visitor: Visitor, epochs: float, is_pretrained: bool) -> None:
        """Go on with the training that was stopped, or has ended."""
        state = state_of(visitor)
        if state.is_busy or not state.can_resume:
            return
        if state.points and state.points[-1].epoch >= int(epochs):
            state.text = tr("{n} epochs are done: choose more, to go on.",
                            n=state.points[-1].epoch)  # fmt: skip
            return
        self._train(visitor, epochs, is_pretrained, True)

    def stop(self, visitor: Visitor) -> None:
        """End a training, which saves; cancel all else."""
        state = state_of(visitor)
        if not state.is_busy:
            return
        if state.is_training and state.job.state != WAITING:
            (state.job.folder / STOP_NAME).touch()
        else:
            state.queue.cancel(state.job)

    def clear(self, visitor: Visitor) -> None:
        """Delete the clips with all that was made of them, when asked for twice."""
        state = state_of(visitor)
        if state.is_busy or state.folder is None:
            return
        if not state.is_clearing:
            state.is_clearing = True
            return
        visitor.forget(state.folder)
        revisions = state.revision + 1, state.curves_revision + 1
        visitor.tabs[NAME] = TrainingState(revision=revisions[0], curves_revision=revisions[1])

    def _train(
        self, visitor: Visitor, epochs: float, is_pretrained: bool, is_resumed: bool
    ) -> None:
        state = state_of(visitor)
        state.trained, state.is_training = None, True
        state.curves_revision += 1

        def add(point: Point) -> None:
            with visitor.lock:
                state.points.append(point)
                state.curves_revision += 1

        def keep(trained: Trained) -> None:
            state.trained = trained
            state.curves_revision += 1
            visitor.touch(KEPT_LONGER_S)

        n_done = state.points[-1].epoch if state.points else 0
        inputs = {"checkpoints": state.checkpoints.name, "epochs": int(epochs), "n_done": n_done,
                  "is_pretrained": is_pretrained, "is_resumed": is_resumed}  # fmt: skip
        self._begin(visitor, self._page.trainings, train_clips, inputs, keep, add)

    def _begin(
        self, visitor: Visitor, queue: Queue, task, inputs: dict, keep, on_part=None
    ) -> None:
        state = state_of(visitor)
        state.n_jobs += 1
        folder = state.folder / f"out{state.n_jobs}"
        folder.mkdir()

        def done(result) -> None:
            with visitor.lock:
                keep(result)
            visitor.touch()

        visitor.touch()
        state.text, state.queue, state.is_clearing = "", queue, False
        state.job = Job(task, inputs, folder, done, on_part)
        queue.add(state.job)


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()


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
    seen, seen_curves = gr.State(-1), gr.State(-1)
    timer = gr.Timer(TICK_S, active=False)
    actions = TrainingActions(page)

    def show(visitor: Visitor, seen_revision: int, seen_curves_revision: int) -> dict:
        with visitor.lock:
            state = state_of(visitor)
            busy = state.is_busy
            status, failure = status_of(state.job, state.queue or page.queue)
            updates = {
                error: error_view(failure or state.text), progress: status, seen: state.revision,
                seen_curves: state.curves_revision, timer: gr.Timer(active=busy),
                stop: gr.Button(
                    visible=busy, value=tr("Stop") if state.is_training else tr("Cancel")
                ),
                prepare: gr.Button(interactive=not busy), start: gr.Button(interactive=not busy),
                clear: gr.Button(
                    visible=state.folder is not None and not busy,
                    value=tr("Click again: delete clips and model") if state.is_clearing
                    else tr("Delete all clips"),
                ),
                resume: gr.Button(visible=state.can_resume and not busy),
            }  # fmt: skip
            if seen_revision != state.revision:
                prepared = state.prepared
                updates[second] = gr.Column(visible=bool(prepared and prepared.n_samples))
                updates[found] = _found(visitor, prepared)
            if seen_curves_revision != state.curves_revision:
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

    def on(event, act=None, inputs=()) -> None:
        """Have an event do something, and show what follows."""

        def handle(request: gr.Request, seen_revision, seen_curves_revision, *values):
            visitor = page.visitor(request)
            begun = act(visitor, *values) if act is not None else None
            updates = show(visitor, seen_revision, seen_curves_revision)
            # Clips that were taken are not taken again.
            return updates | {files: None} if begun else updates

        outputs = [files, error, progress, seen, seen_curves, timer, prepare, clear, stop, found,
                   second, start, resume, message, downloads, plots, loss, accuracy]  # fmt: skip
        event(
            page.translated(handle), [seen, seen_curves, *inputs], outputs,
            **(LOOK if act is None else QUICK),
        )  # fmt: skip

    on(blocks.load)
    on(timer.tick)
    on(prepare.click, actions.prepare, [files])
    on(clear.click, actions.clear)
    on(start.click, actions.start, [epochs, pretrained])
    on(resume.click, actions.resume, [epochs, pretrained])
    on(stop.click, actions.stop)


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
