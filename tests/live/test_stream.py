"""A stream gives the result of its file, however it arrives, and memory stays bounded."""

import gc
import re
import sys
from functools import cache
from types import BuiltinFunctionType, FunctionType, ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from src.audio.features import compute_features
from src.core.config import Config
from src.core.constants import FPS, SAMPLE_RATE
from src.core.errors import StreamError
from src.faces.tracker import FaceTracker
from src.live.stream import LipSyncStream
from src.media.frame import to_video_frame
from src.media.reader import read_audio, read_frames
from src.models.normalization import (
    crop_face_region,
    measure_bands,
    mfcc_to_bands,
    normalise_bands,
    speech_by_hop,
)
from src.models.spec import ModelSpec
from src.models.sync_model import SyncModel
from src.pipeline.engine import LipSyncInference
from src.scoring.calibration import peak_probability, sync_probability
from src.scoring.clip_evidence import compute_evidence
from src.scoring.evidence import similarity_curve
from tests.support.crossing_people import RecordingSink
from tests.support.inference_helpers import sound_of
from tests.support.scripted_faces import Actor, ColourDetector, draw_frame
from tools import synthetic_talker

SIZE = (120, 160)
ONE_FACE = (Actor(lambda t: 80 + 6 * np.sin(t / 9), y=60, size=44),)
REACH = 60
# A calibration so steep that small differences become visible.
FITTED = {"mean": [0, 0, 0], "scale": [1, 1, 1], "weights": [0, 40, 4], "bias": 1}
STEEP = {"score": FITTED, "peak": FITTED}
HALF = 180  # half of the frames of the memory test


@pytest.fixture(scope="module")
def engine(frames, speech):
    """What a stream needs of a ``LipSyncInference``, with a small, untrained model."""
    torch.manual_seed(3)
    model = SyncModel(ModelSpec(96, 40, 24, 24, 2, 0.0))
    trained = SimpleNamespace(model=model, calibration=STEEP)
    engine = SimpleNamespace(
        trained=trained, in_torch=lambda: trained, config=Config(), detector=ColourDetector()
    )
    _, regions, bands = clip_of(engine, frames, speech)
    with torch.no_grad():
        for _ in range(40):  # its batch norms learn the statistics, so that embeddings differ
            model(regions, bands)
        model.eval()
        for encoder, inputs in ((model.video, regions), (model.audio, bands)):
            last, outputs = encoder.temporal.layers[-1], []
            hook = last.register_forward_hook(lambda *call, out=outputs: out.append(call[2]))
            encoder(inputs)
            hook.remove()
            last.bias -= outputs[0].mean((0, 2))
    return engine


def clip_of(engine, frames, audio):
    """Crops, MFCC and speech as extracted from a file; and the network's input."""
    tracker = FaceTracker(engine.detector, engine.config.data, RecordingSink)
    video = [to_video_frame(frame) for frame in frames]
    for index in range(1, len(frames)):
        if (frames[index] == frames[index - 1]).all():  # in a gap, files repeat the frame itself
            video[index] = video[index - 1]
    (track,) = tracker.track(video)
    mfcc, speech = compute_features(audio, len(frames))
    crops = np.stack(track.sink.crops)
    regions = crop_face_region(torch.from_numpy(crops), engine.trained.model.spec)[None].float()
    regions = (regions - regions.mean()) / regions.std()
    bands, has_speech = mfcc_to_bands(torch.from_numpy(mfcc))[None], torch.from_numpy(speech)
    bands = normalise_bands(bands, *measure_bands(bands, speech_by_hop(has_speech)[None]))
    return (crops, mfcc, speech), regions, bands


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """4 s of a voice at 16 kHz."""
    voice = np.concatenate([sound_of(seed) for seed in (9001, 9002)])
    positions = np.arange(4 * SAMPLE_RATE) * (synthetic_talker.SAMPLE_RATE / SAMPLE_RATE)
    return np.interp(positions, np.arange(len(voice)), voice).astype(np.float32)


