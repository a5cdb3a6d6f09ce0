"""What a stream of the tab "Live" measures of frames and audio of the browser."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from src.core.constants import FPS
from src.core.errors import StreamError
from src.web.live_buffer import AUDIO, END, SKIPPED, VIDEO
from src.web.live_task import READY, score_stream
from tools.synthetic_talker import SAMPLE_RATE, clip_parts

SHIFTS_MS = (-160, 120)  # > 0: the audio leads
SECONDS = 4.0
START_S = 1234.5  # of the clock of the browser
BLOCK = 1200


def jpeg(frame):
    return cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def messages(shift_ms, start_s=START_S):
    """Those of a clip with a known offset, in order of time."""
    _, frames, samples, _ = clip_parts(1, SECONDS, shift_ms)
    found = [(start_s + number / FPS, VIDEO, jpeg(frame)) for number, frame in enumerate(frames)]
    found += [
        (
            start_s + first / SAMPLE_RATE,
            AUDIO,
            samples[first : first + BLOCK].astype("<f4").tobytes(),
        )
        for first in range(0, len(samples), BLOCK)
    ]
    return [(kind, time_s, content) for time_s, kind, content in sorted(found)]


def measure(engine, arriving):
    """What is returned at the end, and the parts before."""
    arriving, parts = iter(arriving), []
    work = SimpleNamespace(engine=engine, part=parts.append, receive=lambda: next(arriving))
    return score_stream(work, SAMPLE_RATE), parts


@pytest.mark.slow
def test_the_offset_of_a_stream_is_that_of_its_clip(engine):
    """What lay too far behind was left out before, once."""
    late, parts = measure(engine, [*messages(SHIFTS_MS[0]), (END, 0.0, b"")])
    begun_anew = [*messages(0)[:40], (SKIPPED, 0.0, b"")]
    again = messages(SHIFTS_MS[1], START_S + 100)
    early, _ = measure(engine, [*begun_anew, *again, (END, 0.0, b"")])
    # On drawn faces, the model measures all offsets as too large by about the same.
    found = [view["so_far_offset_ms"] for view in (late, early)]
    assert abs(found[1] - found[0] - (SHIFTS_MS[1] - SHIFTS_MS[0])) <= 1000 / FPS
    assert all(abs(a - b) <= 2000 / FPS for a, b in zip(found, SHIFTS_MS, strict=True))
    assert late["so_far_text"] == f"Audio is {-found[0]:.0f} ms late."
    assert early["so_far_text"] == f"Audio is {found[1]:.0f} ms early."
    assert late["so_far_offset_text"] == f"{found[0]:+.0f} ms"
    assert (late["n_restarts"], early["n_restarts"]) == (0, 1)
    assert 0 <= late["so_far_score"] < 0.5 and abs(late["time_s"] - START_S - SECONDS) <= 0.1
    assert parts[0] == READY
    times = [view["time_s"] for view in parts[1:]]
    assert times == sorted(times) and times[0] >= START_S
    assert len(times) >= SECONDS  # several a second


def test_frames_of_any_size_are_taken(engine):
    """A phone may be turned."""
    frames = [np.zeros((48, 64, 3), np.uint8), np.zeros((64, 48, 3), np.uint8)]
    arriving = [(VIDEO, 1.0 + number / FPS, jpeg(frame)) for number, frame in enumerate(frames)]
    result, _ = measure(engine, [*arriving, (END, 0.0, b"")])
    assert result["status"] == "no_face" and result["text"] == "No face is visible."


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ((VIDEO, 1.0, b"no image"), "not a JPEG image"),
        ((VIDEO, 1.0, jpeg(np.zeros((64, 64, 3), np.uint8))[:200]), "not a JPEG image"),
        ((AUDIO, 1.0, b"123"), "damaged"),
        ((AUDIO, 1.0, np.full(9, np.nan, "<f4").tobytes()), "finite"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(engine, message, said):
    with pytest.raises(StreamError, match=said):
        measure(engine, [message])


def test_huge_frames_are_refused_before_they_are_decoded(engine):
    content = jpeg(np.zeros((4096, 4096, 3), np.uint8))
    with pytest.raises(StreamError, match="4096 × 4096 pixels are too large"):
        measure(engine, [(VIDEO, 1.0, content)])
