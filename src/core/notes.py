"""What was skipped, is damaged or deviates in a clip: codes and numbers, and their words.

Preprocessing notes what it skips, scoring adds what it finds. The words are here, and not with the
other words of a result (``scoring.words``), because a sample's index record holds them, too.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..i18n.messages import tr, use_language

MAX_LISTED_TIMES = 8  # in the text of a note
Seconds = Annotated[float, Field(ge=0, description="Time in s, from the first frame.")]


def add_text(schema: dict) -> None:
    """Describe, in a JSON schema, the words that stand beside the code in ``details``."""
    schema["properties"]["text"] = {
        "type": "string", "minLength": 1,
        "description": "The same in words, in the language of the user: for people.",
    }  # fmt: skip
    schema["required"] = [*schema.get("required", []), "text"]


class Coded(BaseModel):
    """A code and its numbers, which cannot be changed."""

    model_config = ConfigDict(
        frozen=True, allow_inf_nan=False, json_schema_extra=add_text,
        json_schema_serialization_defaults_required=True,
    )  # fmt: skip


class RemadeLips(Coded):
    """The video's Content Credentials (C2PA) say that its lips were re-made for new speech."""

    code: Literal["remade_lips"] = "remade_lips"
    software: str = Field(description="Name and version of the program that re-made them.")
    signer: str | None = Field(
        description="Name in the certificate, which anybody can make with any name; null: none."
    )
    is_intact: bool = Field(description="Whether the file is unchanged since it was signed.")


class FramesWithoutFace(Coded):
    """Frames that are skipped because no face is visible."""

    code: Literal["frames_without_face"] = "frames_without_face"
    frames: int = Field(ge=1, description="How many frames are concerned.")
    total_frames: int = Field(ge=1, description="Frames of the clip.")


class OtherFaces(Coded):
    """Faces that are skipped because ``data.track`` chooses others."""

    code: Literal["other_faces"] = "other_faces"
    faces: int = Field(ge=1, description="Number of faces skipped.")
    track: str = Field(description="The setting data.track.")


class DamagedFrames(Coded):
    """Frames that the decoder could not read without errors."""

    code: Literal["damaged_frames"] = "damaged_frames"
    frames: int = Field(ge=1, description="How many frames are concerned.")
    total_frames: int = Field(ge=1, description="Frames of the file.")


class DamagedAudio(Coded):
    """Audio that the decoder could not read without errors."""

    code: Literal["damaged_audio"] = "damaged_audio"
    percent: int = Field(ge=0, le=100, description="Share of the audio, 0–100.")


class AudioEndsEarly(Coded):
    """The audio is shorter than the video."""

    code: Literal["audio_ends_early"] = "audio_ends_early"
    missing_s: float = Field(gt=0, description="By how many s the audio is shorter.")


class AudioEndsLate(Coded):
    """The audio is longer than the video; the end of it is not scored."""

    code: Literal["audio_ends_late"] = "audio_ends_late"
    extra_s: float = Field(gt=0, description="By how many s the audio is longer.")


class JoinedRecordings(Coded):
    """A file of several recordings, one after the other: its timestamps restart between them."""

    code: Literal["joined_recordings"] = "joined_recordings"
    file: Literal["video", "audio"] = Field(description="Which of the two files.")
    times_s: list[Seconds] = Field(
        min_length=1, description="Where a recording begins, in s from the first frame."
    )


class OtherStreams(Coded):
    """The file has more than one video track, or audio track; one of them is used."""

    code: Literal["other_streams"] = "other_streams"
    kind: Literal["video", "audio"]
    used: int = Field(ge=1, description="Number of the track that is used, from 1.")
    others: list[str] = Field(
        min_length=1, description="The others: number, codec, language or size, as 2 (aac, eng)."
    )


class SpeechInOtherAudio(Coded):
    """The audio track that is used has no speech, but another one has."""

    code: Literal["speech_in_other_audio"] = "speech_in_other_audio"
    used: int = Field(ge=1, description="Number of the track that is used, from 1.")
    with_speech: list[int] = Field(min_length=1, description="Numbers of those with speech.")


class OneChannel(Coded):
    """Only one channel of the audio is used: mixed with the others, its speech would be lost."""

    code: Literal["one_channel"] = "one_channel"
    channel: int = Field(ge=1, description="Number of the channel that is used, from 1.")
    channels: int = Field(ge=1, description="How many there are.")


class Reverberant(Coded):
    """The audio is reverberant: its offset is measured too late, and more often not at all."""

    code: Literal["reverberant"] = "reverberant"
    max_late_ms: int = Field(gt=0, description="By how many ms the audio can seem late, at most.")


class TurnedVideo(Coded):
    """The video lies on its side or is upside down, and its metadata do not say so."""

    code: Literal["turned_video"] = "turned_video"
    degrees: Literal[90, 180, 270] = Field(
        description="By how many degrees it was turned clockwise to be processed."
    )


class VoiceOver(Coded):
    """A shot that is skipped: its speaker is off screen."""

    code: Literal["voice_over"] = "voice_over"
    shot: int = Field(ge=0, description="Number of the shot, from 0.")
    start_s: Seconds
    end_s: Seconds


class MismatchedSpan(Coded):
    """A time in which someone speaks, but the lips do not match at the reported offset."""

    code: Literal["mismatched_span"] = "mismatched_span"
    start_s: Seconds
    end_s: Seconds
    limit_ms: int = Field(ge=0, description="The search range is ± this many ms.")


