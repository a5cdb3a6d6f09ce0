"""The tab "Batch": many videos, a table that fills, and the table as a file."""

from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from ..core.errors import LipSyncError
from ..i18n.messages import tr
from ..pipeline.command import SUMMARY_NAME
from .batch_tasks import Row, process_many
from .jobs import Job
from .tab import LOOK, QUICK, TICK_S, VIDEO_SUFFIXES, Page, address, status_of
from .views import downloads_view, error_view, table_view
from .visitors import Visitor

NAME = "batch"
MAX_FILES = 200


@dataclass
class BatchState:
    """What a visitor has in this tab.

    Attributes:
        folder: of the videos; None: there are none.
        videos: their names.
        job: the latest one, or None.
        text: why nothing could be begun.
        rows: of the videos that are done, in their order.
        revision: goes up with each row.
    """

    folder: Path | None = None
    videos: list[str] = field(default_factory=list)
    job: Job | None = None
    text: str = ""
    rows: list[Row] = field(default_factory=list)
    revision: int = 0

    @property
    def is_busy(self) -> bool:
        """Whether work goes on."""
        return self.job is not None and self.job.is_busy

    @property
    def out(self) -> Path:
        """Where the outputs are."""
        return self.folder / "out"


def state_of(visitor: Visitor) -> BatchState:
    """What a visitor has in this tab."""
    return visitor.tabs.setdefault(NAME, BatchState())


class BatchActions:
    """What the buttons begin; each returns at once.

    Args:
        page: of which language.
    """

    def __init__(self, page: Page):
        self._page = page

    def start(self, visitor: Visitor, videos: list[str] | None, is_correcting: bool) -> None:
        """Process uploaded videos."""
        state = state_of(visitor)
        if state.is_busy:
            return
        state.job, state.text = None, ""
        if not videos:
            state.text = tr("Choose videos first.")
            return
        if len(videos) > MAX_FILES:
            state.text = tr("Choose at most {n} videos at a time.", n=MAX_FILES)
            return
        folder = visitor.new_folder()
        try:
            names = [visitor.take_upload(path, folder).name for path in videos]
        except LipSyncError as error:
            visitor.forget(folder)
            state.text = str(error)
            return
        if state.folder is not None:
            visitor.forget(state.folder)
        state.folder, state.videos, state.rows = folder, names, []
        state.revision += 1
        state.out.mkdir()
        inputs = {"videos": names, "is_correcting": is_correcting,
                  "max_minutes": self._page.max_minutes}  # fmt: skip
        visitor.touch()

        def add(row: Row) -> None:
            with visitor.lock:
                state.rows.append(row)
                state.revision += 1

        def done(_) -> None:
            visitor.touch()

        state.job = Job(process_many, inputs, state.out, done, on_part=add)
        self._page.queue.add(state.job)

    def cancel(self, visitor: Visitor) -> None:
        """Stop; what is done stays."""
        state = state_of(visitor)
        if state.job is not None:
            self._page.queue.cancel(state.job)


def build_batch_tab(page: Page, blocks: gr.Blocks) -> None:
    """Put the tab into the page, with its events."""
    videos = gr.File(
        label=tr("Videos"), file_count="multiple", file_types=VIDEO_SUFFIXES,
        elem_id="ls-batch-videos", height=180,
    )  # fmt: skip
    correcting = gr.Checkbox(
        True, label=tr("write corrected videos, too"), elem_id="ls-batch-correct"
    )
    error = gr.HTML(elem_id="ls-batch-error")
    with gr.Row():
        start = gr.Button(tr("Start"), variant="primary", elem_id="ls-batch-start")
        cancel = gr.Button(tr("Cancel"), variant="stop", visible=False, elem_id="ls-batch-cancel")
    progress = gr.HTML()
    table = gr.HTML(elem_id="ls-batch-table")
    downloads = gr.HTML(elem_id="ls-batch-downloads")
    seen = gr.State(-1)
    timer = gr.Timer(TICK_S, active=False)
    actions = BatchActions(page)

    def show(visitor: Visitor, seen_revision: int) -> dict:
        with visitor.lock:
            state = state_of(visitor)
            busy = state.is_busy
            status, text = status_of(state.job, page.queue)
            updates = {
                error: error_view(text or state.text), progress: status, seen: state.revision,
                timer: gr.Timer(active=busy), cancel: gr.Button(visible=busy),
                start: gr.Button(interactive=not busy),
            }  # fmt: skip
            if seen_revision != state.revision:
                updates |= {table: _table(visitor, state), downloads: _downloads(visitor, state)}
            return updates

    def on(event, act=None, inputs=()) -> None:
        """Have an event do something, and show what follows."""

        def handle(request: gr.Request, seen_revision, *values):
            visitor = page.visitor(request)
            if act is not None:
                act(visitor, *values)
            return show(visitor, seen_revision)

        outputs = [error, progress, seen, timer, cancel, start, table, downloads]
        event(page.translated(handle), [seen, *inputs], outputs, **(LOOK if act is None else QUICK))

    on(blocks.load)
    on(timer.tick)
    on(start.click, actions.start, [videos, correcting])
    on(cancel.click, actions.cancel)


def _table(visitor: Visitor, state: BatchState) -> str:
    if not state.videos:
        return ""
    lines = []
    for row in state.rows:
        output = state.out / row.output if row.output else None
        lines.append([
            (row.video, None),
            (row.message, None),
            ("" if row.offset_ms is None else f"{row.offset_ms:+.0f}", row.offset_ms),
            ("" if row.score is None else f"{row.score:.2f}", row.score),
            ("", None) if output is None else (tr("download"), address(visitor, output)),
        ])  # fmt: skip
    done = {row.video for row in state.rows}
    lines += [
        [(name, None), (tr("waiting") if state.is_busy else "", None), *[("", None)] * 3]
        for name in state.videos if name not in done
    ]  # fmt: skip
    headings = [tr("video"), tr("result"), tr("offset in ms"), tr("score"), tr("corrected")]
    return table_view(headings, lines)


def _downloads(visitor: Visitor, state: BatchState) -> str:
    if state.folder is None or not (state.out / SUMMARY_NAME).is_file():
        return ""
    return downloads_view([(SUMMARY_NAME, address(visitor, state.out / SUMMARY_NAME))])
