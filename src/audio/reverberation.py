"""Whether speech is reverberant, from the audio alone.

After a loud sound a room falls silent slowly, while the next sound begins as fast as ever. In clear
speech levels fall nearly as fast as they rise; noise under it limits both alike.
"""

from collections.abc import Iterable

import numpy as np

from ..core.constants import HOPS_PER_FRAME
from ..core.mel_scale import dct_matrix

# The levels that are compared are of mel bands 6 … 35 (0.5 to 5.5 kHz), five at a time.
FIRST_BAND, N_LEVELS, BANDS_PER_LEVEL = 6, 6, 5
LAG_HOPS = 6  # levels 60 ms apart are compared
LARGE_PERCENTILE = 97  # of the falls and rises
MIN_SPEECH_HOPS = 100  # 1 s of a block
# Falls at most so large (dB), and in proportion to the rises: benchmarks of docs/evaluation.md.
MAX_FALL_DB, MAX_FALL_SHARE = 13.0, 0.75
MAX_LATE_MS = 40  # by how much such audio was measured too late, at most


def is_reverberant(blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Whether the speech is so reverberant that it seems late.

    Args:
        blocks: MFCC, float32 [4 F, C], and speech, bool [F], of a minute or less each.
    """
    measured = [changes for block in blocks if (changes := _large_changes(*block)) is not None]
    if not measured:
        return False
    fall_db, rise_db = np.median(measured, axis=0)
    return bool(fall_db < MAX_FALL_DB and fall_db < MAX_FALL_SHARE * rise_db)


def _large_changes(mfcc: np.ndarray, speech: np.ndarray) -> tuple[float, float] | None:
    """How far levels fall from, and rise to, the louder half of the speech within ``LAG_HOPS``, at
    most: dB, of the median band. None: too little speech."""
    is_speech = np.repeat(speech, HOPS_PER_FRAME)
    if is_speech.sum() < MIN_SPEECH_HOPS:
        return None
    falls, rises = [], []
    for level in _band_levels(mfcc).T:
        is_loud = is_speech & (level >= np.median(level[is_speech]))
        change = level[LAG_HOPS:] - level[:-LAG_HOPS]
        falls.append(_large(-change[is_loud[:-LAG_HOPS]]))
        rises.append(_large(change[is_loud[LAG_HOPS:]]))
    return float(np.median(falls)), float(np.median(rises))


def _large(changes: np.ndarray) -> float:
    return float(np.percentile(changes, LARGE_PERCENTILE)) if len(changes) else 0.0


def _band_levels(mfcc: np.ndarray) -> np.ndarray:
    """MFCC [N, C] -> dB [N, 6]."""
    power = 10 ** (mfcc.astype(np.float64) @ dct_matrix(mfcc.shape[1]).T / 10)
    bands = power[:, FIRST_BAND : FIRST_BAND + N_LEVELS * BANDS_PER_LEVEL]
    return 10 * np.log10(bands.reshape(len(power), N_LEVELS, BANDS_PER_LEVEL).sum(2) + 1e-12)
