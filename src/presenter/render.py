"""The output: base frames with the new mouth, streamed to a file with the new audio."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ..core.files import written_atomically
from ..core.progress import Progress, no_progress
from ..i18n.messages import tr
from ..media.frame import ColourTags, VideoFrame
from ..media.frame_access import frames_in_order
from ..media.writer import open_video_writer
from .base import BasePlan, BaseVideo
from .compose import Mouth, compose
from .crops import to_full_range
from .mouth_track import MouthTrack

TIME_BASE = Fraction(1, 90_000)
# Called with each composed frame, drawn into: luma and chroma, uint8, and what they mean.
Decorate = Callable[[list, ColourTags], None]


def render(
    base: BaseVideo,
    plan: BasePlan,
    mouths: MouthTrack,
    audio_path: str | Path,
    output_path: Path,
    progress: Progress = no_progress,
    decorate: Decorate | None = None,
) -> None:
    """Write the output. The file appears complete or not at all; memory does not grow with it.

    Args:
        base, plan: what is under the mouth.
        mouths: of the speech.
        audio_path: the speech.
        output_path: .mp4, .mov or .mkv.
        progress: reports the frames.
        decorate: draws a label into each frame.

    Raises:
        MediaError: an input cannot be read.
        OutputError: the output cannot be written.
    """
    with (
        written_atomically(output_path) as temporary_path,
        open_video_writer(temporary_path, output_path, audio_path) as writer,
    ):
        writer.time_base = TIME_BASE
        frames = frames_in_order(base.path, base.times, plan.numbers)
        steps = zip(plan.times, plan.numbers, frames, strict=True)
        for time_s, number, frame in progress(steps, tr("rendering the video"), len(plan.numbers)):
            writer.colour = frame.colour_tags
            planes = compose_frame(base, int(number), frame, lambda t=time_s: mouths.at(t))
            if decorate is not None:
                decorate(planes, frame.colour_tags)
            writer.add_planes(float(time_s), planes, base.fps)
        writer.finish(base.frame_s)


def compose_frame(
    base: BaseVideo, number: int, frame: VideoFrame, mouth: Callable[[], Mouth]
) -> list:
    """A frame of the base with a mouth laid onto it, if it shows the face.

    Args:
        number: of the frame.
        mouth: gives the mouth.

    Returns:
        luma and chroma, uint8.
    """
    planes = [plane.copy() for plane in frame.planes_420()]
    if base.has_face[number]:
        laid = mouth()
        if frame.colour_tags.is_full_range:
            laid = replace(laid, crop=to_full_range(laid.crop))
        compose(planes, base.to_frame[number], base.jaw[number], laid)
    return planes