def make_frames(n: int, actors=ONE_FACE) -> np.ndarray:
    """uint8 [n, height, width, 3]: scripted faces across which shadows pass."""
    shade = np.random.default_rng(5).normal(0, 18, (n, 3))
    frames = []
    for index in range(n):
        frame = draw_frame(actors, index, 40, SIZE).astype(np.int16)
        for band, value in enumerate(shade[index]):
            frame[55 + 8 * band : 62 + 8 * band] += int(value)  # grey: the colours stay
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return np.stack(frames)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return make_frames(4 * FPS)


class Event(NamedTuple):
    """One push: when it arrives, the method, its data, and the time of the data, in seconds."""

    arrival_s: float
    method: str
    data: np.ndarray
    time_s: float | np.ndarray


def events(
    frames, audio, rate=SAMPLE_RATE, block=1600, frames_at_once=1, audio_ahead_s=0.0, start_s=0.0
) -> list[Event]:
    """The pushes of a clip in order of their arrival."""
    pushes = []
    for first in range(0, len(frames), frames_at_once):
        chunk = frames[first : first + frames_at_once]
        times = start_s + (first + np.arange(len(chunk))) / FPS
        pushes.append(Event(times[-1], "push_frames", chunk, times))
    for first in range(0, len(audio), block):
        chunk = audio[first : first + block]
        time_s = start_s + first / rate
        arrival_s = time_s + len(chunk) / rate - audio_ahead_s
        pushes.append(Event(arrival_s, "push_audio", chunk, time_s))
    return sorted(pushes, key=lambda event: event.arrival_s)


def play(engine, pushes, every_s=0.4, **settings):
    """The stream and its results, the last one after ``flush``."""
    stream = LipSyncStream(engine, every_s=every_s, **settings)
    results = [getattr(stream, event.method)(event.data, event.time_s) for event in pushes]
    return stream, [*results, stream.flush()]


@pytest.fixture(scope="module")
def from_file(engine, frames, speech):
    """(score, probability) of the whole clip at once, processed as a file."""

    @cache
    def measured(change=None):
        clip = change(frames, speech) if change else (frames, speech)
        features = clip_of(engine, *clip)[0]
        curve = similarity_curve([compute_evidence(engine.trained.model, *features, REACH)])
        return sync_probability(curve, STEEP), peak_probability(curve, STEEP)

    return measured


def stereo(kind: str, speech: np.ndarray) -> np.ndarray:
    """float32 [n, 2]: the voice left, and right what hides it in the mean of both."""
    noise = np.random.default_rng(0).normal(0, 0.5, len(speech))
    return np.stack([speech, -speech if kind == "inverted" else noise], 1).astype(np.float32)


@pytest.mark.parametrize("kind", ["inverted", "noise"])
def test_the_channel_with_the_speech_is_used(engine, frames, speech, from_file, kind):
    _, results = play(engine, events(frames, stereo(kind, speech)), channels=2)
    estimate, (score, probability) = results[-1].so_far, from_file()
    assert results[-1].audio_channel == 1
    assert estimate.score == pytest.approx(score, abs=2e-4)
    assert estimate.probability == pytest.approx(probability, abs=2e-4)


def test_two_equal_channels_are_averaged(engine, frames, speech, from_file):
    both = np.stack([speech, speech], 1)
    _, results = play(engine, events(frames, both), channels=2)
    assert results[-1].audio_channel is None
    assert results[-1].so_far.score == pytest.approx(from_file()[0], abs=2e-4)


def shift_by_1_s(frames, audio):
    return frames, np.roll(audio, SAMPLE_RATE)


@pytest.mark.parametrize(
    "arrival",
    [
        {},
        {"block": 160},
        {"block": 5000, "frames_at_once": 7},
        {"audio_ahead_s": 1.0},
        {"audio_ahead_s": -1.0, "block": 777},
        {"start_s": 1.7e9},
    ],
    ids=["even", "small blocks", "large blocks", "audio first", "video first", "clock"],
)
def test_a_whole_clip_gives_the_result_of_its_file(engine, frames, speech, from_file, arrival):
    _, results = play(engine, events(frames, speech, **arrival))
    estimate, (score, probability) = results[-1].so_far, from_file()
    assert estimate.score == pytest.approx(score, abs=2e-4)
    assert estimate.probability == pytest.approx(probability, abs=2e-4)
    assert estimate.time_s == pytest.approx(arrival.get("start_s", 0) + 4.0, abs=1e-3)
    assert results[-1].latest == estimate, "the stream is shorter than the window"
    shifted_score, _ = from_file(shift_by_1_s)
    assert abs(shifted_score - score) > 0.02, "a difference would show"


