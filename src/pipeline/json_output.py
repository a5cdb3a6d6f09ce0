"""The types of what ``src/inference.py --json`` prints, and their JSON schema.

``docs/result.schema.json`` is generated from them: ``make schema``.
"""

from typing import Annotated

from pydantic import ConfigDict, Field, RootModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from typing_extensions import NotRequired, TypedDict  # Python < 3.12 has them without pydantic

from ..scoring.result import SyncResult, Text
from ..scoring.result_types import Milliseconds, Probability, Status

CORRECTION_KEYS = ("success", "message", "notes", "output")
OK = {"properties": {"status": {"const": "ok"}}}
NO_VIDEO = {"properties": {"output": {"type": "null"}}}


def _where(key: str, value, then: dict, otherwise: dict | None = None) -> dict:
    """If ``key`` has this value, ``then`` holds, else ``otherwise``."""
    condition = {"properties": {key: {"const": value}}, "required": [key]}
    return {"if": condition, "then": then} | ({"else": otherwise} if otherwise else {})


def _pair_rules(schema: dict) -> None:
    written = {
        "properties": {"output": {"type": "string", "minLength": 1}, "details": OK},
    }
    schema |= {
        "dependentRequired": {
            key: [other for other in CORRECTION_KEYS if other != key] for key in CORRECTION_KEYS
        },
        "allOf": [_where("success", True, written), _where("success", False, NO_VIDEO)],
    }


def _row_rules(schema: dict) -> None:
    numbers = {name: {"type": "number"} for name in ("offset_ms", "score", "offset_probability")}
    schema["allOf"] = [
        _where("success", True, OK, NO_VIDEO),
        _where("status", "ok", {"properties": numbers},
               {"properties": {"offset_ms": {"type": "null"}}}),
        _where("status", None,
               {"properties": {"score": {"type": "null"}, "verdict": {"type": "null"}}},
               {"properties": {"verdict": {"type": "string"}}}),
    ]  # fmt: skip


def _ranked_rules(schema: dict) -> None:
    details = {"type": "object", **OK}
    properties = {"score": {"type": "number"}, "details": details}
    schema |= _where("success", True, {"properties": properties})


Score = Annotated[
    Probability | None,
    Field(description="Probability that the pair as given is in sync (within ±1 frame); with a "
          "drift or jumps the share of the time in sync; null: no evidence."),
]  # fmt: skip


class PairOutput(TypedDict):
    """What python src/inference.py --json prints for one pair."""

    __pydantic_config__ = ConfigDict(json_schema_extra=_pair_rules)

    score: Score
    details: SyncResult
    success: NotRequired[
        Annotated[
            bool,
            Field(description="Not with --score-only: whether a corrected video was written."),
        ]
    ]
    message: NotRequired[
        Annotated[Text, Field(description="Not with --score-only: what was corrected, or why not.")]
    ]
    notes: NotRequired[
        Annotated[
            list[Text],
            Field(description="Not with --score-only: what could not be preserved, and what still "
                  "deviates, in words."),
        ]
    ]  # fmt: skip
    output: NotRequired[
        Annotated[
            str | None,
            Field(description="Not with --score-only: the corrected video; null: none."),
        ]
    ]


class SummaryRow(TypedDict):
    """A pair of --batch or --video-dir."""

    __pydantic_config__ = ConfigDict(json_schema_extra=_row_rules)

    video: Text
    audio: Annotated[Text | None, Field(description="null: the video's own audio track.")]
    success: Annotated[
        bool,
        Field(description="A corrected video was written; with --score-only: an offset is "
              "reported."),
    ]  # fmt: skip
    score: Score
    offset_ms: Milliseconds | None
    offset_probability: Probability | None
    status: Annotated[Status | None, Field(description="null: the pair could not be read.")]
    verdict: Annotated[Text | None, Field(description="The result in words.")]
    message: Annotated[Text, Field(description="What was done or measured, or why nothing was.")]
    output: Annotated[Text | None, Field(description="The corrected video.")]
    fingerprint: Annotated[
        str,
        Field(pattern="^[0-9a-f]{16}$",
              description="Changes with the files, the model and the options."),
    ]  # fmt: skip


class RankedPair(TypedDict):
    """A pair of --find-audio or --find-video."""

    __pydantic_config__ = ConfigDict(json_schema_extra=_ranked_rules)

    video: Text
    audio: Text
    success: Annotated[bool, Field(description="Whether an offset is reported.")]
    score: Score
    details: Annotated[SyncResult | None, Field(description="null: the pair could not be read.")]
    message: Annotated[Text, Field(description="The verdict, or why the pair could not be read.")]
    output: Annotated[None, Field(description="No video is written.")]


class Pair(RootModel[PairOutput]):
    """One pair."""


class Batch(RootModel[list[SummaryRow]]):
    """--batch and --video-dir: a row a pair, in order."""


class Ranking(RootModel[Annotated[list[RankedPair], Field(min_length=1)]]):
    """--find-audio and --find-video: best match first."""


def result_schema() -> dict:
    """The JSON schema (draft 2020-12) of one pair; ``$defs`` hold those of lists, ``batch`` and
    ``ranking``."""
    roots = [(root, "serialization") for root in (Pair, Batch, Ranking)]
    definitions = _without_titles(models_json_schema(roots)[1])["$defs"]
    del definitions["Pair"]  # which is PairOutput
    for root in (Batch, Ranking):
        definitions[root.__name__.lower()] = definitions.pop(root.__name__)
    pair = definitions.pop("PairOutput")
    title = pair.pop("description")
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": "urn:lipsync:result:2",
        "title": title,
        "description": "Generated from src/pipeline/json_output.py (make schema). Keys are only "
        "added; none is renamed, removed or given another meaning within a version. Readers ignore "
        "keys they do not know. What --batch and --video-dir print is #/$defs/batch, what "
        "--find-audio and --find-video print #/$defs/ranking. Explained in docs/result.md.",
        **pair,
        "$defs": dict(sorted(definitions.items())),
    }


def _without_titles(value):
    """A schema without what pydantic adds for other readers: titles made of names, defaults."""
    if isinstance(value, list):
        return [_without_titles(item) for item in value]
    if not isinstance(value, dict):
        return value
    is_schema = isinstance(value.get("title"), str)
    return {
        key: _without_titles(item) for key, item in value.items()
        if not (is_schema and key in ("title", "default", "readOnly"))
    }  # fmt: skip
