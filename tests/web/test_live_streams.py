"""Live streams over WebSockets: who may have one, what is dropped, and how they end. The processes
have tasks of their own here, without a model."""

import os
import struct
import time

import pytest

from src.core.errors import StreamError
from src.web.live_buffer import AUDIO, END, MAX_AUDIO_S, MAX_FRAMES, SKIPPED, VIDEO, LiveBuffer
from tests.support.limits import wait_for

SAMPLE_RATE = 16_000  # Hz


# ---------------------------------------------------------------------------- what waits


def test_frames_are_dropped_where_they_wait_and_audio_is_not():
    buffer = LiveBuffer(1000)
    for number in range(MAX_FRAMES + 5):
        buffer.put_frame(number, b"jpeg")
        buffer.put_audio(number, b"1234")
    assert buffer.n_dropped == 5
    for number in range(MAX_FRAMES):
        assert buffer.get() == (VIDEO, number, b"jpeg")
        assert buffer.get() == (AUDIO, number, b"1234")
    buffer.put_frame(99, b"jpeg")  # there is room again
    buffer.end()
    buffer.put_frame(100, b"jpeg")
    kinds = [buffer.get()[0] for _ in range(7)]
    assert kinds == [AUDIO] * 5 + [VIDEO, END]
    buffer.close()
    assert buffer.get() is None


def test_what_is_far_behind_is_skipped():
    buffer = LiveBuffer(1000)
    buffer.put_frame(0, b"jpeg")
    buffer.put_audio(0, bytes(int(1000 * MAX_AUDIO_S)))
    buffer.put_audio(MAX_AUDIO_S, b"1234")
    assert [buffer.get()[0] for _ in range(2)] == [SKIPPED, AUDIO]
    assert buffer.n_dropped == 1


def test_nothing_grows_without_bounds():
    buffer = LiveBuffer(1_000_000)
    for number in range(100_000):
        buffer.put_audio(number, b"")
    assert len(buffer._waiting) <= 1000


# ---------------------------------------------------------------------------- what is done


class NoModel:
    """Takes the place of an ``EngineSpec``: nothing is scored here."""

    def build(self):
        return object()


def count(work, sample_rate):
    """Counts what arrives, and says so after each piece of audio."""
    work.part("ready")
    return count_what_arrives(work, sample_rate)


def count_what_arrives(work, sample_rate):
    counts = {}
    while True:
        kind, time_s, content = work.receive()
        if kind == END:
            return {"counts": counts, "rate": sample_rate}
        counts[kind] = counts.get(kind, 0) + 1
        if kind == AUDIO:
            work.part({"time_s": time_s, "n_bytes": len(content), "counts": dict(counts)})


def count_late(work, sample_rate):
    """Looks at nothing until a file is there."""
    work.part("ready")
    while not (work.folder / "go").exists():
        time.sleep(0.02)
    return count_what_arrives(work, sample_rate)  # ready once: a second feed would mix the order


def refuse(work, sample_rate):
    raise StreamError("the frames are bad")


def crash(work, sample_rate):
    os._exit(3)


@pytest.fixture(scope="module")
def visitors():
    pytest.importorskip("gradio", reason="gradio is not installed (requirements-web.txt)")
    from src.web.visitors import Visitors

    made = Visitors()
    yield made
    made.close()


@pytest.fixture
def connect(visitors, monkeypatch):
    """``connect(visitor, task)``: a WebSocket of a visitor, whose stream does a task."""
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    from src.web.live import LiveStreams
    from src.web.server import Gate, Options, Server
    from src.web.tab import COOKIE

    server = Server.__new__(Server)  # without the rest of the page
    server.live = LiveStreams(NoModel())

    def open_connection(
        visitor, task=count, language="en", rate=SAMPLE_RATE, password=None,
        origin="http://localhost",
    ):  # fmt: skip
        monkeypatch.setattr("src.web.live.score_stream", task)
        app = FastAPI()
        app.websocket("/live")(server._live)
        client = TestClient(Gate(app, visitors, Options(password=password)))
        headers = {"cookie": f"{COOKIE}={visitor.name}"} if visitor else {}
        headers |= {"origin": origin} if origin else {}
        address = f"ws://localhost/live?language={language}&rate={rate}"
        return client.websocket_connect(address, headers=headers)

    yield open_connection
    server.live.close()


def packed(kind, time_s, content):
    return struct.pack("<cd", kind, time_s) + content