def test_windows_that_leave_a_small_span_stay_in_the_total(engine, frames, speech, from_file):
    _, results = play(engine, events(frames, speech), window_s=2)
    score, _ = from_file()
    # What left early was scored with the levels of the first seconds.
    assert results[-1].so_far.score == pytest.approx(score, abs=0.1)
    last_2_s, _ = from_file(lambda frames, audio: (frames[2 * FPS :], audio[2 * SAMPLE_RATE :]))
    assert abs(last_2_s - score) > 0.05
    latest = results[-1].latest.score
    assert abs(latest - last_2_s) < abs(latest - score)


def test_results_are_updated_while_the_stream_runs(engine, frames, speech):
    pushes = events(frames, speech)
    _, results = play(engine, pushes, every_s=0.2)
    update_times = np.unique([result.latest.time_s for result in results[:-1]])
    assert np.diff(update_times).max() <= 0.4
    latency_s = [
        event.arrival_s - result.latest.time_s
        for event, result in zip(pushes, results, strict=False)
    ]
    assert max(latency_s[20:]) < 0.7  # frames of the smoothing, blocks of speech, and every_s
    assert results[5].latest.status in ("no_face", "no_speech", "too_short")
    for result in results:
        for estimate in (result.latest, result.so_far):
            assert (estimate.offset_ms is None) == (estimate.status != "ok")
            assert estimate.score is None or 0 <= estimate.score <= 1


def test_of_several_faces_the_largest_is_scored(engine, speech):
    """Whoever the small one is. (One face alone is detected less often.)"""
    small, other = Actor(25, y=30, size=24, who=1), Actor(25, y=30, size=28, who=2)
    audio = speech[: 2 * SAMPLE_RATE]
    _, first = play(engine, events(make_frames(50, (small, *ONE_FACE)), audio))
    _, second = play(engine, events(make_frames(50, (other, *ONE_FACE)), audio))
    assert first[-1].so_far.score == pytest.approx(second[-1].so_far.score, abs=0.02)
    _, small_only = play(engine, events(make_frames(50, (small,)), audio))
    assert abs(small_only[-1].so_far.score - first[-1].so_far.score) > 0.05


@pytest.mark.parametrize(
    ("shown", "gain", "status"),
    [(make_frames(50, ()), 1.0, "no_face"), (make_frames(50), 0.0, "no_speech"),
     (make_frames(50), None, "no_speech"), (None, 1.0, "no_face"),
     (make_frames(9), 1.0, "too_short")],
    ids=["no face", "silence", "no audio", "no frames", "short"],
)  # fmt: skip
def test_without_evidence_there_is_a_status_and_no_number(engine, speech, shown, gain, status):
    audio = speech[:0] if gain is None else gain * speech[4000 : 4000 + 2 * SAMPLE_RATE]
    _, results = play(engine, events([] if shown is None else shown, audio))
    for estimate in (results[-1].latest, results[-1].so_far):
        assert (estimate.status, estimate.score, estimate.offset_ms) == (status, None, None)
        assert estimate.probability is None


def test_the_latest_seconds_do_not_contain_the_speech_before(engine, frames, speech):
    audio = speech.copy()
    audio[SAMPLE_RATE:] = 0
    _, results = play(engine, events(frames, audio), window_s=2)
    assert results[-1].latest.status == "no_speech" and results[-1].latest.score is None
    assert results[-1].so_far.score is not None


def test_gaps_are_scored_as_a_frozen_frame_and_silence(engine, frames, speech, from_file):
    pushes = [
        event
        for event in events(frames, speech)
        if not (event.method == "push_frames" and 2.0 <= event.arrival_s < 2.4)
        and not (event.method == "push_audio" and 2.5 <= event.time_s < 3.0)
    ]
    _, results = play(engine, pushes)

    def fill_gaps(frames, audio):
        frames, audio = frames.copy(), audio.copy()
        audio[round(2.5 * SAMPLE_RATE) : 3 * SAMPLE_RATE] = 0
        frames[50:60] = frames[49]
        return frames, audio

    score, _ = from_file(fill_gaps)
    assert results[-1].so_far.score == pytest.approx(score, abs=2e-4)
    assert results[-1].so_far.time_s == pytest.approx(4.0, abs=1e-3)
    without_gaps, _ = from_file()
    assert abs(without_gaps - score) > 0.02


