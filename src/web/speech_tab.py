"""The tab "New speech": learn a presenter from footage, then make videos with new speech."""

from dataclasses import dataclass

import gradio as gr

from ..i18n.messages import tr
from ..pipeline.new_speech import consent_statement
from .speech_tasks import Learnt, Made, learn_footage, make_speech
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
from .views import downloads_view, message_view, videos_view
from .visitors import Visitor


@dataclass
class SpeechState(TabState):
    """What a visitor has in this tab.

    Attributes:
        learnt, made: results, or None.
    """

    name = "speech"

    learnt: Learnt | None = None
    made: Made | None = None


class SpeechActions(TabActions[SpeechState]):
    """What the buttons begin."""

    state_type = SpeechState

    def learn(self, visitor: Visitor, footage: list[str] | None, is_confirmed: bool) -> None:
        """Learn a presenter from uploaded footage."""
        state = self.state(visitor)
        if not self._may_begin(state):
            return
        if not footage:
            state.text = tr("Choose videos of the person first.")
            return
        if not is_confirmed:
            state.text = tr("Confirm first that the person agreed.")
            return
        names = self._take(visitor, footage)
        if names is None:
            return
        state.learnt = state.made = None
        state.revision += 1

        def keep(learnt: Learnt) -> None:
            state.learnt = learnt

        inputs = {"footage": names, "max_minutes": self._page.max_minutes}
        self._begin(visitor, learn_footage, inputs, keep)

    def make(self, visitor: Visitor, audio: str | None, text: str) -> None:
        """Make a video with new speech: of a file, or of a text."""
        state = self.state(visitor)
        if state.learnt is None or not self._may_begin(state):
            return
        if not audio and not text.strip():
            state.text = tr("Choose an audio file, or type what is to be said.")
            return
        names = self._copy(visitor, [(audio, state.folder)] if audio else [])
        if names is None:
            return

        def keep(made: Made) -> None:
            state.made = made

        inputs = {"learnt": state.learnt, "audio": names[0] if names else None, "text": text}
        self._begin(visitor, make_speech, inputs, keep)


def build_speech_tab(page: Page, blocks: gr.Blocks) -> None:
    """Put the tab into the page, with its events."""
    footage = gr.File(
        label=tr("Videos of the person (a minute or more)"),
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
    actions = SpeechActions(page)

    def show(visitor: Visitor, state: SpeechState, is_new: bool) -> dict:
        if not is_new:
            return {}
        learnt, made = state.learnt, state.made
        return {
            second: gr.Column(visible=learnt is not None),
            found: "".join(map(message_view, learnt.lines if learnt else ())),
            message: "".join(map(message_view, made.lines if made else ())),
            downloads: _downloads(visitor, made), players: _players(visitor, state),
        }  # fmt: skip

    parts = JobParts(error, progress, cancel, (learn, make))
    others = [second, found, message, downloads, players]
    events = TabEvents(blocks, page, actions, parts, others, show)
    events.on(learn.click, actions.learn, [footage, consent])
    events.on(make.click, actions.make, [audio, text])


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
