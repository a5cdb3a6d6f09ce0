"""The tab "Check and correct"."""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import gradio as gr

from ..core.errors import LipSyncError
from ..i18n.messages import tr
from .check_tasks import Checked, Corrected, check, correct, shift, shift_all
from .jobs import Job
from .tab import (
    AUDIO_SUFFIXES,
    LOOK,
    QUICK,
    TICK_S,
    VIDEO_SUFFIXES,
    Page,
    address,
    status_of,
)
from .views import (
    curve_plot,
    downloads_view,
    error_view,
    face_label,
    faces_view,
    message_view,
    offsets_plot,
    verdict_view,
    videos_view,
)
from .visitors import Visitor

NAME = "check"
SPEAKING = "speaking"
MAX_SHIFT_MS = 1000


@dataclass
class CheckState:
    """What a visitor has in this tab.

    Attributes:
        folder: of the pair; None: there is none.
        video, audio: names in it; audio None: the video's own.
        face: for which it was measured.
        job: the latest one, or None.
        text: why nothing could be begun.
        checked, corrected: results, or None.
        excerpt, moved: what is heard with an offset by hand, or None.
        revision: goes up with each change of the results.
    """

    folder: Path | None = None
    video: str = ""
    audio: str | None = None
    face: str | int = SPEAKING
    job: Job | None = None
    text: str = ""
    checked: Checked | None = None
    corrected: Corrected | None = None
    excerpt: str | None = None
    moved: Path | None = None
    moved_ms: float = 0.0
    revision: int = 0
    _n_jobs: int = field(default=0)

    @property
    def is_busy(self) -> bool:
        """Whether work goes on."""
        return self.job is not None and self.job.is_busy

    def new_job_folder(self) -> Path:
        """An empty folder for the outputs of a job, in that of the pair."""
        self._n_jobs += 1
        folder = self.folder / f"out{self._n_jobs}"
        folder.mkdir()
        return folder


def state_of(visitor: Visitor) -> CheckState:
    """What a visitor has in this tab."""
    return visitor.tabs.setdefault(NAME, CheckState())


# ---------------------------------------------------------------------------- what is begun


class CheckActions:
    """What the buttons begin; each returns at once.

    Args:
        page: of which language.
    """

    def __init__(self, page: Page):
        self._page = page

    def check(self, visitor: Visitor, video: str | None, audio: str | None) -> None:
        """Measure an uploaded pair."""
        state = state_of(visitor)
        if state.is_busy:
            return
        state.job, state.text = None, ""
        if not video:
            state.text = tr("Choose a video first.")
            return
        folder = visitor.new_folder()
        try:
            video_name = visitor.take_upload(video, folder).name
            audio_name = visitor.take_upload(audio, folder).name if audio else None
        except LipSyncError as error:
            visitor.forget(folder)
            state.text = str(error)
            return
        if state.folder is not None:
            visitor.forget(state.folder)
        state.folder, state.video, state.audio = folder, video_name, audio_name
        self._measure(visitor, SPEAKING)

    def choose_face(self, visitor: Visitor, face: str) -> None:
        """Measure the same pair for another face."""
        state = state_of(visitor)
        chosen = int(face) if face.isdigit() else SPEAKING
        if state.checked is None or state.is_busy or chosen == state.face:
            return
        self._measure(visitor, chosen)

    def _measure(self, visitor: Visitor, face: str | int) -> None:
        state = state_of(visitor)
        if face == SPEAKING:
            state.checked = None
        state.corrected = state.moved = state.excerpt = None
        state.revision += 1

        def keep(checked: Checked) -> None:
            state.checked, state.face = checked, face

        inputs = {
            "video": state.video, "audio": state.audio, "face": face,
            "max_minutes": self._page.max_minutes,
        }  # fmt: skip
        self._begin(visitor, check, inputs, keep)

    def correct(self, visitor: Visitor) -> None:
        """Write the corrected video."""
        state = state_of(visitor)

        def keep(corrected: Corrected) -> None:
            state.corrected = corrected

        if state.checked is not None and not state.is_busy:
            inputs = {"result": state.checked.result, "face": state.face}
            self._begin(visitor, correct, inputs, keep)

    def listen(self, visitor: Visitor, delay_ms: float) -> None:
        """Make a few seconds with the audio moved by hand."""
        state = state_of(visitor)

        def keep(made: tuple[str, str]) -> None:
            state.excerpt, state.moved, state.moved_ms = made[0], Path(made[1]), delay_ms

        if state.checked is not None and not state.is_busy:
            inputs = {"result": state.checked.result, "delay_ms": delay_ms,
                      "excerpt": state.excerpt}  # fmt: skip
            self._begin(visitor, shift, inputs, keep)

    def take(self, visitor: Visitor, delay_ms: float) -> None:
        """Write the whole video with the audio moved by hand."""
        state = state_of(visitor)

        def keep(corrected: Corrected) -> None:
            state.corrected = corrected

        if state.checked is not None and not state.is_busy:
            inputs = {"result": state.checked.result, "delay_ms": delay_ms}
            self._begin(visitor, shift_all, inputs, keep)

    def cancel(self, visitor: Visitor) -> None:
        """Stop what is going on."""
        state = state_of(visitor)
        if state.job is not None:
            self._page.queue.cancel(state.job)

    def _begin(self, visitor: Visitor, task, inputs: dict, keep) -> None:
        state = state_of(visitor)

        def done(result) -> None:
            with visitor.lock:
                keep(result)
                state.revision += 1
            visitor.touch()

        visitor.touch()
        state.text = ""
        state.job = Job(task, inputs, state.new_job_folder(), done)
        self._page.queue.add(state.job)