def test_input_that_stays_away_is_not_waited_for(engine, frames, speech):
    """Where audio or video stops, the other stream goes on, and so does the result."""
    audio_stops = events(frames, speech[:SAMPLE_RATE])
    _, results = play(engine, audio_stops, lead_s=1)
    assert results[-2].latest.time_s > 2.5
    assert results[-1].latest.time_s == pytest.approx(4.0, abs=1e-3)
    video_stops = events(frames[:8], speech)
    _, results = play(engine, video_stops, lead_s=1, window_s=2)
    assert results[-1].latest.time_s > 2.5
    assert results[-1].latest.status == "no_face"


def test_time_that_goes_backwards_is_rejected_and_changes_nothing(engine, frames, speech):
    pushes = events(frames[:75], speech[: 3 * SAMPLE_RATE])
    stream = LipSyncStream(engine, every_s=0.4)
    for number, event in enumerate(pushes):
        getattr(stream, event.method)(event.data, event.time_s)
        if number == 40:
            hint = r"; push frames and audio in order of time, or start a new stream$"
            with pytest.raises(StreamError, match=r"backwards: 0\.200 s after \d\.\d{3} s" + hint):
                stream.push_frames(frames[5], 0.2)
            with pytest.raises(StreamError, match="time goes backwards: 0.100 s after .*" + hint):
                stream.push_audio(speech[:100], 0.1)
            with pytest.raises(StreamError, match=r"backwards: 2\.000 s after 2\.040 s" + hint):
                stream.push_frames(frames[:2], [2.04, 2.0])
            clock = (
                "^time jumps to 1000000.000 s: video and audio need a common clock; after a gap "
                "of more than 60 s, start a new stream$"
            )
            with pytest.raises(StreamError, match=clock):
                stream.push_audio(speech[:100], 1e6)
    assert stream.flush() == play(engine, pushes)[1][-1]
    ended = re.escape("the stream has ended (flush): start a new one")
    with pytest.raises(StreamError, match=ended):
        stream.push_audio(speech[:100], 4.0)
    with pytest.raises(StreamError, match=ended):
        stream.push_frames(frames[0], 4.0)
    assert stream.flush() == stream.flush()


FRAMES = "frames must be uint8 BGR [n, height, width, 3], not "
AUDIO = "audio must be finite float32 samples, mono [n] or [n, 1], not "


@pytest.mark.parametrize(
    ("method", "data", "t", "message"),
    [
        (
            "push_frames", np.zeros((2, 8, 8, 3), np.float32), [0, 1],
            FRAMES + "float32 [2, 8, 8, 3]",
        ),
        ("push_frames", np.zeros((8, 8), np.uint8), 0, FRAMES + "uint8 [8, 8]"),
        ("push_frames", np.zeros((8, 8, 4), np.uint8), 0, FRAMES + "uint8 [1, 8, 8, 4]"),
        (
            "push_frames", np.zeros((2, 8, 8, 3), np.uint8), [0],
            "2 frames need 2 times in seconds, not [0]",
        ),
        (
            "push_frames", np.zeros((8, 8, 3), np.uint8), np.nan,
            "1 frames need 1 times in seconds, not nan",
        ),
        ("push_audio", np.zeros(9, np.int16), 0, AUDIO + "int16 [9]"),
        ("push_audio", np.zeros((9, 2), np.float32), 0, AUDIO + "float32 [9, 2]"),
        ("push_audio", np.full(9, np.nan, np.float32), 0, AUDIO + "float32 [9]"),
        (
            "push_audio", np.zeros(9, np.float32), np.inf,
            "audio needs the time of its first sample in seconds, not inf",
        ),
    ],
)  # fmt: skip
def test_invalid_frames_and_audio_are_rejected(engine, method, data, t, message):
    with pytest.raises(StreamError) as caught:
        getattr(LipSyncStream(engine), method)(data, t)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "settings",
    [{"sample_rate": 0}, {"sample_rate": 44100.5}, {"window_s": 0.5}, {"every_s": -1},
     {"lead_s": float("nan")}, {"channels": 0}, {"channels": 17}],
)  # fmt: skip
def test_settings_out_of_range_are_rejected(engine, settings):
    with pytest.raises(StreamError):
        LipSyncStream(engine, **settings)


