"""Which samples are used for training, validation and test, and mismatched partners of samples."""

import logging
import random
from zlib import crc32

from ..core.config import TrainingConfig
from ..core.constants import FPS, WINDOW_FRAMES
from ..core.errors import DatasetError
from ..i18n.messages import N_, tr, tr_n
from .samples import Sample

logger = logging.getLogger(__name__)

GAP_FRAMES = 2 * FPS  # between two stretches of a video: further than any offset within ±15 frames
MIN_STRETCH_FRAMES = 2 * FPS


def split_samples(
    samples: list[Sample], settings: TrainingConfig
) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Training, validation and test samples; a clip (or speaker) is in one of them only.

    One or two clips that are long enough are split by stretches of the video, see
    ``split_stretches``.

    Raises:
        DatasetError: fewer than 3 clips (or speakers), and too short; or none is left for training.
    """
    groups = sorted({sample.group for sample in samples})
    is_by_speaker = settings.split_by == "speaker"
    what = (
        tr_n("usable speaker", "usable speakers", len(groups))
        if is_by_speaker
        else tr_n("usable clip", "usable clips", len(groups))
    )
    if 0 < len(groups) < 3 and not is_by_speaker:
        stretches = split_stretches(samples, settings)
        if stretches is not None:
            logger.info(
                tr("too few clips to split by clip ({n}): training, validation and test samples "
                   "are stretches of the video, {gap} s apart; the metrics are of a recording "
                   "that the model knows", n=len(groups), gap=GAP_FRAMES // FPS)
            )  # fmt: skip
            return stretches
    if len(groups) < 3:
        hint = (
            N_("put each speaker's clips into a folder of their own in data/videos")
            if is_by_speaker
            else N_("add clips to data/videos and run python src/data_processing.py")
        )
        raise DatasetError(
            tr("{n} {what}: at least 3 required to train, validate and test; {hint}",
               n=len(groups), what=what, hint=tr(hint))
        )  # fmt: skip
    random.Random(settings.split_seed).shuffle(groups)
    n_val = max(1, int(len(groups) * settings.val_split + 1e-9))
    n_train = min(max(1, int(len(groups) * settings.train_split + 1e-9)), len(groups) - n_val - 1)
    if n_train < 1:
        raise DatasetError(
            tr("of {n} {what}, {val} are for validation and {test} for the test (training."
               "val_split = {share}): none is left to train on; lower training.val_split, or add "
               "clips", n=len(groups), what=what, val=n_val, test=len(groups) - n_val,
               share=settings.val_split)
        )  # fmt: skip
    train_groups, val_groups = set(groups[:n_train]), set(groups[n_train : n_train + n_val])
    train, val, test = [], [], []
    for sample in samples:
        if sample.group in train_groups:
            train.append(sample)
        elif sample.group in val_groups:
            val.append(sample)
        else:
            test.append(sample)
    return train, val, test


def split_stretches(
    samples: list[Sample], settings: TrainingConfig
) -> tuple[list[Sample], list[Sample], list[Sample]] | None:
    """The beginning of the video for training, what follows for validation, the end for test, with
    a gap of ``GAP_FRAMES`` between them; None where a stretch would be too short.

    Samples are divided where they reach into two stretches. Several videos count as one after the
    other.
    """
    in_order = sorted(samples, key=lambda sample: (sample.group, sample.clip_frame, sample.id))
    total = sum(sample.length for sample in in_order)
    val_begin = int(total * settings.train_split)
    test_begin = int(total * (settings.train_split + settings.val_split))
    spans = ((0, val_begin - GAP_FRAMES), (val_begin, test_begin - GAP_FRAMES), (test_begin, total))
    stretches = []
    for number, (first, stop) in enumerate(spans):
        parts, position = [], 0
        for sample in in_order:
            begin, end = max(0, first - position), min(sample.length, stop - position)
            if begin < end:
                part = sample.part(begin, end, f"{sample.group} {number}")
                if part.n_frames >= WINDOW_FRAMES:
                    parts.append(part)
            position += sample.length
        if sum(part.n_frames for part in parts) < MIN_STRETCH_FRAMES:
            return None
        stretches.append(parts)
    train, val, test = stretches
    return train, val, test


def other_speaker_partners(samples: list[Sample]) -> list[Sample]:
    """For each sample one of another speaker, with whose audio it is paired.

    The next longer one, so that nothing is truncated, or else the next shorter; itself where there
    is no other speaker.
    """
    # Clips of equal length are shuffled by a hash: in order, all clips of one speaker would get
    # the same partner.
    by_length = sorted(samples, key=lambda sample: (sample.n_frames, crc32(sample.id.encode())))
    longer, shorter = _last_of_other_speaker(by_length[::-1]), _last_of_other_speaker(by_length)
    return [longer.get(sample.id) or shorter.get(sample.id) or sample for sample in samples]


def _last_of_other_speaker(samples: list[Sample]) -> dict[str, Sample]:
    """For each sample, by its id, the nearest one before it that is of another speaker, if any."""
    nearest: dict[str, Sample] = {}
    previous: Sample | None = None
    for sample in samples:
        if previous is not None and previous.speaker_id != sample.speaker_id:
            nearest[sample.id] = previous
        elif previous is not None and previous.id in nearest:
            nearest[sample.id] = nearest[previous.id]
        previous = sample
    return nearest


def other_clip_partners(samples: list[Sample]) -> list[Sample]:
    """The same, but where there is no other speaker, the next sample."""
    following = samples[1:] + samples[:1]
    return [
        next_sample if partner is sample else partner
        for sample, partner, next_sample in zip(
            samples, other_speaker_partners(samples), following, strict=True
        )
    ]
