"""Live streams of the browser over WebSockets: who may have one, and what passes.

The browser sends binary messages: one byte, ``V`` (a JPEG frame) or ``A`` (float32 mono samples,
little-endian), the time in seconds as a float64, little-endian, and the content. The text ``stop``
ends the stream. It is sent JSON: ``state`` is ``ready`` (send now), ``running``, ``ended`` (with
the result of everything) or ``failed`` (``text`` says why). Nothing of what passes is stored.
"""

import asyncio
import importlib
import math
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

import anyio
from anyio import CancelScope
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..core.errors import ConfigError, LipSyncError, StreamError
from ..i18n.messages import match_language, tr, use_language
from ..pipeline.engine import EngineSpec
from .live_buffer import LiveBuffer
from .visitors import Visitor
from .worker import CancelledError, CrashedError, FailedError, Work, Worker

NAME = "live"  # of the tab
MAX_STREAMS = 2  # each keeps a core busy
MAX_MESSAGE_BYTES = 4_000_000
IDLE_S = 60.0  # so long a stream may be without anything new
STOP = "stop"
HEADER = struct.Struct("<cd")  # kind, time in s
SAMPLE_BYTES = 4
RATES = range(8000, 192_001)  # Hz
POLICY_VIOLATION = 1008
READY = "ready"


def score_stream(work: Work, **inputs) -> dict:
    """``live_task.score_stream``: it needs PyTorch, which only the process loads."""
    return importlib.import_module(".live_task", __package__).score_stream(work, **inputs)


class LiveStream:
    """One stream, with a process and two threads of its own.

    Args:
        spec: the model that scores.
        visitor: whose stream it is.
        sample_rate: of the audio in Hz.
        language: of what is said.

    Attributes:
        buffer: what arrives is put into it.
        changed: set when ``view`` has changed.
        view: what the browser is to be sent; older ones are not waited for.
    """

    def __init__(self, spec: EngineSpec, visitor: Visitor, sample_rate: int, language: str):
        self.buffer = LiveBuffer(sample_rate * SAMPLE_BYTES)
        self.changed, self.view = asyncio.Event(), {"state": "starting"}
        self._worker, self._visitor, self._language = Worker(spec), visitor, language
        self._sample_rate = sample_rate
        self._folder = visitor.new_folder()  # a process needs one; it stays empty
        self._cancelled, self._ended = threading.Event(), threading.Event()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, daemon=True, name="live").start()

    @property
    def is_busy(self) -> bool:
        """Whether it goes on; one that is being ended does not."""
        return not self._cancelled.is_set() and not self._ended.is_set()

    def fail(self, text: str) -> None:
        """End it for a reason."""
        self._show({"state": "failed", "text": text})
        self.cancel()

    def cancel(self) -> None:
        """End it; returns at once."""
        self._cancelled.set()

    def _run(self) -> None:
        with use_language(self._language):
            last = {"state": "failed", "text": tr("the measurement has crashed: start it again")}
        try:
            result = self._worker.run(
                score_stream, {"sample_rate": self._sample_rate}, self._folder, self._language,
                lambda stage, share: None, self._cancelled.is_set, self._on_part,
            )  # fmt: skip
            last = {"state": "ended", "n_dropped": self.buffer.n_dropped, **result}
        except (CancelledError, CrashedError):
            pass  # cancelled: nobody is there any more, or the reason was sent before
        except FailedError as error:
            last = {"state": "failed", "text": str(error)}
        finally:
            self.buffer.close()
            self._worker.kill()
            self._visitor.forget(self._folder)
            self._visitor.touch()
            self._ended.set()
            self._show(last)

    def _on_part(self, part) -> None:
        if part == READY:
            threading.Thread(target=self._feed, daemon=True, name="live feed").start()
            self._show({"state": READY})
        else:
            self._show({"state": "running", "n_dropped": self.buffer.n_dropped, **part})

    def _feed(self) -> None:
        """Hand on what has arrived, as fast as it is measured."""
        with suppress(OSError):  # the process has ended
            while (message := self.buffer.get()) is not None:
                self._worker.send(message)

    def _show(self, view: dict) -> None:
        with suppress(RuntimeError):  # the server is closed
            self._loop.call_soon_threadsafe(self._set_view, view)

    def _set_view(self, view: dict) -> None:
        if self.view["state"] != "failed":  # the first reason is the right one
            self.view = view
            self.changed.set()


