"""Live: what a stream says is what a file says, however it comes, and memory stays bounded."""

import gc
import sys
from functools import cache
from types import BuiltinFunctionType, FunctionType, ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from src.audio.features import features_of
from src.core.config import Config
from src.core.constants import FPS, SAMPLE_RATE
from src.core.errors import StreamError
from src.faces.tracker import TrackingStats, track_faces
from src.live.stream import LipSyncStream
from src.media.frame import to_video_frame
from src.media.reader import read_audio, read_frames
from src.models.normalization import bands_of, central_view, normalise_bands, speech_steps
from src.models.spec import ModelSize
from src.models.sync_model import SyncModel
from src.pipeline.engine import LipSyncInference
from src.scoring.calibration import peak_probability, sync_probability
from src.scoring.clip_evidence import evidence_of
from src.scoring.evidence import curve_of
from tests.support.crossing_films import KeptCrops
from tests.support.inference_helpers import sound_of
from tests.support.scripted_faces import Actor, ColourDetector, picture
from tools import synthetic_talker

SIZE = (120, 160)
ONE = (Actor(lambda t: 80 + 6 * np.sin(t / 9), y=60, size=44),)
REACH = 60
# Small differences show.
FITTED = {"mean": [0, 0, 0], "scale": [1, 1, 1], "weights": [0, 40, 4], "bias": 1}
SHARP = {"score": FITTED, "peak": FITTED}
HALF = 180  # frames of the test of memory


@pytest.fixture(scope="module")
def judge(frames, speech):
    """What a stream needs of a ``LipSyncInference``, with a small model that knows nothing."""
    torch.manual_seed(3)
    model = SyncModel(ModelSize(96, 40, 24, 24, 2, 0.0))
    trained = SimpleNamespace(model=model, calibration=SHARP)
    judge = SimpleNamespace(trained=trained, config=Config(), detector=ColourDetector())
    _, views, bands = clip_of(judge, frames, speech)
    with torch.no_grad():
        for _ in range(40):  # its layers learn what is usual, so that embeddings differ
            model(views, bands)
        model.eval()
        for encoder, given in ((model.video, views), (model.audio, bands)):
            last, seen = encoder.temporal.layers[-1], []
            hook = last.register_forward_hook(lambda *call, seen=seen: seen.append(call[2]))
            encoder(given)
            hook.remove()
            last.bias -= seen[0].mean((0, 2))
    return judge


def clip_of(judge, shown, sound):
    """Crops, speech and MFCC as files give them; and what the network sees of them."""
    (track,) = track_faces(
        (to_video_frame(frame) for frame in shown), judge.detector, judge.config.data, 5, KeptCrops,
        TrackingStats(),
    )  # fmt: skip
    mfcc, spoken = features_of(sound, len(shown))
    crops = np.stack(track.sink.crops)
    views = central_view(torch.from_numpy(crops), judge.trained.model.size)[None].float() / 255
    views = (views - views.mean()) / views.std()
    bands = normalise_bands(
        bands_of(torch.from_numpy(mfcc))[None], speech_steps(torch.from_numpy(spoken))[None]
    )
    return (crops, mfcc, spoken), views, bands


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """4 s of a voice at 16 kHz."""
    sound = np.concatenate([sound_of(seed) for seed in (9001, 9002)])
    at = np.arange(4 * SAMPLE_RATE) * (synthetic_talker.SAMPLE_RATE / SAMPLE_RATE)
    return np.interp(at, np.arange(len(sound)), sound).astype(np.float32)


def film(n: int, actors=ONE) -> np.ndarray:
    """uint8 [n, height, width, 3]: scripted faces across which shadows pass."""
    shade = np.random.default_rng(5).normal(0, 18, (n, 3))
    frames = []
    for index in range(n):
        shown = picture(actors, index, 40, SIZE).astype(np.int16)
        for band, value in enumerate(shade[index]):
            shown[55 + 8 * band : 62 + 8 * band] += int(value)  # grey: the colours stay
        frames.append(np.clip(shown, 0, 255).astype(np.uint8))
    return np.stack(frames)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return film(4 * FPS)


