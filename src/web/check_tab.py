"""The tab "Check and correct"."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

import gradio as gr

from ..i18n.messages import tr
from .check_tasks import Checked, Corrected, check, correct, shift, shift_all
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

SPEAKING = "speaking"
MAX_SHIFT_MS = 1000


@dataclass
class CheckState(TabState):
    """What a visitor has in this tab.

    Attributes:
        video, audio: names of the pair; audio None: the video's own.
        face: for which it was measured.
        checked, corrected: results, or None.
        excerpt, moved: what is heard with an offset by hand, or None.
    """

    name = "check"

    video: str = ""
    audio: str | None = None
    face: str | int = SPEAKING
    checked: Checked | None = None
    corrected: Corrected | None = None
    excerpt: str | None = None
    moved: Path | None = None
    moved_ms: float = 0.0


# ---------------------------------------------------------------------------- what is begun


class CheckActions(TabActions[CheckState]):
    """What the buttons begin."""

    state_type = CheckState

    def check(self, visitor: Visitor, video: str | None, audio: str | None) -> None:
        """Measure an uploaded pair."""
        state = self.state(visitor)
        if not self._may_begin(state):
            return
        if not video:
            state.text = tr("Choose a video first.")
            return
        names = self._take(visitor, [path for path in (video, audio) if path])
        if names is not None:
            state.video, state.audio = names[0], names[1] if audio else None
            self._measure(visitor, SPEAKING)

    def choose_face(self, visitor: Visitor, face: str) -> None:
        """Measure the same pair for another face."""
        state = self.state(visitor)
        chosen = int(face) if face.isdigit() else SPEAKING
        if state.checked is None or state.is_busy or chosen == state.face:
            return
        self._measure(visitor, chosen)

    def _measure(self, visitor: Visitor, face: str | int) -> None:
        state = self.state(visitor)
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
        state = self.state(visitor)

        def keep(corrected: Corrected) -> None:
            state.corrected = corrected

        if state.checked is not None and not state.is_busy:
            inputs = {"result": state.checked.result, "face": state.face}
            self._begin(visitor, correct, inputs, keep)

    def listen(self, visitor: Visitor, delay_ms: float) -> None:
        """Make a few seconds with the audio moved by hand."""
        state = self.state(visitor)

        def keep(made: tuple[str, str]) -> None:
            state.excerpt, state.moved, state.moved_ms = made[0], Path(made[1]), delay_ms

        if state.checked is not None and not state.is_busy:
            inputs = {"result": state.checked.result, "delay_ms": delay_ms,
                      "excerpt": state.excerpt}  # fmt: skip
            self._begin(visitor, shift, inputs, keep)

    def take(self, visitor: Visitor, delay_ms: float) -> None:
        """Write the whole video with the audio moved by hand."""
        state = self.state(visitor)

        def keep(corrected: Corrected) -> None:
            state.corrected = corrected

        if state.checked is not None and not state.is_busy:
            inputs = {"result": state.checked.result, "delay_ms": delay_ms}
            self._begin(visitor, shift_all, inputs, keep)


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
    actions = CheckActions(page)

    def show(visitor: Visitor, state: CheckState, is_new: bool) -> dict:
        checked = state.checked
        can_fix = checked is not None and not checked.result.undetermined
        updates = {fix: gr.Button(visible=can_fix, interactive=not state.is_busy)}
        if is_new:
            updates[results] = gr.Column(visible=checked is not None)
        if is_new and checked is not None:
            updates |= _results(visitor, state)
        return updates

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

    parts = JobParts(error, progress, cancel, (start, listen, take))
    others = [fix, results, verdict, message, downloads, players, faces, face, offsets, curve,
              delay, moved]  # fmt: skip
    events = TabEvents(blocks, page, actions, parts, others, show)
    events.on(start.click, actions.check, [video, audio])
    events.on(face.input, actions.choose_face, [face])
    events.on(fix.click, actions.correct)
    events.on(listen.click, actions.listen, [delay])
    events.on(take.click, actions.take, [delay])


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
