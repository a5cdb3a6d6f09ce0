"""What all tabs of the page share: who asks, what is begun with the files, and how it is shown."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import gradio as gr
from gradio.blocks import Block

from ..core.errors import LipSyncError
from ..i18n.messages import tr, use_language
from .jobs import CANCELLED, FAILED, Job, Queue
from .views import error_view, progress_view
from .visitors import Visitor, Visitors
from .worker import Task

State = TypeVar("State", bound="TabState")

COOKIE = "lipsync_visitor"
TICK_S = 0.5  # so often a running job is looked at
# Of all events: they are quick, and no interface for programs.
QUICK = {
    "show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private",
    "trigger_mode": "multiple",
}  # fmt: skip
# One look at a time: a late answer must not undo what the user did after a newer one.
LOOK = QUICK | {"trigger_mode": "once"}
VIDEO_SUFFIXES = [
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
    ".wmv", ".flv", ".3gp", ".mxf", ".ogv",
]  # fmt: skip
AUDIO_SUFFIXES = [".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".wma", ".aiff"]


@dataclass(frozen=True)
class Page:
    """What the tabs of one language are built with.

    Attributes:
        visitors: everyone.
        queue: does the work.
        trainings: does what takes hours, beside it.
        language: of the texts.
        max_minutes: length of a video.
    """

    visitors: Visitors
    queue: Queue
    trainings: Queue
    language: str
    max_minutes: float

    def visitor(self, request: gr.Request) -> Visitor:
        """Who asks.

        Raises:
            gr.Error: the page was opened so long ago that nothing is known of the visitor.
        """
        visitor = self.visitors.find(request.cookies.get(COOKIE))
        if visitor is None:
            raise gr.Error(tr("this page has been idle for too long: reload it"))
        return visitor

    def translated(self, handler: Callable) -> Callable:
        """An event handler whose texts are in the language of the page, whichever thread runs
        it."""

        @functools.wraps(handler)
        def run(*arguments, **named):
            with use_language(self.language):
                return handler(*arguments, **named)

        return run


def address(visitor: Visitor, path: Path) -> str:
    """Where the browser of a visitor finds a file."""
    return f"/media/{visitor.show(path)}"


def status_of(job: Job | None, queue: Queue | None) -> tuple[str, str]:
    """What is shown of a job: (its progress as HTML, an error in words), each may be empty."""
    if job is None:
        return "", ""
    if job.is_busy:
        return progress_view(job, queue.n_before(job)), ""
    if job.state == CANCELLED:
        return "", tr("Cancelled.")
    return "", job.text if job.state == FAILED else ""


# ---------------------------------------------------------------------------- what a tab does


@dataclass
class TabState:
    """What a visitor has in a tab.

    Attributes:
        name: of the tab.
        folder: of the uploaded files, and of all that is made of them; None: there are none.
        job: the latest one, or None.
        queue: where it is.
        text: why nothing could be begun.
        revision: goes up with each change of the results.
        n_jobs: since there is the folder.
    """

    name: ClassVar[str]

    folder: Path | None = None
    job: Job | None = None
    queue: Queue | None = None
    text: str = ""
    revision: int = 0
    n_jobs: int = 0

    @classmethod
    def of(cls: type[State], visitor: Visitor) -> State:
        """That of a visitor."""
        return visitor.tabs.setdefault(cls.name, cls())

    @property
    def is_busy(self) -> bool:
        """Whether work goes on."""
        return self.job is not None and self.job.is_busy

    @property
    def revisions(self) -> tuple[int, ...]:
        """Of parts of the results that are shown anew on their own."""
        return (self.revision,)


class TabActions(Generic[State]):
    """What the buttons of a tab begin; each returns at once.

    Args:
        page: of which language.

    Attributes:
        state_type: what a visitor has in the tab.
    """

    state_type: type[State]

    def __init__(self, page: Page):
        self._page = page

    def state(self, visitor: Visitor) -> State:
        """What a visitor has in the tab."""
        return self.state_type.of(visitor)

    def cancel(self, visitor: Visitor) -> None:
        """Stop what is going on."""
        state = self.state(visitor)
        if state.job is not None:
            state.queue.cancel(state.job)

    def _may_begin(self, state: State) -> bool:
        """Whether nothing goes on; what was said of earlier work is then forgotten."""
        if state.is_busy:
            return False
        state.job, state.text = None, ""
        return True

    def _copy(self, visitor: Visitor, uploads: Iterable[tuple[str, Path]]) -> list[str] | None:
        """Copy uploaded files into folders of the visitor.

        Returns:
            their names there; None: one cannot be taken, and the tab says why.
        """
        try:
            return [visitor.take_upload(path, folder).name for path, folder in uploads]
        except LipSyncError as error:
            self.state(visitor).text = str(error)
            return None

    def _take(self, visitor: Visitor, uploads: list[str]) -> list[str] | None:
        """Copy uploaded files into a new folder, which takes the place of the earlier one; returns
        as ``_copy``."""
        state, folder = self.state(visitor), visitor.new_folder()
        names = self._copy(visitor, ((path, folder) for path in uploads))
        if names is None:
            visitor.forget(folder)
            return None
        if state.folder is not None:
            visitor.forget(state.folder)
        state.folder, state.n_jobs = folder, 0
        return names

    def _begin(
        self,
        visitor: Visitor,
        task: Task,
        inputs: dict,
        keep: Callable[[Any], None],
        on_part: Callable[[Any], None] | None = None,
        queue: Queue | None = None,
    ) -> None:
        """Have a task done.

        Args:
            task, inputs: as in ``Worker.run``.
            keep: puts the result into the state.
            on_part: as in ``Job``.
            queue: None: that of the page.
        """
        state = self.state(visitor)
        state.n_jobs += 1
        folder = state.folder / f"out{state.n_jobs}"
        folder.mkdir()

        def done(result: Any) -> None:
            with visitor.lock:
                keep(result)
                state.revision += 1
            visitor.touch()

        def add(part: Any) -> None:
            with visitor.lock:
                on_part(part)

        visitor.touch()
        state.text, state.queue = "", queue or self._page.queue
        state.job = Job(task, inputs, folder, done, None if on_part is None else add)
        state.queue.add(state.job)


# ---------------------------------------------------------------------------- what a tab shows


@dataclass(frozen=True)
class JobParts:
    """Where a tab shows its job.

    Attributes:
        error, progress: texts.
        cancel: the button that is there while work goes on.
        starts: buttons that cannot be pressed meanwhile.
    """

    error: gr.HTML
    progress: gr.HTML
    cancel: gr.Button
    starts: tuple[gr.Button, ...]


class TabEvents:
    """Has the events of a tab do something, and shows what follows.

    Args:
        blocks: the page that is being built.
        page: of which language.
        actions: what the buttons begin.
        parts: where the job is shown.
        others: all other components that change.
        show: what is in those: called with the visitor, the state, and of each of its revisions
            whether the browser has not seen it yet.
    """

    def __init__(
        self,
        blocks: gr.Blocks,
        page: Page,
        actions: TabActions,
        parts: JobParts,
        others: list[Block],
        show: Callable[..., dict[Block, Any]],
    ):
        self._page, self._actions, self._parts, self._show = page, actions, parts, show
        self._seen, self._timer = gr.State(), gr.Timer(TICK_S, active=False)
        self._outputs = [
            self._seen, self._timer, parts.error, parts.progress, parts.cancel, *parts.starts,
            *others,
        ]  # fmt: skip
        self.on(blocks.load)
        self.on(self._timer.tick)
        self.on(parts.cancel.click, actions.cancel)

    def on(
        self,
        event: Callable,
        act: Callable[..., dict | None] | None = None,
        inputs: Iterable[Block] = (),
    ) -> None:
        """Have an event do something.

        Args:
            event: of a component, such as ``button.click``.
            act: called with the visitor and the values of the inputs; may return updates of its
                own. None: the state is shown.
        """

        def handle(request: gr.Request, seen: tuple[int, ...] | None, *values):
            visitor, own = self._page.visitor(request), None
            if act is not None:
                visitor.touch()
                own = act(visitor, *values)
            return self._updates(visitor, seen) | (own or {})

        event(
            self._page.translated(handle), [self._seen, *inputs], self._outputs,
            **(LOOK if act is None else QUICK),
        )  # fmt: skip

    def _updates(self, visitor: Visitor, seen: tuple[int, ...] | None) -> dict[Block, Any]:
        parts = self._parts
        with visitor.lock:
            state = self._actions.state(visitor)
            busy, revisions = state.is_busy, state.revisions
            status, failure = status_of(state.job, state.queue)
            seen = seen or (None,) * len(revisions)
            are_new = [old != new for old, new in zip(seen, revisions, strict=True)]
            return {
                parts.error: error_view(failure or state.text), parts.progress: status,
                self._seen: revisions, self._timer: gr.Timer(active=busy),
                parts.cancel: gr.Button(visible=busy),
                **{button: gr.Button(interactive=not busy) for button in parts.starts},
                **self._show(visitor, state, *are_new),
            }  # fmt: skip
