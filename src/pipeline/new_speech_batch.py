"""Many new speeches, each made in a process that keeps its engine."""

from functools import cache

from ..core.errors import LipSyncError
from ..core.workers import Crashed, TimedOut, crash_text, timeout_text
from ..presenter.presenting import Presented
from .engine import EngineSpec, LipSyncInference
from .new_speech import NewSpeech, make_new_speech


def make_in_process(spec: EngineSpec, job: NewSpeech) -> Presented | LipSyncError:
    """Make one video; an error is returned and not raised, as it must not stop the others."""
    try:
        return make_new_speech(_engine(spec), job)
    except LipSyncError as error:
        return error


@cache
def _engine(spec: EngineSpec) -> LipSyncInference:
    return spec.build()


def reason_text(
    job: NewSpeech, result: Presented | LipSyncError | Crashed | TimedOut
) -> str | None:
    """Why there is no video; None: there is."""
    if isinstance(result, Crashed):
        return crash_text(job.audio, result)
    if isinstance(result, TimedOut):
        return timeout_text(job.audio, result)
    return str(result) if isinstance(result, LipSyncError) else None