# ---------------------------------------------------------------------------- what is shown


def build_check_tab(page: Page, blocks: gr.Blocks) -> None:
    """Put the tab into the page, with its events."""
    with gr.Row():
        video = gr.File(
            label=tr("Video (mp4, mov, mkv, webm, …)"), file_types=VIDEO_SUFFIXES,
            elem_id="ls-video", height=150,
        )  # fmt: skip
        audio = gr.File(
            label=tr("Other audio (optional)"),
            file_types=AUDIO_SUFFIXES + VIDEO_SUFFIXES, elem_id="ls-audio", height=150,
        )  # fmt: skip
    error = gr.HTML(elem_id="ls-error")
    with gr.Row():
        start = gr.Button(tr("Check"), variant="primary", elem_id="ls-check")
        cancel = gr.Button(tr("Cancel"), variant="stop", visible=False, elem_id="ls-cancel")
    progress = gr.HTML(elem_id="ls-progress")
    with gr.Column(visible=False, elem_id="ls-result") as results:
        verdict = gr.HTML(elem_id="ls-verdict")
        fix = gr.Button(tr("Correct it"), variant="primary", elem_id="ls-correct")
        message = gr.HTML(elem_id="ls-message")
        downloads = gr.HTML(elem_id="ls-downloads")
        players = gr.HTML(elem_id="ls-players")
        faces = gr.HTML()
        face = gr.Radio(label=tr("Whose lips are compared"), elem_id="ls-face")
        with gr.Row():
            offsets = gr.Plot(label=tr("Offset over time"), show_label=False)
            curve = gr.Plot(label=tr("Similarity by offset"), show_label=False)
        with gr.Accordion(tr("Try an offset by ear"), open=False, elem_id="ls-by-hand"):
            delay = gr.Slider(
                -MAX_SHIFT_MS, MAX_SHIFT_MS, value=0, step=10, elem_id="ls-delay",
                label=tr("Delay of the audio in ms (below 0: it is advanced)"),
            )  # fmt: skip
            with gr.Row():
                listen = gr.Button(tr("Hear a few seconds"), elem_id="ls-listen")
                take = gr.Button(tr("Save the video with this delay"), elem_id="ls-take")
            moved = gr.HTML(elem_id="ls-moved")
    seen = gr.State(-1)
    timer = gr.Timer(TICK_S, active=False)
    always = [error, start, cancel, progress, fix, listen, take, timer, seen]
    changing = [results, verdict, message, downloads, players, faces, face, offsets, curve,
                delay, moved]  # fmt: skip
    actions = CheckActions(page)

    def show(visitor: Visitor, seen_revision: int) -> dict:
        with visitor.lock:
            state = state_of(visitor)
            busy = state.is_busy
            status, text = status_of(state.job, page.queue)
            updates = {
                error: error_view(text or state.text), progress: status, seen: state.revision,
                timer: gr.Timer(active=busy), cancel: gr.Button(visible=busy),
                **{button: gr.Button(interactive=not busy) for button in (start, listen, take)},
            }  # fmt: skip
            checked = state.checked
            updates[fix] = gr.Button(
                interactive=not busy,
                visible=checked is not None and not checked.result.undetermined,
            )
            if seen_revision == state.revision:
                return updates
            updates[results] = gr.Column(visible=checked is not None)
            if checked is None:
                return updates
            return updates | _results(visitor, state)

    def _results(visitor: Visitor, state: CheckState) -> dict:
        checked, corrected = state.checked, state.corrected
        result = checked.result
        tracks = [track for track in result.tracks if track.number in checked.faces]
        choices = [(tr("whoever is speaking"), SPEAKING)]
        choices += [(face_label(track), str(track.number)) for track in tracks]
        heading = f'<p class="ls-file">{escape(state.video)}</p>'
        return {
            verdict: heading + verdict_view(result),
            message: _message(corrected),
            downloads: _downloads(visitor, checked, corrected),
            players: _players(visitor, checked, corrected),
            faces: faces_view(result, checked.faces),
            face: gr.Radio(choices=choices, value=str(state.face), visible=len(tracks) > 1),
            offsets: offsets_plot(result), curve: curve_plot(result),
            delay: gr.skip() if state.moved else gr.Slider(value=round(result.offset_ms or 0, -1)),
            moved: _moved(visitor, state),
        }  # fmt: skip

    def on(event, act=None, inputs=()) -> None:
        """Have an event do something, and show what follows."""

        def handle(request: gr.Request, seen_revision, *values):
            visitor = page.visitor(request)
            if act is not None:
                visitor.touch()
                act(visitor, *values)
            return show(visitor, seen_revision)

        event(
            page.translated(handle),
            [seen, *inputs],
            [*always, *changing],
            **(LOOK if act is None else QUICK),
        )

    on(blocks.load)
    on(timer.tick)
    on(start.click, actions.check, [video, audio])
    on(face.input, actions.choose_face, [face])
    on(fix.click, actions.correct)
    on(listen.click, actions.listen, [delay])
    on(take.click, actions.take, [delay])
    on(cancel.click, actions.cancel)


