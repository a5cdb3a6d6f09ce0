"""Counts that several messages contain."""

from .messages import tr, tr_n


def clips_of_speakers(n_clips: int, n_speakers: int) -> str:
    """``179 clips of 28 speakers``."""
    clips = tr_n("{n} clip", "{n} clips", n_clips)
    speakers = tr_n("{n} speaker", "{n} speakers", n_speakers)
    return tr("{clips} of {speakers}", clips=clips, speakers=speakers)
