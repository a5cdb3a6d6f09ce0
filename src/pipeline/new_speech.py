"""What ``src/present.py`` and ``LipSyncInference.present`` do: a new speech for an old video."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np

from ..checkpoints.checkpoint import TrainedModel
from ..core.config import Config
from ..core.constants import HOPS_PER_FRAME
from ..core.errors import ConfigError, OutputError, PresenterError
from ..core.files import (
    check_output_path,
    check_writable,
    ensure_folder,
    folder_created,
    written_atomically,
)
from ..core.locks import locked
from ..core.progress import Progress, no_progress
from ..core.resources import resource_path
from ..faces.detection import Detector
from ..i18n.messages import tr
from ..media.credentials import FileDigest, RemadeSources, check_container, sign_remade
from ..media.signing_certificate import SigningCertificate, load_certificate
from ..media.source_note import append_note
from ..media.writer import SUFFIXES
from ..presenter.footage import gather_footage
from ..presenter.foreign_speech import foreign_speech
from ..presenter.judge import JUDGE_FILE, Judge, load_judge
from ..presenter.label import draw_label
from ..presenter.learn import check_same_model, learn_presenter
from ..presenter.mouth_shapes import SHAPES_FILE
from ..presenter.presenting import Presented, PresentOptions, check_footage, present
from ..presenter.store import (
    ClipRecord,
    Consent,
    load_presenter,
    read_presenter_record,
    write_presenter_record,
)
from ..presenter.sync_tools import SyncTools
from ..presenter.train_shapes import STEPS, train_shapes
from ..scoring.result import ModelFile
from .output_names import Source, check_not_foreign

LOCK_NAME = ".learning.lock"  # in a presenter's folder


class Engine(Protocol):
    """A ``LipSyncInference``, as far as it is needed here."""

    config: Config
    detector: Detector
    device: str
    model_file: ModelFile

    def in_torch(self) -> TrainedModel: ...


@dataclass(frozen=True)
class Credentials:
    """Whether and how the output says that its lips were re-made.

    Attributes:
        enabled: sign it with Content Credentials.
        certificate, private_key: PEM files; None: a certificate of one's own, made at first use.
        voice: of the text-to-speech; None: recorded speech.
    """

    enabled: bool = True
    certificate: Path | None = None
    private_key: Path | None = None
    voice: str | None = None

    def load(self, output: Path) -> SigningCertificate | None:
        """The certificate to sign with, before the work begins.

        Raises:
            OutputError, ConfigError: the output cannot be signed, or not with these files.
        """
        if not self.enabled:
            return None
        check_container(output)
        return load_certificate(self.certificate, self.private_key)


@dataclass(frozen=True, eq=False)
class NewSpeech:
    """What is to be made.

    Attributes:
        audio: the speech.
        output: .mp4, .mov or .mkv.
        base: the video under the new mouth; None: the longest footage file of the presenter.
        presenter: folder of ``learn_presenter``; None: one is made of ``footage`` for this once.
        footage: more videos of the same person; the base is footage, too, unless there are any.
        consent: that the person agreed was confirmed.
        face: whose mouth.
        label: draw a visible mark.
        credentials: Content Credentials.
        judged: measure the result with the independent network.
        closures_s: float [n, 2], sounds that shut the lips, seconds, where they are known.
        words_between: what is said from one time to another, seconds, where it is known.
        overwrite: replace a file that has the name of the output. False: only one that was made
            from the same base and speech, as a note in it says.
    """

    audio: Path
    output: Path
    base: Path | None = None
    presenter: Path | None = None
    footage: tuple[Path, ...] = ()
    consent: bool = False
    face: str | int = "speaking"
    label: bool = False
    credentials: Credentials = field(default_factory=Credentials)
    judged: bool = True
    closures_s: np.ndarray | None = None
    words_between: Callable[[float, float], str] | None = None
    overwrite: bool = True


def consent_statement() -> str:
    """What is to be confirmed, in the user's language."""
    return tr("I confirm that the person in the footage agreed to have their lips re-made for "
              "speech they did not say.")  # fmt: skip


def sync_tools(engine: Engine) -> SyncTools:
    """What the presenter needs of an engine."""
    trained = engine.in_torch()
    return SyncTools(
        model=trained.model,
        calibration=trained.calibration,
        data=engine.config.data,
        detector=engine.detector,
        max_offset_hops=engine.config.inference.max_offset_frames * HOPS_PER_FRAME,
        min_probability=engine.config.inference.min_offset_probability,
        file=engine.model_file.file,
        sha256=engine.model_file.sha256,
    )


def find_judge(engine: Engine) -> Judge | None:
    """The judge, where its file is there."""
    if not resource_path(JUDGE_FILE).is_file():
        return None
    return load_judge(engine.detector, engine.device)


