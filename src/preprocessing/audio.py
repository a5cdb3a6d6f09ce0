"""The audio of a clip -> MFCC and speech on disk: which channel, and which track has speech."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.channels import MIN_SPEECH_FRAMES, Heard, better_channel
from ..audio.features import BLOCK_SAMPLES, LevelMeter, stream_features
from ..audio.vad import SpeechDetector
from ..core.constants import FPS, FRAME_MS, SAMPLE_RATE, SAMPLES_PER_FRAME, WINDOW_FRAMES
from ..core.errors import ClipTooShortError, MediaError, SilentAudioError
from ..i18n.messages import tr
from ..media.container import MediaInfo, ReadReport, probe
from ..media.reader import audio_blocks, fill_gaps, mix, stream_audio
from ..media.stream_choice import DEFAULT_STREAMS, StreamChoice
from .clip_features import AudioFeatures

# Channels are measured one by one where their mean has speech in fewer of the frames, or where two
# channels differ by more than this share of what they have in common.
ENOUGH_SPEECH, SAME_CHANNELS = 0.5, 0.5


@dataclass(frozen=True)
class ExtractedAudio:
    """The audio features of a clip and where they are from.

    Attributes:
        features: MFCC and speech.
        info: the header of the file, with the audio stream that was used.
        n_samples: at 16 kHz, from the first frame on.
        report: damage met.
        channel: the only channel that was used, from 1; None: the mean of all.
        others_with_speech: numbers of other audio streams with speech, where this one has none.
    """

    features: AudioFeatures
    info: MediaInfo
    n_samples: int
    report: ReadReport
    channel: int | None
    others_with_speech: tuple[int, ...]


def extract_audio(
    path: str | Path, streams: StreamChoice, folder: Path, n_mfcc: int, passing: Callable
) -> ExtractedAudio:
    """Compute MFCC and speech of an audio file, on disk.

    The channels are averaged; where the others cancel or cover the speech of one, it is used alone.

    Args:
        path: a file with audio.
        streams: which of its streams.
        folder: an existing folder for the features.
        n_mfcc: coefficients a hop.
        passing: blocks go through it, see ``BackgroundTask``.

    Raises:
        MediaError: the audio cannot be read, is silent throughout, or too short.
        OutputError: the folder cannot be written.
    """
    info = probe(path, streams)

    def compute(channel: int | None) -> _Computed:
        chosen = StreamChoice(streams.video, streams.audio, channel)
        return _compute_features(path, chosen, folder / "audio.rows", n_mfcc, passing)

    channel, computed = streams.channel, compute(streams.channel)
    if channel is None and info.audio_channels > 1 and computed.may_hide_speech:
        mean = Heard(computed.n_speech, computed.meter.rms)
        channel = better_channel(mean, _measure_channels(path, streams, passing))
        if channel is not None:
            computed = compute(channel)
    others = ()
    if computed.meter.is_silent or not computed.n_speech:
        others = tuple(
            number for number, _ in info.other_audios
            if _has_speech(path, StreamChoice(streams.video, number), passing)
        )  # fmt: skip
    if computed.meter.is_silent:
        raise _silent_error(path, info, others)
    n_samples = computed.meter.n_samples
    if n_samples < WINDOW_FRAMES * SAMPLES_PER_FRAME:
        raise ClipTooShortError(
            tr("the audio of {path} is only {ms} ms long; at least 200 ms required",
               path=path, ms=n_samples * FRAME_MS // SAMPLES_PER_FRAME)
        )  # fmt: skip
    return ExtractedAudio(computed.features, info, n_samples, computed.report, channel, others)


def find_channel(path: str | Path) -> int | None:
    """The channel, from 1, whose speech the others cancel or cover; None: the mean of all is good.

    Raises:
        MediaError: the audio cannot be read.
    """
    if probe(path).audio_channels < 2:
        return None
    mean = _ChannelMeter()
    for samples in stream_audio(path):
        mean.add(samples)
    return better_channel(mean.end(), _measure_channels(path, DEFAULT_STREAMS, iter))


@dataclass(frozen=True)
class _Computed:
    """Features of a mix, its level, its speech in frames, and half the difference of two channels
    (RMS)."""

    features: AudioFeatures
    meter: LevelMeter
    report: ReadReport
    n_speech: int
    difference_rms: float

    @property
    def may_hide_speech(self) -> bool:
        """Whether one of the channels could be better."""
        n_frames = self.meter.n_samples * FPS / SAMPLE_RATE
        is_different = self.difference_rms > SAME_CHANNELS * self.meter.rms
        return is_different or self.n_speech < ENOUGH_SPEECH * n_frames


def _compute_features(
    path: str | Path, streams: StreamChoice, target: Path, n_mfcc: int, passing: Callable
) -> _Computed:
    meter, difference = LevelMeter(), LevelMeter()
    audio, n_speech = AudioFeatures(target, n_mfcc), 0
    blocks = audio_blocks(path, SAMPLE_RATE, streams.channel is None, streams)

    def samples() -> Iterator[np.ndarray]:
        for block in fill_gaps(blocks, SAMPLE_RATE):
            if len(block) == 2:
                deque(difference.measure([(block[0] - block[1]) / 2]), 0)
            yield mix(block, streams.channel)

    try:
        for mfcc, speech in passing(stream_features(meter.measure(samples()), n_mfcc)):
            audio.append(mfcc, speech)
            n_speech += int(speech.sum())
    finally:
        audio.records.close()
    return _Computed(audio, meter, blocks.report, n_speech, difference.rms)


class _ChannelMeter:
    """Level and speech of one channel that is streamed."""

    def __init__(self):
        self._level, self._n_speech = LevelMeter(), 0
        self._detector, self._pending = SpeechDetector(), np.zeros(0, np.float32)

    def add(self, samples: np.ndarray) -> None:
        """The next float32 [n]."""
        deque(self._level.measure([samples]), 0)
        self._pending = np.concatenate([self._pending, samples])
        while len(self._pending) >= BLOCK_SAMPLES:
            self._n_speech += int(self._detector.detect(self._pending[:BLOCK_SAMPLES]).sum())
            self._pending = self._pending[BLOCK_SAMPLES:]

    def end(self) -> Heard:
        """What was heard in all."""
        self._n_speech += int(self._detector.detect(self._pending).sum())
        return Heard(self._n_speech, self._level.rms)


def _measure_channels(path: str | Path, streams: StreamChoice, passing: Callable) -> list[Heard]:
    """The level and the speech of each channel."""
    meters: list[_ChannelMeter] = []
    blocks = audio_blocks(path, SAMPLE_RATE, streams=streams)
    for block in passing(fill_gaps(blocks, SAMPLE_RATE)):
        meters = meters or [_ChannelMeter() for _ in block]
        for meter, samples in zip(meters, block, strict=False):
            meter.add(np.ascontiguousarray(samples))
    return [meter.end() for meter in meters]


def _has_speech(path: str | Path, streams: StreamChoice, passing: Callable) -> bool:
    """Whether a stream has speech; one that cannot be read has none."""
    try:
        channels = _measure_channels(path, streams, passing)
    except MediaError:
        return False
    return any(channel.speech >= MIN_SPEECH_FRAMES for channel in channels)


def _silent_error(path: str | Path, info: MediaInfo, others: tuple[int, ...]) -> SilentAudioError:
    if not others:
        return SilentAudioError(tr("the audio of {path} is silent throughout", path=path))
    return SilentAudioError(
        tr("audio track {used} of {path} is silent throughout, but track {others} has speech: use "
           "--audio-stream {first}",
           used=info.audio_stream, path=path, others=", ".join(map(str, others)), first=others[0])
    )  # fmt: skip
