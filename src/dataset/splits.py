"""Which samples train, validate and test."""

import random
from zlib import crc32

from ..core.config import TrainingConfig
from ..core.errors import DatasetError
from ..i18n.messages import N_, tr
from .samples import Sample


def split_samples(
    samples: list[Sample], settings: TrainingConfig
) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Train, validation and test samples; a clip (or speaker) is in one of them only.

    Raises:
        DatasetError: fewer than 3 clips (or speakers).
    """
    groups = sorted({sample.group for sample in samples})
    if len(groups) < 3:
        what = N_("speakers") if settings.split_by == "speaker" else N_("clips")
        hint = (
            N_("put each speaker's clips into a folder of data/videos")
            if settings.split_by == "speaker"
            else N_("add clips to data/videos and run python src/data_processing.py")
        )
        raise DatasetError(
            tr("{n} usable {what}: at least 3 are needed to train, validate and test; {hint}",
               n=len(groups), what=tr(what), hint=tr(hint))
        )  # fmt: skip
    random.Random(settings.split_seed).shuffle(groups)
    n_val = max(1, int(len(groups) * settings.val_split + 1e-9))
    n_train = min(max(1, int(len(groups) * settings.train_split + 1e-9)), len(groups) - n_val - 1)
    part = dict.fromkeys(groups[:n_train], 0) | dict.fromkeys(groups[n_train : n_train + n_val], 1)
    parts = ([], [], [])
    for sample in samples:
        parts[part.get(sample.group, 2)].append(sample)
    return parts


def other_speaker_partners(samples: list[Sample]) -> list[Sample]:
    """For each sample one of another speaker, whose sound it is paired with: the next longer one,
    so that nothing is cut off, or else the next shorter; itself where there is nobody else."""
    # Among clips of one length in no order: the clips of one speaker would all get one stranger.
    by_length = sorted(samples, key=lambda one: (one.n_frames, crc32(one.id.encode())))
    place = {one.id: number for number, one in enumerate(by_length)}
    found = []
    for sample in samples:
        at = place[sample.id]
        others = by_length[at + 1 :] + by_length[:at][::-1]
        found.append(next((o for o in others if o.person != sample.person), sample))
    return found


def other_clip_partners(samples: list[Sample]) -> list[Sample]:
    """The same, but where there is nobody else, the next sample."""
    pairs = zip(other_speaker_partners(samples), samples, samples[1:] + samples[:1], strict=True)
    return [after if stranger is one else stranger for stranger, one, after in pairs]