def _message(corrected: Corrected | None) -> str:
    if corrected is None:
        return ""
    if not corrected.is_written:
        return error_view(corrected.text)
    notes = [tr("note: {text}", text=note) for note in corrected.notes]
    return "".join(map(message_view, [corrected.text, *notes]))


def _downloads(visitor: Visitor, checked: Checked, corrected: Corrected | None) -> str:
    files = []
    if corrected is not None:
        files += [(tr("Corrected video"), corrected.video)]
        files += [(tr("Annotated copy"), corrected.annotated)]
        editors = {".fcpxml": tr("For Final Cut and Resolve"), ".edl": tr("For Premiere and Avid")}
        files += [(editors[path.suffix], path) for path in corrected.edits]
    files += [(tr("Report"), checked.report)]
    return downloads_view([
        (text, address(visitor, path)) for text, path in files if path is not None
    ])  # fmt: skip


def _players(visitor: Visitor, checked: Checked, corrected: Corrected | None) -> str:
    videos = [(tr("Before"), address(visitor, checked.preview))]
    if corrected is not None and corrected.preview is not None:
        videos += [(tr("After"), address(visitor, corrected.preview))]
    return videos_view(videos)


def _moved(visitor: Visitor, state: CheckState) -> str:
    if state.moved is None:
        return ""
    text = tr("audio moved by {ms:+.0f} ms, by hand", ms=state.moved_ms)
    return videos_view([(text, address(visitor, state.moved))])
