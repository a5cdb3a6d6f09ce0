"""Which of many pairs may be published: a limit on the score, and one on the offset."""

from collections import Counter
from dataclasses import asdict, dataclass

from ..i18n.messages import tr
from ..scoring.timeline import Timeline

VERDICTS = ("pass", "fail", "unreadable")


@dataclass(frozen=True)
class GateResult:
    """What the gate says of a pair.

    Attributes:
        video, audio: the files; audio None: the video's own.
        verdict: ``pass``; ``fail``: also where no offset could be measured; ``unreadable``.
        score: 0…1, or None.
        offset_ms: where it is largest over time; > 0: the audio leads; or None.
        why: what failed, in words; empty where it passed.
    """

    video: str
    audio: str | None
    verdict: str
    score: float | None
    offset_ms: float | None
    why: str

    def to_dict(self) -> dict:
        """Plain values."""
        return asdict(self)


def judge(result: dict, min_score: float, max_offset_ms: float) -> GateResult:
    """Hold a scored pair against the limits.

    Args:
        result: an element of what ``LipSyncInference.batch_process`` returns with ``score_only``.
        min_score: 0…1; a lower score fails.
        max_offset_ms: an offset further from 0, at any time, fails.
    """
    video, audio, details = str(result["video"]), result["audio"], result["details"]
    audio = None if audio is None else str(audio)
    if details is None:
        return GateResult(video, audio, "unreadable", None, None, result["message"])
    score = result["score"]
    if details["undetermined"]:
        return GateResult(video, audio, "fail", score, None, details["verdict"])
    timeline = Timeline.from_details(details["timeline"])
    offset_ms = round(timeline.largest_offset(details["duration_s"]), 1)
    reasons = []
    if score is None or score < min_score:
        reasons.append(tr("score below {limit:g}", limit=min_score))
    if abs(offset_ms) > max_offset_ms:
        reasons.append(tr("offset beyond ±{limit:g} ms", limit=max_offset_ms))
    verdict = "fail" if reasons else "pass"
    return GateResult(video, audio, verdict, score, offset_ms, ", ".join(reasons))


def exit_status(results: list[GateResult]) -> int:
    """0: all pass; 1: some fail; 2: some could not be read."""
    counts = Counter(result.verdict for result in results)
    return 2 if counts["unreadable"] else 1 if counts["fail"] else 0
