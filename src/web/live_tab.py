"""The tab "Live": what is shown; ``static/live.js`` fills it."""

import json
from html import escape

import gradio as gr

from ..i18n.messages import tr
from .tab import Page


def build_live_tab(page: Page) -> None:
    """Put the tab into the page."""
    gr.HTML(_view(page.language), elem_id="ls-live-tab")


def _texts() -> dict[str, str]:
    """What the browser says itself."""
    return {
        "asking": tr("Allow the browser to use the camera and the microphone."),
        "starting": tr("The model is being loaded: this takes a few seconds."),
        "running": tr("Speak, with your face in view of the camera."),
        "restarted": tr("This computer is too slow to measure all that arrives: what lay too far "
                        "behind was left out, and the measurement began anew."),
        "stopping": tr("The overall result is being computed."),
        "ended": tr("Stopped. This is the result of the whole time."),
        "refused": tr("The browser may not use the camera and the microphone: allow it in the "
                      "address bar, then start again."),
        "noCamera": tr("No camera was found: connect one, then start again."),
        "noMicrophone": tr("No microphone was found: connect one, then start again."),
        "inUse": tr("The camera or the microphone is in use by another program: close that, then "
                    "start again."),
        "insecure": tr("The browser gives no camera to this page: open it on the computer where it "
                       "runs, as http://localhost, or with HTTPS."),
        "lost": tr("The camera or the microphone was disconnected."),
        "closed": tr("The connection to the page was lost: reload the page."),
        "failed": tr("The camera and the microphone cannot be started."),
    }  # fmt: skip


def _view(language: str) -> str:
    rows = {
        "score": tr("Sync score, 0 to 1"), "offset": tr("Offset (above 0: the audio is early)"),
        "latency": tr("Latency of this result"), "dropped": tr("Frames dropped to keep up"),
        "so-far": tr("Since the start"),
    }  # fmt: skip
    values = "".join(
        f'<div><dt>{escape(text)}</dt><dd data-part="{name}">–</dd></div>'
        for name, text in rows.items()
    )
    about = tr("Watches your lips through the camera, and compares them with the microphone. The "
               "offset includes the delays of both. Nothing is stored.")  # fmt: skip
    bar = f'<progress max="1" value="0" data-part="bar" aria-label="{escape(rows["score"])}">'
    return (
        f'<section class="ls-live" data-language="{language}" '
        f'data-texts="{escape(json.dumps(_texts()))}"><p>{escape(about)}</p>'
        '<div class="ls-live-buttons">'
        f'<button type="button" data-live="start" data-part="start">{escape(tr("Start"))}</button>'
        f'<button type="button" data-live="stop" data-part="stop" hidden>{escape(tr("Stop"))}'
        '</button></div><p class="ls-live-status" role="status" data-part="status"></p>'
        '<p class="ls-error" role="alert" data-part="error"></p>'
        '<div class="ls-live-results" data-part="results" hidden>'
        f'<video muted playsinline aria-label="{escape(tr("Camera"))}"></video>'
        f'<div><h2 data-part="text" aria-live="polite"></h2>{bar}</progress>'
        f"<dl>{values}</dl></div></div></section>"
    )