def view_of(connection, *states):
    """The first view with one of these states."""
    while (view := connection.receive_json())["state"] not in states:
        pass
    return view


@pytest.mark.slow
def test_what_arrives_is_measured_and_one_stream_a_visitor_two_in_all(visitors, connect):
    anna, ben, cleo = visitors.add(), visitors.add(), visitors.add()
    with connect(anna) as first, connect(ben) as second:
        assert view_of(first, "ready") and view_of(second, "ready")
        with connect(anna) as again:
            assert "already running" in view_of(again, "failed")["text"]
        with connect(cleo, language="zh_CN") as third:
            assert "稍后再试" in view_of(third, "failed")["text"]
        assert anna.is_busy() and ben.is_busy() and not cleo.is_busy()
        second.close()
        first.send_bytes(packed(b"V", 1.5, b"jpeg"))
        first.send_bytes(packed(b"A", 1.25, bytes(4800)))
        view = view_of(first, "running")
        assert (view["time_s"], view["n_bytes"], view["n_dropped"]) == (1.25, 4800, 0)
        first.send_text("stop")
        last = view_of(first, "ended", "failed")
        assert last["counts"] == {VIDEO: 1, AUDIO: 1} and last["rate"] == SAMPLE_RATE
    assert not anna.is_busy()
    with connect(cleo) as third:  # there is room again
        assert view_of(third, "ready")
    wait_for(lambda: not any(ben.folder.rglob("*")) and not any(anna.folder.rglob("*")))


@pytest.mark.slow
def test_frames_are_dropped_where_the_machine_is_slow_and_it_is_said(visitors, connect):
    visitor, n = visitors.add(), 300
    with connect(visitor, count_late) as connection:
        view_of(connection, "ready")
        for number in range(n):
            connection.send_bytes(packed(b"V", number / 25, bytes(20_000)))
        stream = visitor.tabs["live"]
        # What waits is in the buffer, or in the pipe to the process.
        wait_for(lambda: stream.buffer.n_dropped >= n / 2)
        connection.send_bytes(packed(b"A", 0.0, bytes(400)))
        (stream._folder / "go").touch()
        view = view_of(connection, "running")
        connection.send_text("stop")
        last = view_of(connection, "ended", "failed")
    assert last["n_dropped"] >= view["n_dropped"] >= n / 2
    assert last["counts"] == {VIDEO: n - last["n_dropped"], AUDIO: 1}


@pytest.mark.slow
def test_the_process_ends_with_its_connection(visitors, connect):
    visitor = visitors.add()
    with connect(visitor, count_late) as connection:  # looks at nothing
        view_of(connection, "ready")
        stream = visitor.tabs["live"]
        process = stream._worker._process
        assert process.is_alive()
    wait_for(lambda: not process.is_alive() and not stream._folder.exists())
    assert not visitor.is_busy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "said"), [(refuse, "the frames are bad"), (crash, "the measurement has crashed")]
)
def test_a_failure_is_one_sentence(visitors, connect, task, said):
    visitor = visitors.add()
    with connect(visitor, task) as connection:
        assert said in view_of(connection, "failed", "ended")["text"]
    assert not visitor.is_busy()


@pytest.mark.slow
@pytest.mark.parametrize(
    "message",
    [
        b"", packed(b"X", 1.0, b"what"), packed(b"V", float("nan"), b"what"),
        packed(b"A", 1.0, bytes(4_000_001)),
    ],
)  # fmt: skip
def test_what_is_no_message_ends_the_stream(visitors, connect, message):
    with connect(visitors.add()) as connection:
        connection.send_bytes(message)
        assert "neither a frame nor audio" in view_of(connection, "failed", "ended")["text"]


@pytest.mark.parametrize("rate", ["", "0", "-1", "1e4", "４４１００", "7999", "9" * 5000])
def test_a_sample_rate_is_checked(visitors, connect, rate):
    with connect(visitors.add(), rate=rate) as connection:
        assert "sample rate" in view_of(connection, "failed", "ready")["text"]


@pytest.mark.parametrize(
    "options",
    [{"origin": "http://example.org"}, {"origin": None}, {"password": "open sesame"}],
)
def test_other_sites_and_those_without_the_password_are_refused(visitors, connect, options):
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), connect(visitors.add(), **options):
        pass


def test_who_has_not_opened_the_page_is_refused(connect):
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), connect(None):
        pass