def test_frame_size_and_frame_rate_may_change(engine, speech):
    """The camera is rotated, and gives 60 frames per second, some of them twice."""
    stream = LipSyncStream(engine)
    frames = make_frames(50)
    for index in range(120):
        bgr = frames[index * 25 // 60]
        stream.push_frames(bgr if index < 60 else bgr[1:, :-1], index // 2 * 2 / 60)
        if index % 6 == 5:
            start = (index - 5) * SAMPLE_RATE // 60
            stream.push_audio(speech[start : start + 1600], start / SAMPLE_RATE)
    result = stream.flush()
    assert result.so_far.score is not None
    assert result.so_far.time_s == pytest.approx(2.0, abs=0.05)


def test_memory_is_bounded(engine, speech):
    """Faces come and go; the memory of the first half of the stream suffices for the second."""
    actor = Actor(lambda t: 80 if t % 60 > 16 else None, y=60, size=44)  # one face after the other
    frames = make_frames(60, (actor,))
    stream, sizes, memory = LipSyncStream(engine, window_s=2, every_s=0.4), [], []
    for index in range(2 * HALF):
        stream.push_frames(frames[index % 60], index / FPS)
        if index % 5 == 4:
            start = (index - 4) * SAMPLE_RATE // FPS
            block = speech[np.arange(start, start + 3200) % len(speech)]
            stream.push_audio(block, start / SAMPLE_RATE)
        sizes.append((*stream.memory_use.values(), len(stream._faces.tracks)))
        if index in (HALF - 1, 2 * HALF - 1):
            memory.append(reachable(stream, engine))
    first, second = np.array(sizes[:HALF]), np.array(sizes[HALF:])
    assert (second.max(0) <= first.max(0) * 1.05).all()
    assert second[:, 0].max() <= 4 * FPS  # window and lead
    assert memory[0][0] > 500_000  # crops, embeddings, similarities
    assert (np.array(memory[1]) <= 1.05 * np.array(memory[0])).all()
    assert stream.flush().so_far.score is not None


def reachable(stream, engine) -> tuple[int, int]:
    """Bytes and number of the objects of a stream, without those that streams share."""
    shared = {id(engine), id(engine.trained.model), id(engine.detector), id(engine.config)}
    skipped = (type, ModuleType, FunctionType, BuiltinFunctionType, torch.nn.Module)
    pending, visited, n_bytes = [stream.__dict__], set(), 0
    while pending:
        item = pending.pop()
        if id(item) in visited or id(item) in shared or isinstance(item, skipped):
            continue
        visited.add(id(item))
        n_bytes += item.nbytes if isinstance(item, np.ndarray) else sys.getsizeof(item)
        pending += gc.get_referents(item)
    return n_bytes, len(visited)


def test_a_synthetic_talker_is_scored_as_from_its_file(talking_clip):
    engine = LipSyncInference(
        "pretrained/best_model.pth", device="cpu", overrides=["inference.min_offset_probability=0"]
    )
    score, details = engine.compute_sync_score(talking_clip, face="largest")
    audio = read_audio(talking_clip)
    frames = np.stack([frame.bgr for frame in read_frames(talking_clip)])
    _, results = play(engine, events(frames, audio))
    estimate = results[-1].so_far
    assert estimate.status == details["status"] == "ok"
    assert estimate.offset_ms == pytest.approx(details["offset_ms"], abs=20)
    assert estimate.score == pytest.approx(score, abs=0.05)
    assert estimate.probability == pytest.approx(details["offset_probability"], abs=0.05)
    # Audio that leads by another 160 ms is measured to do so.
    _, results = play(engine, events(frames, audio[2560:]))
    change_ms = results[-1].so_far.offset_ms - estimate.offset_ms
    assert change_ms == pytest.approx(160, abs=25)
