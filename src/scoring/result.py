"""The result of scoring a pair, as a type: codes and numbers, and a dict of them for people."""

from typing import Annotated

from pydantic import ConfigDict, Field, InstanceOf, PlainSerializer, WithJsonSchema

from ..core.notes import Seconds
from .result_types import Milliseconds, OffsetResult, Plain, Probability
from .words import note_text, reason_text, verdict_text

Box = Annotated[list[float], Field(min_length=5, max_length=5)]
Span = Annotated[list[float], Field(min_length=2, max_length=2)]
Text = Annotated[str, Field(min_length=1)]
# The name of a file: any str. Old archives hold names that are not UTF-8, which pydantic's str
# refuses.
FileName = Annotated[
    InstanceOf[str],
    PlainSerializer(lambda name: name),
    WithJsonSchema({"type": "string", "minLength": 1}),
]


class FaceTrackResult(Plain):
    """One face track, compared with the audio by itself."""

    number: int = Field(ge=0, description="What --face takes.")
    shot: int = Field(ge=0, description="Number of its shot, from 0.")
    start_s: Seconds
    end_s: float = Field(gt=0, description="Time in s, from the first frame.")
    boxes: list[Box] = Field(
        min_length=1,
        description="Time in s and x0, y0, x1, y1 in pixels; between two of them the face moves on "
        "a line.",
    )
    score: Probability | None = Field(description="Score of this face alone.")
    offset_ms: Milliseconds | None = Field(description="Offset of this face alone, in ms.")
    confidence: Annotated[float, Field(ge=0)] | None = Field(description="LSE-C of this face.")
    chosen: bool = Field(description="Whether the result is of this face.")
    speaks: list[Span] = Field(
        description="When it is the speaker, without long pauses: start and end in s, in order. "
        "Empty for a face that is not chosen."
    )


class ModelFile(Plain):
    """The checkpoint that scored."""

    file: FileName = Field(description="Its path.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file.")


def _determined(schema: dict) -> None:
    """The words that ``to_dict`` adds, and what belongs to an offset or to the lack of one."""
    schema["properties"]["verdict"] = {
        "type": "string", "minLength": 1,
        "description": "The result in words, in the language of the user: for people.",
    }  # fmt: skip
    schema["required"].append("verdict")
    numbers = ("offset_ms", "offset_probability", "confidence", "min_distance")
    offset = {name: {"type": "number"} for name in numbers} | {
        "offset_frames": {"type": "integer"}, "bt1359": {"type": "string"},
        "timeline": {"type": "object"}, "undetermined": {"const": False},
        "reason": {"type": "null"},
    }  # fmt: skip
    none = {
        name: {"type": "null"} for name in ("offset_ms", "offset_frames", "bt1359", "timeline")
    } | {"undetermined": {"const": True}, "reason": {"type": "object"}}
    schema["if"] = {"properties": {"status": {"const": "ok"}}}
    schema["then"], schema["else"] = {"properties": offset}, {"properties": none}


class SyncResult(OffsetResult):
    """The result of one pair of video and audio."""

    model_config = ConfigDict(json_schema_extra=_determined)

    tracks: list[FaceTrackResult] = Field(min_length=1, description="Every face track.")
    voice_over: list[Annotated[int, Field(ge=0)]] = Field(
        description="Numbers of the shots that are skipped: the speaker is off screen."
    )
    face_share: Probability = Field(description="Share of frames with a face track, 0–1.")
    duration_s: float = Field(gt=0, description="Length of the video in s.")
    faces: int = Field(ge=1, description="Number of face tracks.")
    video: FileName = Field(description="The video file.")
    audio: FileName = Field(description="The audio file; the video, where its own audio is used.")
    video_stream: int = Field(1, ge=1, description="Number of the video track used, from 1.")
    audio_stream: int = Field(1, ge=1, description="Number of the audio track used, from 1.")
    audio_channel: Annotated[int, Field(ge=1)] | None = Field(
        None, description="The only channel of the audio that is used, from 1; null: the mean of "
        "all.",
    )  # fmt: skip
    model: ModelFile

    def to_dict(self, language: str | None = None) -> dict:
        """Plain builtins, as ``LipSyncInference.compute_sync_score`` documents them: all but the
        score, and words for people (``verdict``, and ``text`` of the reason and of each note).

        Args:
            language: of the words, such as ``"zh_CN"``; None: the user's.
        """
        details = self.model_dump(by_alias=True)
        details["verdict"] = verdict_text(self, language)
        if self.reason is not None:
            details["reason"]["text"] = reason_text(self.reason, language)
        for note, values in zip(self.notes, details["notes"], strict=True):
            values["text"] = note_text(note, language)
        return details

    @classmethod
    def from_dict(cls, score: float | None, details: dict) -> "SyncResult":
        """The result of which ``to_dict`` gave ``details``; their words are not read.

        Raises:
            pydantic.ValidationError: a ValueError: these are no such details.
        """
        return cls.model_validate(details | {"score": score})
