"""Face tracks and audio of a clip -> the evidence for every offset."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..core.constants import HOPS_PER_FRAME, WINDOW_FRAMES
from ..core.progress import Progress, no_progress
from ..i18n.messages import tr
from ..models.backend import Network, embedding_of
from ..models.spec import CHUNK
from ..preprocessing.clip_features import ClipFeatures, TrackFeatures
from .evidence import Evidence, compare


def compute_evidence(
    model: Network, crops: np.ndarray, mfcc: np.ndarray, speech: np.ndarray, reach: int
) -> Evidence:
    """Embed a face track and the audio under it and compare them.

    Args:
        crops: uint8 [T, S, S].
        mfcc: float32 [4 T, C].
        speech: bool [T].
        reach: of the search range, in hops of 10 ms.
    """
    embedding = embedding_of(model)
    video = embedding.embed_video(model, crops)
    return compare(video, embedding.embed_audio(model, mfcc, speech), speech, reach)


def compute_clip_evidence(
    model: Network,
    clip: ClipFeatures,
    reach: int,
    progress: Progress = no_progress,
    centre: int = 0,
) -> list[Evidence]:
    """Compare every face track of a clip with the clip's audio, in chunks of time.

    Each track is compared with the audio of the whole clip, as a shot may be shorter than the
    offset. Brightness is normalised over a track, loudness over the clip. Of crops, MFCC and
    embeddings a few seconds are in memory at a time; what stays is the evidence, 5 bytes per
    frame, track and offset (54 MB for an hour of one face and ±60 hops).

    Args:
        clip: its tracks and its audio, on disk.
        reach: of the search range, in hops of 10 ms.
        progress: reports on the chunks.
        centre: the offset in hops that counts as 0 in the evidence.

    Returns:
        the evidence of each track, in the order of ``clip.tracks``.
    """
    evidence = [
        Evidence.empty(track.n_frames - WINDOW_FRAMES + 1, reach, track.first_frame)
        for track in clip.tracks
    ]
    for number, first, part in evidence_chunks(model, clip, reach, progress, centre):
        result, stop = evidence[number], first + len(part.similarity)
        result.similarity[first:stop] = part.similarity
        result.usable[first:stop] = part.usable
    return evidence


def evidence_chunks(
    model: Network,
    clip: ClipFeatures,
    reach: int,
    progress: Progress = no_progress,
    centre: int = 0,
) -> Iterator[tuple[int, int, Evidence]]:
    """The evidence of ``compute_clip_evidence`` in chunks, which are not kept.

    Yields:
        (number of the track, its first window, the evidence from there on) each.
    """
    speech, embedding = clip.speech, embedding_of(model)
    chunks = range(0, clip.n_frames, CHUNK)

    def embed_part(part: _TrackPart) -> np.ndarray:
        read_crops = clip.tracks[part.number].read_crops
        return embedding.embed_video_chunk(
            model, read_crops, levels[part.number], part.first, part.stop
        )

    def measure_track(track: TrackFeatures):
        return embedding.measure_brightness(model, track.read_crops, track.n_frames)

    def read_mfcc(first: int, stop: int) -> np.ndarray:
        mfcc = clip.audio[first:stop]["mfcc"]
        return mfcc.reshape(-1, mfcc.shape[-1])

    with embedding.embed_side_by_side(model) as mapped:
        levels = mapped(measure_track, clip.tracks)
        read_bands = embedding.read_normalised_bands(model, read_mfcc, speech)
        audio_chunks = embedding.embed_audio_chunks(model, read_bands, clip.n_frames, mapped)
        audio, levels = _AudioBuffer(audio_chunks, model.spec.output_dim), list(levels)
        videos = mapped(embed_part, (part for start in chunks for part in _parts(clip, start)))
        for start in progress(chunks, tr("comparing lips and audio"), len(chunks)):
            audio.drop_before(start * HOPS_PER_FRAME - centre - reach)
            audio.fill_to((start + CHUNK) * HOPS_PER_FRAME - centre + reach)
            for part in _parts(clip, start):
                evidence = compare(
                    next(videos), audio.embeddings, speech, reach,
                    clip.tracks[part.number].first_frame + part.first, audio.first_hop, centre,
                )  # fmt: skip
                yield part.number, part.first, evidence


class _TrackPart(NamedTuple):
    """The windows ``first … stop − 1`` of the track of a number."""

    number: int
    first: int
    stop: int


def _parts(clip: ClipFeatures, start: int) -> Iterator[_TrackPart]:
    """What the tracks have in the ``CHUNK`` frames from one on."""
    for number, track in enumerate(clip.tracks):
        n_windows = track.n_frames - WINDOW_FRAMES + 1
        first = max(0, start - track.first_frame)
        stop = min(start + CHUNK - track.first_frame, n_windows)
        if first < stop:
            yield _TrackPart(number, first, stop)


class _AudioBuffer:
    """The audio embeddings around the chunk of video that is compared.

    Args:
        chunks: float32 [n, D] each, one embedding per hop.
        width: D.

    Attributes:
        embeddings: float32 [N, D].
        first_hop: hop of the clip at which they begin.
    """

    def __init__(self, chunks: Iterator[np.ndarray], width: int):
        self._chunks = chunks
        self.embeddings, self.first_hop = np.zeros((0, width), np.float32), 0

    def drop_before(self, hop: int) -> None:
        """Forget embeddings before a hop of the clip."""
        count = min(max(0, hop - self.first_hop), len(self.embeddings))
        self.embeddings = self.embeddings[count:]
        self.first_hop += count

    def fill_to(self, hop: int) -> None:
        """Compute embeddings up to a hop of the clip, or to the end of the audio."""
        while self.first_hop + len(self.embeddings) < hop:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self.embeddings = np.concatenate([self.embeddings, chunk])