def events(frames, sound, rate=SAMPLE_RATE, block=1600, at_once=1, ahead_s=0.0, zero=0.0):
    """(when it comes, kind, content, its time), in the order in which they come."""
    found = []
    for start in range(0, len(frames), at_once):
        piece = frames[start : start + at_once]
        times = zero + (start + np.arange(len(piece))) / FPS
        found.append((times[-1], "push_frames", piece, times))
    for start in range(0, len(sound), block):
        piece = sound[start : start + block]
        t = zero + start / rate
        found.append((t + len(piece) / rate - ahead_s, "push_audio", piece, t))
    return sorted(found, key=lambda event: event[0])


def play(judge, given, every_s=0.4, **settings):
    """The stream and its results, the last one after ``flush``."""
    stream = LipSyncStream(judge, every_s=every_s, **settings)
    results = [getattr(stream, kind)(content, t) for _, kind, content, t in given]
    return stream, [*results, stream.flush()]


@pytest.fixture(scope="module")
def from_file(judge, frames, speech):
    """(score, probability) of the whole clip at once, by the rooms that files go through."""

    @cache
    def measured(change=None):
        shown, sound = change(frames, speech) if change else (frames, speech)
        curve = curve_of(
            [evidence_of(judge.trained.model, *clip_of(judge, shown, sound)[0], REACH)]
        )
        return sync_probability(curve, SHARP), peak_probability(curve, SHARP)

    return measured


def moved(shown, sound):
    return shown, np.roll(sound, SAMPLE_RATE)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"block": 160},
        {"block": 5000, "at_once": 7},
        {"ahead_s": 1.0},
        {"ahead_s": -1.0, "block": 777},
        {"zero": 1.7e9},
    ],
    ids=["even", "small blocks", "large blocks", "sound first", "pictures first", "clock"],
)
def test_a_whole_clip_gives_what_a_file_gives(judge, frames, speech, from_file, how):
    _, results = play(judge, events(frames, speech, **how))
    found, (score, probability) = results[-1].so_far, from_file()
    assert found.score == pytest.approx(score, abs=2e-4)
    assert found.probability == pytest.approx(probability, abs=2e-4)
    assert found.time_s == pytest.approx(how.get("zero", 0) + 4.0, abs=1e-3)
    # The stream is shorter than the window: both readings are of the same.
    assert results[-1].latest == found
    other, _ = from_file(moved)
    assert abs(other - score) > 0.02  # it could be told apart


def test_a_small_window_settles_what_leaves_it(judge, frames, speech, from_file):
    _, results = play(judge, events(frames, speech), window_s=2)
    score, _ = from_file()
    # What left early was judged by the levels of the first seconds.
    assert results[-1].so_far.score == pytest.approx(score, abs=0.1)
    tail, _ = from_file(lambda shown, sound: (shown[2 * FPS :], sound[2 * SAMPLE_RATE :]))
    assert abs(tail - score) > 0.05
    assert abs(results[-1].latest.score - tail) < abs(results[-1].latest.score - score)


def test_results_come_while_it_goes_on(judge, frames, speech):
    given = events(frames, speech)
    _, results = play(judge, given, every_s=0.2)
    steps = np.unique([result.latest.time_s for result in results[:-1]])
    assert np.diff(steps).max() <= 0.4
    behind = [
        event[0] - result.latest.time_s for event, result in zip(given, results, strict=False)
    ]
    assert max(behind[20:]) < 0.7  # pictures of the smoothing, blocks of speech, and every_s
    assert results[5].latest.status in ("no_face", "no_speech", "too_short")
    for result in results:
        for reading in (result.latest, result.so_far):
            assert (reading.offset_ms is None) == (reading.status != "ok")
            assert reading.score is None or 0 <= reading.score <= 1


def test_of_several_faces_the_largest_is_followed(judge, speech):
    small = Actor(25, y=30, size=24, who=1)
    _, alone = play(judge, events(film(50), speech[: 2 * SAMPLE_RATE]))
    _, both = play(judge, events(film(50, (small, *ONE)), speech[: 2 * SAMPLE_RATE]))
    assert both[-1].so_far.score == pytest.approx(alone[-1].so_far.score, abs=0.02)
    _, other = play(judge, events(film(50, (small,)), speech[: 2 * SAMPLE_RATE]))
    assert abs(other[-1].so_far.score - alone[-1].so_far.score) > 0.05


