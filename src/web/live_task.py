"""What a process does for the tab "Live": it measures what arrives, until that ends."""

import io

import cv2
import numpy as np
from PIL import Image

from ..core.errors import StreamError
from ..i18n.messages import tr
from ..live.stream import LipSyncStream, LiveEstimate, LiveResult
from ..report.sentences import offset_headline
from ..scoring.perception import format_score
from .live_buffer import END, SKIPPED, VIDEO
from .worker import Work

READY = "ready"  # the first part of the result
EVERY_S = 0.4  # between two results
MAX_PIXELS = 4096 * 2160


def score_stream(work: Work, sample_rate: int) -> dict:
    """Measure frames and audio (messages of a ``LiveBuffer``); each new result is a part.

    Raises:
        StreamError: what arrived cannot be used.
    """
    stream, shown, n_restarts = _new_stream(work, sample_rate), None, 0
    work.part(READY)
    while True:
        kind, time_s, content = work.receive()
        if kind == END:
            return _view(stream.flush(), n_restarts, is_over=True)
        if kind == SKIPPED:  # to catch up would take as long as to measure it
            stream, shown, n_restarts = _new_stream(work, sample_rate), None, n_restarts + 1
            continue
        if kind == VIDEO:
            result = stream.push_frames(_decode(content), time_s)
        else:
            result = stream.push_audio(_samples(content), time_s)
        if shown is not None and result is not shown:  # the first says nothing yet
            work.part(_view(result, n_restarts))
        shown = result


def _new_stream(work: Work, sample_rate: int) -> LipSyncStream:
    return LipSyncStream(work.engine, sample_rate, every_s=EVERY_S)


def _decode(jpeg: bytes) -> np.ndarray:
    """uint8 BGR [height, width, 3].

    Raises:
        StreamError: it is no JPEG, or too large.
    """
    bad = StreamError(tr("a frame that arrived is not a JPEG image: reload the page"))
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            width, height = image.size  # of the header: nothing is decoded yet
    except (OSError, Image.DecompressionBombError):
        raise bad from None
    if width * height > MAX_PIXELS:
        raise StreamError(
            tr("frames of {width} × {height} pixels are too large", width=width, height=height)
        )
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise bad
    return bgr


def _samples(content: bytes) -> np.ndarray:
    if len(content) % 4:
        raise StreamError(tr("audio that arrived is damaged: reload the page"))
    return np.frombuffer(content, "<f4")


# ---------------------------------------------------------------------------- in words


def _view(result: LiveResult, n_restarts: int, is_over: bool = False) -> dict:
    """What the browser is sent of a result; times are on its clock."""
    latest, so_far = result.latest, result.so_far
    return {
        "time_s": latest.time_s, "text": in_words(latest), "status": latest.status,
        "score": latest.score, "score_text": format_score(latest.score),
        "offset_ms": latest.offset_ms, "offset_text": _offset(latest),
        "so_far_text": in_words(so_far, is_over), "so_far_score": so_far.score,
        "so_far_score_text": format_score(so_far.score), "so_far_offset_ms": so_far.offset_ms,
        "so_far_offset_text": _offset(so_far), "n_restarts": n_restarts,
    }  # fmt: skip


def in_words(estimate: LiveEstimate, is_over: bool = False) -> str:
    """A result in one sentence.

    Args:
        is_over: nothing follows: to keep speaking would not help.
    """
    if estimate.offset_ms is not None:
        return offset_headline(estimate.offset_ms)
    if is_over:
        sentences = {
            "no_face": tr("No face was visible."),
            "no_speech": tr("Nobody was speaking."),
            "too_short": tr("There was too little speech."),
            "weak": tr("No clear match of lips and audio."),
        }
    else:
        sentences = {
            "no_face": tr("No face is visible."),
            "no_speech": tr("Nobody is speaking."),
            "too_short": tr("There is too little speech so far: keep speaking."),
            "weak": tr("No clear match of lips and audio: keep speaking."),
        }
    sentences["edge"] = tr("The offset may be larger than what is measured here.")
    return sentences[estimate.status]


def _offset(estimate: LiveEstimate) -> str:
    return "–" if estimate.offset_ms is None else f"{estimate.offset_ms:+.0f} ms"