def learn(
    engine: Engine,
    footage: list[Path],
    folder: Path,
    consent: Consent | None = None,
    face: str | int = "speaking",
    progress: Progress = no_progress,
) -> tuple[list[ClipRecord], list[str]]:
    """Index footage into a presenter's folder.

    Args:
        consent: to be stored; None: what is stored stays.

    Returns:
        the record of each file, and what would help.

    Raises:
        InUseError: another run learns into the same folder.
        MediaError, PresenterError, OutputError: as ``learn_presenter`` and ``check_footage``.
    """
    tools = sync_tools(engine)
    with locked(ensure_folder(folder) / LOCK_NAME, folder):
        records = learn_presenter(footage, folder, tools, face, find_judge(engine), progress)
        if consent is not None:
            record = read_presenter_record(folder)
            write_presenter_record(folder, record.model_copy(update={"consent": consent}))
        return records, check_footage(load_presenter(folder))


def train(
    engine: Engine,
    folder: Path,
    recordings: list[Path],
    steps: int | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Train the shapes of a presenter's mouth, which ``make_new_speech`` then uses by itself.

    Args:
        folder: of the presenter.
        recordings: in which other people speak, beside synthesised speech.
        steps: of the training; None: ``train_shapes.STEPS``.

    Returns:
        the file that was written.

    Raises:
        InUseError: another run learns or trains in the same folder.
        MissingFileError, PresenterError, MediaError, OutputError: with what is wrong.
    """
    tools, presenter = sync_tools(engine), load_presenter(folder)
    check_same_model(folder, presenter.record, tools)
    check_footage(presenter)
    path = folder / SHAPES_FILE
    check_writable(path)
    with locked(folder / LOCK_NAME, folder):
        foreign = foreign_speech(tools, recordings, progress)
        footage = gather_footage(presenter)
        shapes = train_shapes(presenter, footage, foreign, tools, steps or STEPS, progress=progress)
        shapes.save(path)
    return path


def new_consent(how: str) -> Consent:
    """The confirmation, as of now; ``how``: ``asked`` or ``option``."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Consent(text=consent_statement(), confirmed_at=now, how=how)


def stored_consent(folder: Path | None) -> Consent | None:
    """The confirmation that a presenter holds. Raises MissingFileError, PresenterError."""
    return None if folder is None else read_presenter_record(folder).consent


def make_new_speech(engine: Engine, job: NewSpeech, progress: Progress = no_progress) -> Presented:
    """Make a video in which the presenter says something else.

    Raises:
        MediaError, PresenterError, ConfigError, OutputError: with what is wrong.
    """
    job = replace(job, base=job.base or _base_of(job.presenter))
    output = check_output_path(job.output, [job.base, job.audio, *job.footage], SUFFIXES)
    source = Source(job.base, job.audio)
    if not job.overwrite:
        check_not_foreign(output, source)
    if not (job.consent or stored_consent(job.presenter)):
        raise PresenterError(
            tr("nobody confirmed that the person agreed: confirm it with --consent, or in Python "
               "with consent=True")
        )  # fmt: skip
    certificate = job.credentials.load(output)
    tools, judge = sync_tools(engine), find_judge(engine) if job.judged else None
    with _presenter_folder(engine, job, tools, judge, progress) as folder:
        presenter = load_presenter(folder)
        options = PresentOptions(
            job.face, draw_label if job.label else None, job.closures_s, job.words_between
        )
        temporary_path = output
        try:
            with folder_created(output.parent), written_atomically(output) as temporary_path:
                made = present(
                    presenter, job.base, job.audio, temporary_path, tools, judge, options, progress
                )
                if source.note:
                    append_note(temporary_path, source.note)
                if certificate is not None:
                    footage = tuple(
                        FileDigest(clip.record.name, clip.record.sha256) for clip in presenter.clips
                    )
                    name = presenter.name if job.presenter else job.base.stem
                    sources = RemadeSources(
                        job.base, job.audio, name, footage, Path(tools.file),
                        job.credentials.voice,
                    )  # fmt: skip
                    sign_remade(temporary_path, temporary_path, sources, certificate)
                if not job.overwrite:  # another run may have written it meanwhile
                    check_not_foreign(output, source)
        except OutputError as error:  # name the output that was asked for
            raise OutputError(str(error).replace(str(temporary_path), str(output))) from None
    return made.model_copy(update={"output": str(output)})


def longest_footage(folder: Path) -> Path | None:
    """The footage file of a presenter that lasts longest; None: it is no longer where it was
    learned from. Raises MissingFileError, PresenterError."""
    records = [clip.record for clip in load_presenter(folder).clips]
    path = Path(max(records, key=lambda record: record.duration_s).path)
    return path if path.is_file() else None


def _base_of(folder: Path | None) -> Path:
    """The video under the new mouth where none is given.

    Raises:
        ConfigError: there is no presenter, or its footage is gone.
    """
    path = None if folder is None else longest_footage(folder)
    if path is None:
        raise ConfigError(tr("give the video under the new mouth: --video"))
    return path


@contextmanager
def _presenter_folder(
    engine: Engine, job: NewSpeech, tools: SyncTools, judge: Judge | None,
    progress: Progress,
) -> Iterator[Path]:  # fmt: skip
    """The presenter's folder, or one that is made for this once."""
    if job.presenter is not None:
        if job.footage:
            raise ConfigError(tr("--footage and --presenter do not go together: add footage with "
                                 "python src/learn_presenter.py"))  # fmt: skip
        yield job.presenter
        return
    with TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True) as folder:
        footage = list(job.footage or (job.base,))
        learn_presenter(footage, folder, tools, job.face, judge, progress)
        yield Path(folder)