class LocalOutlier(Coded):
    """Spans in a row that agree on another offset than the reported one."""

    code: Literal["local_outlier"] = "local_outlier"
    start_s: Seconds
    end_s: Seconds
    offset_ms: float = Field(description="Their median offset in ms; > 0, the audio leads.")
    after_correction: bool = Field(description="Whether this was measured after correction.")


ClipNote = (
    FramesWithoutFace | OtherFaces | DamagedFrames | DamagedAudio | AudioEndsEarly | AudioEndsLate
    | JoinedRecordings | OtherStreams | SpeechInOtherAudio | OneChannel | TurnedVideo
)  # fmt: skip
Note = Annotated[
    RemadeLips | ClipNote | Reverberant | VoiceOver | MismatchedSpan | LocalOutlier,
    Field(discriminator="code"),
]


def note_text(note: Note, language: str | None = None) -> str:
    """A note in words.

    Args:
        language: such as ``"zh_CN"``; None: the user's.
    """
    with use_language(language):
        return _text(note)


def _text(note: Note) -> str:
    match note:
        case RemadeLips():
            return _remade_text(note)
        case FramesWithoutFace():
            return tr("{n} of {frames} frames skipped: no face",
                      n=note.frames, frames=note.total_frames)  # fmt: skip
        case OtherFaces():
            return tr("other faces skipped: {n} (data.track: {track})",
                      n=note.faces, track=note.track)  # fmt: skip
        case DamagedFrames():
            return tr("{n} of {frames} frames are damaged",
                      n=note.frames, frames=note.total_frames)  # fmt: skip
        case DamagedAudio():
            return tr("{percent}% of the audio is damaged", percent=note.percent)
        case AudioEndsEarly():
            return tr("the audio ends {s:.1f} s before the video", s=note.missing_s)
        case AudioEndsLate():
            return tr("the audio is {s:.1f} s longer than the video: analysed as far as the "
                      "video goes", s=note.extra_s)  # fmt: skip
        case JoinedRecordings():
            return _joined_text(note)
        case OtherStreams(kind="video"):
            return tr("video track {used} is used; the file also has {others} (--video-stream)",
                      used=note.used, others=", ".join(note.others))  # fmt: skip
        case OtherStreams():
            return tr("audio track {used} is used; the file also has {others} (--audio-stream)",
                      used=note.used, others=", ".join(note.others))  # fmt: skip
        case SpeechInOtherAudio():
            return tr("audio track {used} has no speech, but track {others} has: use "
                      "--audio-stream {first}",
                      used=note.used, others=", ".join(map(str, note.with_speech)),
                      first=note.with_speech[0])  # fmt: skip
        case OneChannel():
            return tr("only channel {channel} of {n} is used: the others cancel or cover its "
                      "speech", channel=note.channel, n=note.channels)  # fmt: skip
        case Reverberant():
            return tr("the audio is reverberant: it can seem up to {ms} ms later than it is, "
                      "and an offset is found less often", ms=note.max_late_ms)  # fmt: skip
        case TurnedVideo(degrees=180):
            return tr(
                "the video is upside down, without rotation metadata: it was processed "
                "turned by 180° (a corrected copy keeps its frames as they are)"
            )
        case TurnedVideo(degrees=90):
            return tr(
                "the video lies on its side, without rotation metadata: it was processed "
                "turned by 90° clockwise (a corrected copy keeps its frames as they are)"
            )
        case TurnedVideo():
            return tr(
                "the video lies on its side, without rotation metadata: it was processed "
                "turned by 90° counterclockwise (a corrected copy keeps its frames as they "
                "are)"
            )
        case VoiceOver():
            return tr("shot {number} ({first:.1f}–{last:.1f} s) skipped: voice-over, the speaker "
                      "is off screen",
                      number=note.shot, first=note.start_s, last=note.end_s)  # fmt: skip
        case MismatchedSpan():
            return tr("{first:.0f}–{last:.0f} s: lips and audio do not match at this offset; "
                      "another voice, or an offset outside the search range (±{ms} ms: "
                      "inference.max_offset_frames)",
                      first=note.start_s, last=note.end_s, ms=note.limit_ms)  # fmt: skip
        case LocalOutlier(after_correction=True):
            return tr("{first:.0f}–{last:.0f} s: still {ms:+.0f} ms after correction",
                      first=note.start_s, last=note.end_s, ms=note.offset_ms)  # fmt: skip
        case LocalOutlier():
            return tr("{first:.0f}–{last:.0f} s: measured {ms:+.0f} ms on its own, which differs "
                      "from the reported offset",
                      first=note.start_s, last=note.end_s, ms=note.offset_ms)  # fmt: skip
    raise TypeError(f"no note: {note!r}")


def _joined_text(note: JoinedRecordings) -> str:
    times = ", ".join(f"{time_s:.1f}" for time_s in note.times_s[:MAX_LISTED_TIMES])
    if len(note.times_s) > MAX_LISTED_TIMES:
        times += ", …"
    if note.file == "audio":
        return tr("the timestamps of the audio file restart at {times} s: the recordings in it are "
                  "joined in file order", times=times)  # fmt: skip
    return tr("the timestamps of the video restart at {times} s: the recordings in it are joined "
              "in file order", times=times)  # fmt: skip


def _remade_text(note: RemadeLips) -> str:
    text = tr("synthetic: the lips in this video were re-made (Content Credentials by {signer})",
              signer=note.signer or tr("an unknown signer"))  # fmt: skip
    if note.is_intact:
        return text
    return tr("{text}; the file was changed since it was signed", text=text)