@pytest.mark.parametrize(
    ("shown", "heard", "status"),
    [(film(50, ()), 1.0, "no_face"), (film(50), 0.0, "no_speech"), (film(50), None, "no_speech"),
     (None, 1.0, "no_face"), (film(9), 1.0, "too_short")],
    ids=["no face", "silence", "no sound", "no pictures", "short"],
)  # fmt: skip
def test_without_evidence_there_is_a_status_and_no_number(judge, speech, shown, heard, status):
    sound = speech[:0] if heard is None else heard * speech[4000 : 4000 + 2 * SAMPLE_RATE]
    _, results = play(judge, events([] if shown is None else shown, sound))
    for reading in (results[-1].latest, results[-1].so_far):
        assert (reading.status, reading.score, reading.offset_ms) == (status, None, None)
        assert reading.probability is None


def test_the_latest_seconds_forget_the_speech_before(judge, frames, speech):
    sound = speech.copy()
    sound[SAMPLE_RATE:] = 0
    _, results = play(judge, events(frames, sound), window_s=2)
    assert results[-1].latest.status == "no_speech" and results[-1].latest.score is None
    assert results[-1].so_far.score is not None


def test_gaps_do_not_break_it(judge, frames, speech, from_file):
    given = [
        event
        for event in events(frames, speech)
        if not (event[1] == "push_frames" and 2.0 <= event[0] < 2.2)
        and not (event[1] == "push_audio" and 2.5 <= event[3] < 3.0)
    ]
    _, results = play(judge, given)

    def holed(shown, sound):
        shown, sound = shown.copy(), sound.copy()
        sound[round(2.5 * SAMPLE_RATE) : 3 * SAMPLE_RATE] = 0
        shown[50:55] = shown[49]  # the last picture stands
        return shown, sound

    score, _ = from_file(holed)
    assert results[-1].so_far.score == pytest.approx(score, abs=0.01)
    whole, _ = from_file()
    assert abs(whole - score) > 0.02


def test_what_stays_away_is_not_waited_for(judge, frames, speech):
    """Sound that stops, and pictures that stop: the other one goes on, and so does the result."""
    silent = events(frames, speech[:SAMPLE_RATE])
    _, results = play(judge, silent, lead_s=1)
    assert results[-2].latest.time_s > 2.5
    assert results[-1].latest.time_s == pytest.approx(4.0, abs=1e-3)
    unseen = events(frames[:8], speech)
    _, results = play(judge, unseen, lead_s=1, window_s=2)
    assert results[-1].latest.time_s > 2.5
    assert results[-1].latest.status == "no_face"


def test_time_that_goes_backwards_is_refused_and_changes_nothing(judge, frames, speech):
    given = events(frames[:75], speech[: 3 * SAMPLE_RATE])
    stream, results = LipSyncStream(judge, every_s=0.4), []
    for number, (_, kind, content, t) in enumerate(given):
        results.append(getattr(stream, kind)(content, t))
        if number == 40:
            with pytest.raises(StreamError, match=r"backwards: 0\.200 s after"):
                stream.push_frames(frames[5], 0.2)
            with pytest.raises(StreamError, match="time goes backwards"):
                stream.push_audio(speech[:100], 0.1)
            with pytest.raises(StreamError, match=r"backwards: 2\.000 s after 2\.040 s"):
                stream.push_frames(frames[:2], [2.04, 2.0])
            with pytest.raises(StreamError, match="one clock"):
                stream.push_audio(speech[:100], 1e6)
    assert stream.flush() == play(judge, given)[1][-1]
    with pytest.raises(StreamError, match="has ended"):
        stream.push_audio(speech[:100], 4.0)
    with pytest.raises(StreamError, match="has ended"):
        stream.push_frames(frames[0], 4.0)
    assert stream.flush() == stream.flush()


@pytest.mark.parametrize(
    ("kind", "content", "t"),
    [
        ("push_frames", np.zeros((2, 8, 8, 3), np.float32), [0, 1]),
        ("push_frames", np.zeros((8, 8), np.uint8), 0),
        ("push_frames", np.zeros((8, 8, 4), np.uint8), 0),
        ("push_frames", np.zeros((2, 8, 8, 3), np.uint8), [0]),
        ("push_frames", np.zeros((8, 8, 3), np.uint8), np.nan),
        ("push_audio", np.zeros(9, np.int16), 0),
        ("push_audio", np.zeros((9, 2), np.float32), 0),
        ("push_audio", np.full(9, np.nan, np.float32), 0),
        ("push_audio", np.zeros(9, np.float32), np.inf),
    ],
)
def test_what_is_no_picture_or_sound_is_refused(judge, kind, content, t):
    with pytest.raises(StreamError):
        getattr(LipSyncStream(judge), kind)(content, t)


