"""What the evidence of a clip says of its offset, as plain values: no sentence, no array.

The words for it are made in ``words.py``.
"""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    computed_field,
    model_validator,
)

from ..core.notes import Coded, Note, Seconds
from .timeline import Timeline

Status = Literal["ok", "no_speech", "too_short", "weak", "edge"]
Perceived = Literal["undetectable", "detectable", "unacceptable"]
TimelineKind = Literal["constant", "drift", "jumps"]

Probability = Annotated[float, Field(ge=0, le=1)]
# Rounded where it is written, not before: words round the exact value to whole ms.
ReportedMilliseconds = Annotated[
    float,
    PlainSerializer(lambda offset_ms: round(offset_ms, 1), return_type=float),
    Field(description="ms; > 0, the audio leads."),
]
Milliseconds = Annotated[float, Field(description="ms; > 0, the audio leads.")]


class Plain(BaseModel):
    """Plain values that cannot be changed; JSON knows no NaN."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, populate_by_name=True)


# ---------------------------------------------------------------------------- why there is none


class NoSpeech(Coded):
    """No speech while a face is visible."""

    code: Literal["no_speech"] = "no_speech"


class TooShort(Coded):
    """Too little speech while a face is visible."""

    code: Literal["too_short"] = "too_short"
    required_ms: int = Field(gt=0, description="Speech that is required, in ms.")


class Weak(Coded):
    """No clear correlation between lips and audio."""

    code: Literal["weak"] = "weak"


class Edge(Coded):
    """The offset may be outside the search range."""

    code: Literal["edge"] = "edge"
    limit_ms: int = Field(ge=0, description="The search range is ± this many ms.")


class DriftOutOfRange(Coded):
    """The audio drifts, and its offset leaves the search range."""

    code: Literal["drift_out_of_range"] = "drift_out_of_range"
    drift_ppm: float = Field(description="Drift in ppm; > 0, the audio plays too fast.")
    time_s: Seconds
    limit_ms: int = Field(ge=0, description="The search range is ± this many ms.")
    max_offset_frames: int | None = Field(
        description="Value of inference.max_offset_frames that takes all of it in; null: none "
        "does, the video must be split."
    )


class DriftTooFast(Coded):
    """The audio drifts by more than can be measured."""

    code: Literal["drift_too_fast"] = "drift_too_fast"
    drift_ppm: float = Field(description="Drift in ppm, at least; > 0, the audio plays too fast.")
    limit_ppm: int = Field(gt=0, description="The largest drift that can be measured, in ppm.")


Reason = Annotated[
    NoSpeech | TooShort | Weak | Edge | DriftOutOfRange | DriftTooFast,
    Field(discriminator="code"),
]

# ---------------------------------------------------------------------------- its parts


class SimilarityCurve(Plain):
    """The similarity of lips and audio at each offset of the search range."""

    offset_ms: list[int] = Field(min_length=3, description="The offsets in ms, rising.")
    similarity: list[Annotated[float, Field(ge=-1, le=1)] | None] = Field(
        min_length=3,
        description="Cosine at each offset, −1…1, nearer to the mean of all where an offset has "
        "less audio; null: too little.",
    )


class LocalOffset(Plain):
    """What one span of 4 s measures on its own."""

    time_s: float = Field(ge=0, description="The middle of the span, in s.")
    offset_ms: Milliseconds | None = Field(description="ms; null: too little speech.")
    probability: Probability | None = Field(
        description="Probability that this offset is correct within ±1 frame."
    )


class TimelineSegment(Plain):
    """A time in which the offset is constant or changes linearly."""

    start_s: Seconds
    end_s: Seconds
    offset_ms: float = Field(description="Offset at the start, in ms.")
    end_offset_ms: float = Field(description="Offset at the end, in ms.")


def _drift_has_ppm(schema: dict) -> None:
    schema |= {
        "if": {"properties": {"kind": {"const": "drift"}}},
        "then": {"properties": {"drift_ppm": {"type": "number"}}},
        "else": {"properties": {"drift_ppm": {"type": "null"}}},
    }


class OffsetTimeline(Plain):
    """The offset over time."""

    model_config = ConfigDict(json_schema_extra=_drift_has_ppm)

    kind: TimelineKind
    drift_ppm: float | None = Field(
        description="Drift in ppm; > 0: the audio plays too fast and gets earlier; null: no drift."
    )
    segments: list[TimelineSegment] = Field(
        alias="pieces", min_length=1, description="In order, without gaps; jumps lie between them."
    )

    @classmethod
    def from_timeline(cls, timeline: Timeline, length_s: float) -> "OffsetTimeline":
        """A fitted timeline in rounded numbers.

        Args:
            length_s: of the video; the last segment ends there.
        """
        is_drift = timeline.kind == "drift"
        return cls(
            kind=timeline.kind,
            drift_ppm=round(float(timeline.ppm), 1) if is_drift else None,
            segments=[
                TimelineSegment(
                    start_s=round(float(segment.start_s), 3),
                    end_s=round(float(min(segment.end_s, length_s)), 3),
                    offset_ms=round(float(segment.offset_at(segment.start_s)), 1),
                    end_offset_ms=round(float(segment.offset_at(min(segment.end_s, length_s))), 1),
                )
                for segment in timeline.segments
            ],
        )

    def to_timeline(self) -> Timeline:
        """As something to compute with."""
        return Timeline.from_details(self.model_dump(by_alias=True))


# ---------------------------------------------------------------------------- all of it


class OffsetResult(Plain):
    """Score and offset of a clip, and what they rest on."""

    score: Probability | None = Field(
        exclude=True,
        description="Probability that the pair as given is in sync (within ±1 frame); with a drift "
        "or jumps the share of the time in sync; null: no evidence.",
    )
    status: Status = Field(
        description="ok, or why no offset is reported: no_speech, too_short, weak (no clear "
        "correlation between lips and audio), edge (the offset may be outside the search range)."
    )
    reason: Reason | None = Field(
        description="Why no offset is reported, with its numbers; null: one is."
    )
    offset_ms: ReportedMilliseconds | None = Field(
        description="By how many ms the audio must be delayed; > 0, the audio leads. With a drift "
        "or jumps the median over time; null: undetermined."
    )
    offset_frames: int | None = Field(description="The same in frames of 40 ms.")
    offset_probability: Probability | None = Field(
        description="Certainty: probability that this offset is correct within ±1 frame."
    )
    bt1359: Perceived | None = Field(
        description="What viewers make of it by ITU-R BT.1359-1; with a drift or jumps, where it "
        "is worst; null: undetermined."
    )
    confidence: Annotated[float, Field(ge=0)] | None = Field(description="LSE-C, ≥ 0.")
    min_distance: Annotated[float, Field(ge=0, le=2)] | None = Field(description="LSE-D, 0–2.")
    curve: SimilarityCurve
    per_second: list[Probability | None] = Field(
        description="The score of each second; null: too little speech, or no face."
    )
    offsets: list[LocalOffset] = Field(
        description="What spans of 4 s measure on their own, one every 2 s."
    )
    timeline: OffsetTimeline | None = Field(description="The offset over time.")
    notes: list[Note] = Field(description="What is skipped, damaged or deviates.")

    @computed_field(description="Whether no offset is reported: the status is not ok.")
    @property
    def undetermined(self) -> bool:
        return self.status != "ok"

    @model_validator(mode="after")
    def _offset_or_reason(self) -> "OffsetResult":
        """An offset with all that belongs to it, or a reason why there is none."""
        values = (self.offset_ms, self.offset_frames, self.bt1359, self.timeline)
        if {value is None for value in (*values, None if self.reason else 0)} != {
            self.undetermined
        }:
            raise ValueError(f"status {self.status}: an offset or a reason, not both")
        return self
