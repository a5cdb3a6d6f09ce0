"""A result in plain sentences, for people who do not know the field."""

import re
import shlex
from pathlib import Path

from ..core.constants import FRAME_MS
from ..core.files import display_path
from ..i18n.messages import tr
from ..scoring.result import MOST_FRAMES
from ..scoring.verdict import ACCEPTABLE_MS, DETECTABLE_MS, IN_SYNC_MS, capped_probability, worst_ms

SURE, LIKELY = 0.95, 0.8  # chances from which an offset is called so


def headline(details: dict) -> str:
    """What is wrong, in one sentence."""
    if details["undetermined"]:
        return tr("It could not be determined whether picture and sound belong together.")
    if details["offset_probability"] < LIKELY:
        return tr("Not sure, but likely: {text}", text=_wrong(details))
    return _wrong(details)


def _wrong(details: dict) -> str:
    offset, timeline = details["offset_ms"], details["timeline"]
    if timeline and timeline["kind"] == "drift":
        return tr("Picture and sound drift apart.")
    if timeline and timeline["kind"] == "jumps":
        return tr("The sound jumps: its offset changes within the film.")
    if abs(offset) < IN_SYNC_MS:
        return tr("Picture and sound are in sync.")
    if offset > 0:
        return tr("The sound comes {ms:.0f} ms too early.", ms=offset)
    return tr("The sound comes {ms:.0f} ms too late.", ms=-offset)


def sentences(score: float | None, details: dict) -> list[tuple[str, str]]:
    """(question, answer) each: what is wrong, does one notice it, how sure is it, what to do."""
    if details["undetermined"]:
        return [
            (tr("Why?"), _sentence(details["undetermined"])),
            (tr("What to do"), _advice_undetermined(details)),
        ]
    return [
        (tr("What was found"), _found(details)),
        (tr("Does one notice it?"), _noticed(details)),
        (tr("How sure is that?"), _sure(score, details)),
        (tr("What to do"), _advice(details)),
    ]


def _found(details: dict) -> str:
    offset, timeline = details["offset_ms"], details["timeline"]
    if timeline and timeline["kind"] == "drift":
        piece = timeline["pieces"][0]
        return tr(
            "The sound runs at another speed than the picture: by {ppm:+.0f} parts in a million. "
            "At the start it is {first}, at the end {last}.",
            ppm=timeline["drift_ppm"], first=_moved(piece["offset_ms"]),
            last=_moved(piece["end_offset_ms"]),
        )  # fmt: skip
    if timeline and timeline["kind"] == "jumps":
        parts = [
            tr("from {first:.1f} to {last:.1f} s it is {moved}",
               first=piece["start_s"], last=piece["end_s"], moved=_moved(piece["offset_ms"]))
            for piece in timeline["pieces"]
        ]  # fmt: skip
        return tr("Something was cut or is missing: {parts}.", parts=tr("; ").join(parts))
    if abs(offset) < IN_SYNC_MS:
        return tr("The lips and the sound move together: {ms:.0f} ms apart, less than one picture "
                  "of {frame} ms.", ms=abs(offset), frame=FRAME_MS)  # fmt: skip
    return tr(
        "What one hears is {moved} against what the lips say, about {n:.1f} pictures at 25 a "
        "second.", moved=_moved(offset), n=abs(offset) / FRAME_MS,
    )  # fmt: skip


def _moved(offset_ms: float) -> str:
    if round(offset_ms) == 0:
        return tr("in time")
    if offset_ms > 0:
        return tr("{ms:.0f} ms early", ms=offset_ms)
    return tr("{ms:.0f} ms late", ms=-offset_ms)


def _noticed(details: dict) -> str:
    early = worst_ms(details["offset_ms"], details["timeline"]) > 0
    limits = {
        "noticed": abs(DETECTABLE_MS[early]), "accepted": abs(ACCEPTABLE_MS[early]),
        "kind": tr("early sound") if early else tr("late sound"),
    }  # fmt: skip
    answer = {
        "undetectable": tr("No: so little is not noticed."),
        "detectable": tr("Yes, by attentive viewers, but it is still accepted."),
        "unacceptable": tr("Yes: viewers find so much disturbing."),
    }[details["bt1359"]]
    return tr(
        "{answer} By ITU-R BT.1359, {kind} is noticed from {noticed} ms and no longer accepted "
        "from {accepted} ms.", answer=answer, **limits,
    )  # fmt: skip


def _sure(score: float | None, details: dict) -> str:
    chance = details["offset_probability"]
    word = tr("Very sure") if chance >= SURE else tr("Rather sure") if chance >= LIKELY else None
    return tr(
        "{word}: of results with this much evidence, {chance:.0%} are right to within one picture "
        "(±{frame} ms). The chance that the pair is in sync as it is: {score:.0%}.",
        word=word or tr("Not sure, check it by eye"), chance=capped_probability(chance),
        frame=FRAME_MS, score=capped_probability(score),
    )  # fmt: skip


def _advice(details: dict) -> str:
    offset, timeline = details["offset_ms"], details["timeline"]
    constant = not timeline or timeline["kind"] == "constant"
    if constant and abs(offset) < IN_SYNC_MS:
        return tr("Nothing needs to be done.")
    if constant and details["bt1359"] == "undetectable":
        return tr("It may stay so. To mend it all the same, use the command below.")
    if not constant:
        return tr("Have the sound mended along its course with the command below.")
    if offset > 0:
        return tr("Delay the sound by {ms:.0f} ms; the command below does it.", ms=offset)
    return tr("Advance the sound by {ms:.0f} ms; the command below does it.", ms=-offset)


def correction_command(details: dict) -> str | None:
    """What one types to mend the pair; None where there is nothing to mend."""
    kind = (details["timeline"] or {"kind": "constant"})["kind"]
    if details["undetermined"] or (kind == "constant" and abs(details["offset_ms"]) < IN_SYNC_MS):
        return None
    model = str(display_path(Path(details["model"]["file"])))
    parts = ["python", "src/inference.py", "--checkpoint", model, "--video", details["video"]]
    if details["audio"] != details["video"]:
        parts += ["--audio", details["audio"]]
    return shlex.join(parts)


def _advice_undetermined(details: dict) -> str:
    status, reach_ms = details["status"], max(details["curve"]["offset_ms"])
    if status == "edge":
        return _advice_edge(details["undetermined"], reach_ms // FRAME_MS)
    return {
        "no_speech": tr(
            "Name a stretch in which somebody whose face is seen speaks, or see whether the right "
            "sound was given."
        ),
        "too_short": tr(
            "Give a longer piece: some seconds of speech with the face in the picture."
        ),
        "weak": tr(
            "See whether the sound is of this take (a dubbing or a voice-over has no offset), or "
            "give a longer piece."
        ),
    }[status]


def _advice_edge(why: str, reach_frames: int) -> str:
    """What is said of a drift names a number of frames; else twice as many are worth a try."""
    named = re.search(r"inference\.max_offset_frames=(\d+)", why)
    frames = int(named[1]) if named else min(2 * reach_frames, MOST_FRAMES)
    if frames <= reach_frames or "max_offset_frames" not in why:
        return tr("Cut the video into parts, or see whether the sound is of this take.")
    return tr("Let it look further: --set inference.max_offset_frames={frames}", frames=frames)


def _sentence(text: str) -> str:
    """With a capital and a full stop, as the language has them."""
    return tr("{text}.", text=text[:1].upper() + text[1:])