@pytest.mark.parametrize(
    "settings",
    [{"sample_rate": 0}, {"sample_rate": 44100.5}, {"window_s": 0.5}, {"every_s": -1},
     {"lead_s": float("nan")}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(judge, settings):
    with pytest.raises(StreamError):
        LipSyncStream(judge, **settings)


def test_pictures_of_other_sizes_and_rates(judge, speech):
    """The camera is turned, and gives 60 pictures a second, some of them twice."""
    stream = LipSyncStream(judge)
    shown = film(50)
    for index in range(120):
        bgr = shown[index * 25 // 60]
        stream.push_frames(bgr if index < 60 else bgr[1:, :-1], index // 2 * 2 / 60)
        if index % 6 == 5:
            begin = (index - 5) * SAMPLE_RATE // 60
            stream.push_audio(speech[begin : begin + 1600], begin / SAMPLE_RATE)
    result = stream.flush()
    assert result.so_far.score is not None
    assert result.so_far.time_s == pytest.approx(2.0, abs=0.05)


def test_memory_is_bounded(judge, speech):
    """Faces come and go; what is held after half of the time is held at the end, and no more."""
    actor = Actor(lambda t: 80 if t % 60 > 16 else None, y=60, size=44)  # one face after the other
    shown = film(60, (actor,))
    stream, sizes, memory = LipSyncStream(judge, window_s=2, every_s=0.4), [], []
    for index in range(2 * HALF):
        stream.push_frames(shown[index % 60], index / FPS)
        if index % 5 == 4:
            start = (index - 4) * SAMPLE_RATE // FPS
            block = speech[np.arange(start, start + 3200) % len(speech)]
            stream.push_audio(block, start / SAMPLE_RATE)
        sizes.append((*stream.held.values(), len(stream._faces.faces)))
        if index in (HALF - 1, 2 * HALF - 1):
            memory.append(reachable(stream, judge))
    first, second = np.array(sizes[:HALF]), np.array(sizes[HALF:])
    assert (second.max(0) <= first.max(0) * 1.05).all()
    assert second[:, 0].max() <= 4 * FPS  # window and lead
    assert memory[0][0] > 500_000  # crops, embeddings, similarities
    assert (np.array(memory[1]) <= 1.05 * np.array(memory[0])).all()
    assert stream.flush().so_far.score is not None


def reachable(stream, judge) -> tuple[int, int]:
    """Bytes and number of the objects that a stream holds, but for those that streams share."""
    shared = {id(judge), id(judge.trained.model), id(judge.detector), id(judge.config)}
    left, found, size = [stream.__dict__], set(), 0
    while left:
        one = left.pop()
        skipped = (type, ModuleType, FunctionType, BuiltinFunctionType, torch.nn.Module)
        if id(one) in found or id(one) in shared or isinstance(one, skipped):
            continue
        found.add(id(one))
        size += one.nbytes if isinstance(one, np.ndarray) else sys.getsizeof(one)
        left += gc.get_referents(one)
    return size, len(found)


def test_a_drawn_talker_is_judged_as_from_its_file(talking_clip):
    judge = LipSyncInference(
        "pretrained/best_model.pth", device="cpu", overrides=["inference.min_offset_probability=0"]
    )
    score, details = judge.compute_sync_score(talking_clip, face="largest")
    sound = read_audio(talking_clip)
    shown = np.stack([one.bgr for one in read_frames(talking_clip)])
    _, results = play(judge, events(shown, sound))
    found = results[-1].so_far
    assert found.status == details["status"] == "ok"
    assert found.offset_ms == pytest.approx(details["offset_ms"], abs=20)
    assert found.score == pytest.approx(score, abs=0.05)
    assert found.probability == pytest.approx(details["offset_probability"], abs=0.05)
    # Sound that is early by 160 ms is found to be.
    _, results = play(judge, events(shown, sound[2560:]))
    later = results[-1].so_far.offset_ms - found.offset_ms
    assert later == pytest.approx(160, abs=25)
