"""The forms that requests send: which fields each has, and what they may hold."""

import re
from dataclasses import dataclass
from pathlib import Path

from ..correction.fits import FITS
from ..i18n.messages import N_, tr
from ..media.stream_choice import StreamChoice
from .refusal import RefusedError

FACE_PATTERN = "speaking|largest|[0-9]+"
NUMBER_PATTERN = "[1-9][0-9]{0,5}"
SWITCH_PATTERN = "true|false"


@dataclass(frozen=True)
class Field:
    """A field of a form.

    Attributes:
        name: of the field.
        description: in English; a message of the catalogue.
        is_file: a file is sent in it; else a text.
        pattern: a regular expression for the whole text; None: any text.
        is_required: it must be there.
        default: of a text that is not sent.
    """

    name: str
    description: str
    is_file: bool = False
    pattern: str | None = None
    is_required: bool = False
    default: str | None = None

    def schema(self) -> dict:
        """Its JSON schema."""
        schema: dict = {"type": "string", "description": self.description}
        if self.is_file:
            schema["contentMediaType"] = "application/octet-stream"
        if self.pattern is not None:
            schema["pattern"] = f"^({self.pattern})$"
        if self.default is not None:
            schema["default"] = self.default
        return schema

    def check(self, text: str) -> str:
        """The text, if it may stand here.

        Raises:
            RefusedError: it may not.
        """
        if self.pattern is not None and not re.fullmatch(self.pattern, text):
            choices = self.pattern.replace("[0-9]+", "0, 1, 2 …").split("|")
            if self.pattern == NUMBER_PATTERN:
                choices = ["1, 2, 3 …"]
            raise RefusedError(
                422,
                tr("{name} = {value}: must be one of: {choices}",
                   name=self.name, value=text[:100], choices=", ".join(choices)),
            )  # fmt: skip
        return text


VIDEO = Field("video", N_("the video"), is_file=True, is_required=True)
AUDIO = Field("audio", N_("the audio (default: the video's own audio track)"), is_file=True)
FACE = Field(
    "face", N_("face to score: speaking (the active speaker), largest, or a number of the result"),
    pattern=FACE_PATTERN, default="speaking",
)  # fmt: skip
VIDEO_STREAM = Field(
    "video_stream", N_("which of several video tracks, from 1"), pattern=NUMBER_PATTERN
)
AUDIO_STREAM = Field(
    "audio_stream", N_("which of several audio tracks, from 1"), pattern=NUMBER_PATTERN
)
FIT = Field(
    "fit", N_("audio of a different length: pad, trim or loop, as --fit of src/inference.py"),
    pattern="|".join(FITS), default=FITS[0],
)  # fmt: skip
REPORT = Field(
    "report", N_("also write a report that explains the result (.html)"), pattern=SWITCH_PATTERN,
    default="false",
)  # fmt: skip
PRESENTER = Field(
    "presenter", N_("name of the presenter, as GET /presenters lists it"), is_required=True
)
SPEECH = Field("audio", N_("the new speech"), is_file=True)
TEXT = Field("text", N_("a text to be spoken, in place of audio"))
BASE = Field(
    "video", N_("the video under the new mouth (default: the presenter's longest footage)"),
    is_file=True,
)  # fmt: skip
LABEL = Field(
    "label", N_("draw a visible mark into the video"), pattern=SWITCH_PATTERN, default="false"
)

SCORE_FORM = (VIDEO, AUDIO, FACE, VIDEO_STREAM, AUDIO_STREAM, REPORT)
CORRECT_FORM = (VIDEO, AUDIO, FACE, VIDEO_STREAM, AUDIO_STREAM, FIT, REPORT)
PRESENT_FORM = (PRESENTER, SPEECH, TEXT, BASE, LABEL, REPORT)
FORMS = {"score": SCORE_FORM, "correct": CORRECT_FORM, "present": PRESENT_FORM}


def form_schema(form: tuple[Field, ...]) -> dict:
    """The JSON schema of a form."""
    return {
        "type": "object",
        "properties": {field.name: field.schema() for field in form},
        "required": [field.name for field in form if field.is_required],
        "additionalProperties": False,
    }


def find_field(form: tuple[Field, ...], name: str, is_file: bool) -> Field:
    """The field of a form.

    Raises:
        RefusedError: there is none of that name, or it holds something else.
    """
    for field in form:
        if field.name == name:
            if field.is_file and not is_file:
                raise RefusedError(
                    422, tr("{name} must be a file: curl -F {name}=@FILE", name=name)
                )
            if is_file and not field.is_file:
                raise RefusedError(422, tr("{name} must be a text, not a file", name=name))
            return field
    names = ", ".join(field.name for field in form)
    raise RefusedError(
        422, tr("unknown field {name}: choose from {names}", name=name[:100], names=names)
    )


def read_pair(texts: dict[str, str], files: dict[str, Path]) -> dict:
    """The inputs of the tasks ``score`` and ``correct``, of a form that is complete."""
    audio = files.get("audio")
    streams = [int(texts[name]) if name in texts else None
               for name in ("video_stream", "audio_stream")]  # fmt: skip
    inputs = {
        "video": files["video"].name, "audio": audio and audio.name, "face": texts["face"],
        "streams": StreamChoice(*streams), "with_report": texts["report"] == "true",
    }  # fmt: skip
    return inputs | ({"fit": texts["fit"]} if "fit" in texts else {})


def read_speech(texts: dict[str, str], files: dict[str, Path]) -> dict:
    """The inputs of the task ``present`` but for the presenter's folder.

    Raises:
        RefusedError: there is no speech, or two.
    """
    audio, video, text = files.get("audio"), files.get("video"), texts.get("text", "").strip()
    if (audio is None) == (not text):
        raise RefusedError(422, tr("give the new speech: either audio or text"))
    return {
        "audio": audio and audio.name, "text": text, "video": video and video.name,
        "label": texts["label"] == "true", "with_report": texts["report"] == "true",
    }  # fmt: skip
