"""The types of the answers, for the OpenAPI document."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..pipeline.json_output import PairOutput
from ..presenter.judge import JudgeFigures
from ..presenter.presenting import WeakSpan


class PresentOutput(BaseModel):
    """A video with new speech, as ``src/present.py --json`` prints it."""

    model_config = ConfigDict(extra="forbid")

    output: str = Field(description="Name of the file.")
    duration_s: float = Field(description="Length of the video in s.")
    frames: int = Field(description="Number of its frames.")
    joins_per_s: float = Field(description="Joins between two pieces of footage, per s.")
    judged: JudgeFigures | None = Field(
        description="How well in sync it is, as an independent network measures it; null: it was "
        "not measured."
    )
    real_confidence: float | None = Field(
        description="The confidence of that network in the person's own footage; null: unknown."
    )
    weak_spans: list[WeakSpan] = Field(description="Speech for which there are no good frames.")
    warnings: list[str] = Field(description="What a user should know, in words.")
    closeness: float | None = Field(
        description="The confidence of that network as a share of real_confidence."
    )
    notes: list[str] = Field(description="On synthesised speech, in words.")


class FileOutput(BaseModel):
    """A file that a job has written."""

    name: str = Field(description="Its name.")
    bytes: int = Field(ge=0, description="Its size.")
    url: str = Field(description="Path at which it is downloaded.")


class Links(BaseModel):
    """Where to ask further, as paths."""

    self: str = Field(description="The job: GET its state, DELETE it.")
    files: list[FileOutput] = Field(description="What the job has written.")


class JobOutput(BaseModel):
    """A job."""

    id: str = Field(description="Random; whoever knows it may ask for the job.")
    kind: Literal["score", "correct", "present"] = Field(description="What was asked for.")
    state: Literal["waiting", "running", "done", "failed", "cancelled"] = Field(
        description="waiting and running: ask again; the others are final."
    )
    before: int = Field(ge=0, description="How many jobs are waiting before this one.")
    stage: str = Field(description="What is being done, in words.")
    share: float | None = Field(
        ge=0, le=1, description="Share of the stage that is done; null: unknown."
    )
    left_s: float | None = Field(
        ge=0, description="Seconds until the end of the stage; null: it cannot be said yet."
    )
    error: str | None = Field(description="Why the job failed, in one sentence; else null.")
    result: PairOutput | PresentOutput | None = Field(
        description="Once the job is done: of /score and /correct what src/inference.py --json "
        "prints, of /present what src/present.py --json prints. Files are named without folders."
    )
    created_at: str = Field(description="UTC, ISO 8601.")
    expires_at: str | None = Field(
        description="When the job is forgotten with its files, UTC, ISO 8601; null: not ended yet."
    )
    links: Links


class Problem(BaseModel):
    """Why a request was refused."""

    error: str = Field(description="One sentence, in the language of Accept-Language.")


class Health(BaseModel):
    """The service answers, and does jobs."""

    status: Literal["ok"]
    version: str


class Presenters(BaseModel):
    """Whose lips can be re-made."""

    presenters: list[str] = Field(description="Names for the field presenter of /present.")
