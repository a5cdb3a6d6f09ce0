"""The tab "Batch": many videos, a table that fills, and the table as a file."""

from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from ..i18n.messages import tr
from ..pipeline.command import SUMMARY_NAME
from .batch_tasks import Row, process_many
from .tab import VIDEO_SUFFIXES, JobParts, Page, TabActions, TabEvents, TabState, address
from .views import downloads_view, table_view
from .visitors import Visitor

MAX_FILES = 200


@dataclass
class BatchState(TabState):
    """What a visitor has in this tab.

    Attributes:
        videos: their names.
        out: where the outputs are.
        rows: of the videos that are done, in their order.
    """

    name = "batch"

    videos: list[str] = field(default_factory=list)
    out: Path | None = None
    rows: list[Row] = field(default_factory=list)


class BatchActions(TabActions[BatchState]):
    """What the buttons begin."""

    state_type = BatchState

    def start(self, visitor: Visitor, videos: list[str] | None, is_correcting: bool) -> None:
        """Process uploaded videos."""
        state = self.state(visitor)
        if not self._may_begin(state):
            return
        if not videos:
            state.text = tr("Choose videos first.")
            return
        if len(videos) > MAX_FILES:
            state.text = tr("Choose at most {n} videos at a time.", n=MAX_FILES)
            return
        names = self._take(visitor, videos)
        if names is None:
            return
        state.videos, state.rows, state.out = names, [], None
        state.revision += 1

        def add(row: Row) -> None:
            state.rows.append(row)
            state.revision += 1

        inputs = {"videos": names, "is_correcting": is_correcting,
                  "max_minutes": self._page.max_minutes}  # fmt: skip
        self._begin(visitor, process_many, inputs, lambda _: None, add)
        state.out = state.job.folder


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
    actions = BatchActions(page)

    def show(visitor: Visitor, state: BatchState, is_new: bool) -> dict:
        if not is_new:
            return {}
        return {table: _table(visitor, state), downloads: _downloads(visitor, state)}

    parts = JobParts(error, progress, cancel, (start,))
    events = TabEvents(blocks, page, actions, parts, [table, downloads], show)
    events.on(start.click, actions.start, [videos, correcting])


def _table(visitor: Visitor, state: BatchState) -> str:
    if not state.videos:
        return ""
    lines = []
    for row in state.rows:
        output = state.out / row.output if row.output else None
        lines.append([
            (row.video, None),
            (row.message, None),
            # As in summary.csv: rounded once, as the sentence beside it is.
            ("" if row.offset_ms is None else f"{row.offset_ms:+.1f}", row.offset_ms),
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
    if state.out is None or not (state.out / SUMMARY_NAME).is_file():
        return ""
    return downloads_view([(SUMMARY_NAME, address(visitor, state.out / SUMMARY_NAME))])