class LiveStreams:
    """All live streams.

    Args:
        spec: the model that scores.
    """

    def __init__(self, spec: EngineSpec):
        self._spec = spec
        self._streams: list[LiveStream] = []

    def close(self) -> None:
        """End all of them."""
        for stream in self._streams:
            stream.cancel()

    async def serve(self, websocket: WebSocket) -> None:
        """Measure what a browser sends, until one of both ends it."""
        language = match_language(websocket.query_params.get("language", ""))
        await websocket.accept()
        with use_language(language):
            try:
                stream = self._begin(websocket, language)
            except LipSyncError as error:
                await websocket.send_json({"state": "failed", "text": str(error)})
                await websocket.close(POLICY_VIOLATION)
                return
            try:
                async with anyio.create_task_group() as group:
                    for work in (_receive, _send):
                        group.start_soon(_do, work, websocket, stream, group.cancel_scope)
            finally:
                stream.cancel()

    def _begin(self, websocket: WebSocket, language: str) -> LiveStream:
        rate = websocket.query_params.get("rate", "")
        if not rate.isascii() or not rate.isdecimal() or int(rate[:9]) not in RATES:
            raise StreamError(tr("the sample rate of the microphone cannot be used"))
        visitor: Visitor = websocket.scope["visitor"]
        own = visitor.tabs.get(NAME)
        if own is not None and own.is_busy:
            raise ConfigError(tr("Live is already running in another tab: stop it there first"))
        self._streams = [stream for stream in self._streams if stream.is_busy]
        if len(self._streams) >= MAX_STREAMS:
            raise ConfigError(tr("others are using Live just now: try again later"))
        stream = LiveStream(self._spec, visitor, int(rate), language)
        visitor.tabs[NAME] = stream
        self._streams.append(stream)
        return stream


async def _do(work: Callable, websocket: WebSocket, stream: LiveStream, both: CancelScope) -> None:
    """One half of the work: with it, the other ends, too."""
    with suppress(WebSocketDisconnect):
        await work(websocket, stream)
    both.cancel()


async def _receive(websocket: WebSocket, stream: LiveStream) -> None:
    """Take what arrives, until the browser is gone."""
    while True:
        message = None
        with anyio.move_on_after(IDLE_S):
            message = await websocket.receive()
        if message is None:
            stream.fail(tr("nothing has arrived from the browser for a minute: start again"))
            continue
        if message["type"] == "websocket.disconnect":
            return
        try:
            _take(message, stream)
        except StreamError as error:
            stream.fail(str(error))


def _take(message: dict, stream: LiveStream) -> None:
    if message.get("text") == STOP:
        stream.buffer.end()
        return
    content = message.get("bytes") or b""
    kind, time_s = HEADER.unpack_from(content) if len(content) >= HEADER.size else (b"", 0.0)
    if kind not in (b"V", b"A") or not math.isfinite(time_s) or len(content) > MAX_MESSAGE_BYTES:
        raise StreamError(tr("what arrived is neither a frame nor audio: reload the page"))
    put = stream.buffer.put_frame if kind == b"V" else stream.buffer.put_audio
    put(time_s, content[HEADER.size :])


async def _send(websocket: WebSocket, stream: LiveStream) -> None:
    """Send the latest view, until the last one."""
    while True:
        await stream.changed.wait()
        stream.changed.clear()
        view = stream.view
        await websocket.send_json(view)
        if view["state"] in ("ended", "failed"):
            await websocket.close()
            return
