"""The tab "New speech": learn a presenter from footage, then make videos with new speech."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from ..core.errors import LipSyncError
from ..i18n.messages import tr
from ..pipeline.new_speech import consent_statement
from .jobs import Job
from .speech_tasks import Learnt, Made, learn_footage, make_speech
from .tab import AUDIO_SUFFIXES, LOOK, QUICK, TICK_S, VIDEO_SUFFIXES, Page, address, status_of
from .views import downloads_view, error_view, message_view, videos_view
from .visitors import Visitor

NAME = "speech"


@dataclass
class SpeechState:
    """What a visitor has in this tab.

    Attributes:
        folder: of the footage and of all that is made of it; None: there is none.
        job: the latest one, or None.
        text: why nothing could be begun.
        learnt, made: results, or None.
        revision: goes up with each change of the results.
        n_jobs: since the footage was chosen.
    """

    folder: Path | None = None
    job: Job | None = None
    text: str = ""
    learnt: Learnt | None = None
    made: Made | None = None
    revision: int = 0
    n_jobs: int = 0

    @property
    def is_busy(self) -> bool:
        """Whether work goes on."""
        return self.job is not None and self.job.is_busy


def state_of(visitor: Visitor) -> SpeechState:
    """What a visitor has in this tab."""
    return visitor.tabs.setdefault(NAME, SpeechState())


class SpeechActions:
    """What the buttons begin; each returns at once.

    Args:
        page: of which language.
    """

    def __init__(self, page: Page):
        self._page = page

    def learn(self, visitor: Visitor, footage: list[str] | None, is_confirmed: bool) -> None:
        """Learn a presenter from uploaded footage."""
        state = state_of(visitor)
        if state.is_busy:
            return
        state.job, state.text = None, ""
        if not footage:
            state.text = tr("Choose videos of the person first.")
            return
        if not is_confirmed:
            state.text = tr("Confirm first that the person agreed.")
            return
        folder = visitor.new_folder()
        try:
            names = [visitor.take_upload(path, folder).name for path in footage]
        except LipSyncError as error:
            visitor.forget(folder)
            state.text = str(error)
            return
        if state.folder is not None:
            visitor.forget(state.folder)
        state.folder, state.learnt, state.made, state.n_jobs = folder, None, None, 0
        state.revision += 1

        def keep(learnt: Learnt) -> None:
            state.learnt = learnt

        inputs = {"footage": names, "max_minutes": self._page.max_minutes}
        self._begin(visitor, learn_footage, inputs, keep)

    def make(self, visitor: Visitor, audio: str | None, text: str) -> None:
        """Make a video with new speech: of a file, or of a text."""
        state = state_of(visitor)
        if state.is_busy or state.learnt is None:
            return
        state.job, state.text, name = None, "", None
        if not audio and not text.strip():
            state.text = tr("Choose an audio file, or type what is to be said.")
            return
        try:
            if audio:
                name = visitor.take_upload(audio, state.folder).name
        except LipSyncError as error:
            state.text = str(error)
            return

        def keep(made: Made) -> None:
            state.made = made

        inputs = {"learnt": state.learnt, "audio": name, "text": text}
        self._begin(visitor, make_speech, inputs, keep)

    def cancel(self, visitor: Visitor) -> None:
        """Stop what is going on."""
        state = state_of(visitor)
        if state.job is not None:
            self._page.queue.cancel(state.job)

    def _begin(self, visitor: Visitor, task, inputs: dict, keep) -> None:
        state = state_of(visitor)
        state.n_jobs += 1
        folder = state.folder / f"out{state.n_jobs}"
        folder.mkdir()

        def done(result) -> None:
            with visitor.lock:
                keep(result)
                state.revision += 1
            visitor.touch()

        visitor.touch()
        state.job = Job(task, inputs, folder, done)
        self._page.queue.add(state.job)


def build_speech_tab(page: Page, blocks: gr.Blocks) -> None:
    """Put the tab into the page, with its events."""
    footage = gr.File(
        label=tr("Videos of the person speaking (a minute or more)"),
        file_count="multiple", file_types=VIDEO_SUFFIXES, elem_id="ls-footage", height=160,
    )  # fmt: skip
    consent = gr.Checkbox(False, label=consent_statement(), elem_id="ls-consent")
    learn = gr.Button(tr("Learn the person"), variant="primary", elem_id="ls-learn")
    with gr.Column(visible=False) as second:
        found = gr.HTML(elem_id="ls-learnt")
        with gr.Row():
            audio = gr.File(
                label=tr("The new speech"), file_types=AUDIO_SUFFIXES + VIDEO_SUFFIXES,
                elem_id="ls-speech-audio", height=160,
            )  # fmt: skip
            text = gr.Textbox(label=tr("Or a text to be spoken"), lines=5, elem_id="ls-speech-text")
        make = gr.Button(tr("Make the video"), variant="primary", elem_id="ls-make")
    # Below the button that was pressed, whichever it was: without a presenter there is no second.
    error = gr.HTML(elem_id="ls-speech-error")
    progress = gr.HTML()
    cancel = gr.Button(tr("Cancel"), variant="stop", visible=False, elem_id="ls-speech-cancel")
    message = gr.HTML(elem_id="ls-speech-message")
    downloads = gr.HTML(elem_id="ls-speech-downloads")
    players = gr.HTML(elem_id="ls-speech-players")
    seen = gr.State(-1)
    timer = gr.Timer(TICK_S, active=False)
    actions = SpeechActions(page)

    def show(visitor: Visitor, seen_revision: int) -> dict:
        with visitor.lock:
            state = state_of(visitor)
            busy = state.is_busy
            status, failure = status_of(state.job, page.queue)
            updates = {
                error: error_view(failure or state.text), progress: status, seen: state.revision,
                timer: gr.Timer(active=busy), cancel: gr.Button(visible=busy),
                learn: gr.Button(interactive=not busy), make: gr.Button(interactive=not busy),
            }  # fmt: skip
            if seen_revision != state.revision:
                learnt, made = state.learnt, state.made
                updates |= {
                    second: gr.Column(visible=learnt is not None),
                    found: "".join(map(message_view, learnt.lines if learnt else ())),
                    message: "".join(map(message_view, made.lines if made else ())),
                    downloads: _downloads(visitor, made), players: _players(visitor, state),
                }  # fmt: skip
            return updates

    def on(event, act=None, inputs=()) -> None:
        """Have an event do something, and show what follows."""

        def handle(request: gr.Request, seen_revision, *values):
            visitor = page.visitor(request)
            if act is not None:
                act(visitor, *values)
            return show(visitor, seen_revision)

        outputs = [error, progress, seen, timer, cancel, learn, make, second, found, message,
                   downloads, players]  # fmt: skip
        event(page.translated(handle), [seen, *inputs], outputs, **(LOOK if act is None else QUICK))

    on(blocks.load)
    on(timer.tick)
    on(learn.click, actions.learn, [footage, consent])
    on(make.click, actions.make, [audio, text])
    on(cancel.click, actions.cancel)


def _downloads(visitor: Visitor, made: Made | None) -> str:
    if made is None:
        return ""
    return downloads_view([
        (tr("New video"), address(visitor, made.video)),
        (tr("Report"), address(visitor, made.report)),
    ])  # fmt: skip


def _players(visitor: Visitor, state: SpeechState) -> str:
    if state.learnt is None:
        return ""
    videos = [(tr("Original"), address(visitor, state.learnt.preview))]
    if state.made is not None:
        videos += [(tr("New"), address(visitor, state.made.preview))]
    return videos_view(videos)
