"""What all tabs of the page share: who asks, how jobs are shown, and in which language."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from ..i18n.messages import tr, use_language
from .jobs import CANCELLED, FAILED, Job, Queue
from .views import progress_view
from .visitors import Visitor, Visitors

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


def status_of(job: Job | None, queue: Queue) -> tuple[str, str]:
    """What is shown of a job: (its progress as HTML, an error in words), each may be empty."""
    if job is None:
        return "", ""
    if job.is_busy:
        return progress_view(job, queue.n_before(job)), ""
    if job.state == CANCELLED:
        return "", tr("Cancelled.")
    return "", job.text if job.state == FAILED else ""
