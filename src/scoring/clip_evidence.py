"""A followed face and its audio -> the evidence for every offset."""

from collections.abc import Callable

import numpy as np
import torch

from ..core.constants import HOPS_PER_FRAME, N_MELS, WINDOW_FRAMES
from ..core.progress import Progress, no_progress
from ..i18n.messages import tr
from ..models.embedding import (
    CHUNK,
    _audio_parts,
    _bands,
    _brightness,
    _video_part,
    embed_audio,
    embed_video,
)
from ..models.normalization import deviation_of, levelled_bands, speech_steps
from ..models.sync_model import SyncModel
from ..preprocessing.clip_features import ClipFeatures
from .evidence import Evidence, compare


@torch.inference_mode()
def evidence_of_faces(
    model: SyncModel, clip: ClipFeatures, reach: int, progress: Progress = no_progress
) -> list[Evidence]:
    """Compare every face of a clip with the clip's sound, piece by piece along time.

    Each face is compared with the sound of the whole clip, for a shot may be shorter than the
    offset is long. Brightness is normalised over a track, loudness over the clip. Of crops, MFCC
    and embeddings a few seconds are held at a time; what stays is the evidence, 5 bytes for each
    frame, face and offset (54 MB for an hour of one face and ±60 steps).

    Args:
        clip: its tracks and its sound, on disk.
        reach: steps of 10 ms.
        progress: told of the pieces.

    Returns:
        the evidence of each track, in their order.
    """
    speech = clip.speech
    ahead = _audio_parts(model, _levelled(model, clip), clip.n_frames)
    sound, begins = np.zeros((0, model.size.length), np.float32), 0
    brightness = [_brightness(model, track.crops_of, track.n_frames) for track in clip.tracks]
    found = [
        Evidence.nothing(track.n_frames - WINDOW_FRAMES + 1, reach, track.first_frame)
        for track in clip.tracks
    ]
    stage, pieces = tr("comparing mouth and sound"), range(0, clip.n_frames, CHUNK)
    for start in progress(pieces, stage, len(pieces)):
        first_step = start * HOPS_PER_FRAME - reach
        last_step = (start + CHUNK) * HOPS_PER_FRAME + reach
        gone = min(max(0, first_step - begins), len(sound))
        sound, begins = sound[gone:], begins + gone
        while begins + len(sound) < last_step and (more := next(ahead, None)) is not None:
            sound = np.concatenate([sound, more])
        for track, light, evidence in zip(clip.tracks, brightness, found, strict=True):
            first = max(0, start - track.first_frame)
            stop = min(start + CHUNK - track.first_frame, len(evidence.similarity))
            if first < stop:
                seen = _video_part(model, track.crops_of, light, first, stop)
                part = compare(seen, sound, speech, reach, track.first_frame + first, begins)
                evidence.similarity[first:stop] = part.similarity
                evidence.usable[first:stop] = part.usable
    return found


def _levelled(model: SyncModel, clip: ClipFeatures) -> Callable[[int, int], torch.Tensor]:
    """What reads normalised bands of a clip; ``model.spectrum`` of all of it, summed in parts."""

    def bands(first: int, stop: int) -> torch.Tensor:
        mfcc = clip.sound[first:stop]["mfcc"]
        return _bands(model, mfcc.reshape(-1, mfcc.shape[-1]))

    speech = torch.from_numpy(clip.speech)
    counted = speech if speech.any() else torch.ones_like(speech)
    sums = torch.zeros(2, 1, 1, N_MELS, dtype=torch.float64)
    for start in range(0, clip.n_frames, CHUNK):
        stop = min(start + CHUNK, clip.n_frames)
        shown = bands(start, stop)[:, speech_steps(counted[start:stop])].cpu().double()
        sums += torch.stack([shown, shown.square()]).sum(2, keepdim=True)
    mean, square = sums / (counted.sum() * HOPS_PER_FRAME)
    variance = (square - mean.square()).mean(2, keepdim=True)
    device = model.log_scale.device
    mean, deviation = mean.float().to(device), deviation_of(variance.float().to(device))
    return lambda first, stop: levelled_bands(bands(first, stop), mean, deviation)


def evidence_of(
    model: SyncModel,
    crops: np.ndarray,
    mfcc: np.ndarray,
    speech: np.ndarray,
    reach: int,
) -> Evidence:
    """Embed a track and its own sound and compare them within ``±reach`` steps of 10 ms."""
    return compare(embed_video(model, crops), embed_audio(model, mfcc, speech), speech, reach)
