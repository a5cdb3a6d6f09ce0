"""LipSyncInference: score a pair, measure its offset, correct it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..core.config import Config, with_overrides
from ..core.device import choose_device, default_workers
from ..core.errors import ConfigError
from ..core.files import check_output_path, ensure_folder
from ..core.notes import RemadeLips
from ..core.progress import Progress, no_progress
from ..core.workers import cores
from ..correction.duration import check_fit
from ..faces.detection import make_detector
from ..i18n.messages import tr
from ..media.credentials import read_remade
from ..media.stream_choice import DEFAULT_STREAMS, StreamChoice
from ..preprocessing.clip_features import ClipFeatures
from ..preprocessing.extract import ExtractOptions, SharedVideo, extract_clip
from ..scoring.result import ModelFile, SyncResult
from ..scoring.speakers import voice_over_notes
from .batch import check_same_model, ranked, run_batch
from .correct_pair import correct_pair
from .loading import BACKENDS, computes_on_cpu, device_name, load_model
from .measure_offset import measure_offset, reverberation_notes
from .pairs import with_outputs
from .summary_table import recorded_outputs
from .torch_parts import check_torch, present

if TYPE_CHECKING:
    from ..checkpoints.checkpoint import TrainedModel

MODES = ("correct", "present")  # of sync_video_audio


@dataclass(frozen=True, eq=False)  # settings hold lists, which have no hash
class EngineSpec:
    """The arguments of a ``LipSyncInference``, which other processes build; can be pickled.

    Attributes:
        checkpoint, device, config, overrides, backend: as in ``LipSyncInference``.
        sha256: of the only model to be used; None: whatever the file holds.
        copy: of the checkpoint, or a link to it, to be read in its place; None: there is none.
    """

    checkpoint: Path
    device: str | None
    config: Config | None
    overrides: tuple[str, ...]
    backend: str = BACKENDS[0]
    sha256: str | None = None
    copy: Path | None = None

    def pinned(self, copy: Path, sha256: str) -> "EngineSpec":
        """The same, of the model in a copy of the checkpoint."""
        return replace(self, copy=copy, sha256=sha256)

    def build(self) -> "LipSyncInference":
        """The engine.

        Raises:
            CheckpointError: the file holds another model by now; and as ``LipSyncInference``.
        """
        path = self.copy or self.checkpoint
        engine = LipSyncInference(
            path, self.device, self.config, list(self.overrides), self.backend
        )
        if self.sha256 is not None:
            check_same_model(self.checkpoint, self.sha256, engine.model_file.sha256)
            engine.model_file = ModelFile(file=str(self.checkpoint), sha256=self.sha256)
        return engine

    def count_workers(self, n_workers: int) -> int:
        """The number of processes: as asked for, or for 0 what this machine has room for."""
        if n_workers:
            return n_workers
        settings = with_overrides(self.config or Config(), list(self.overrides), "--set")
        device = device_name(self.device, self.overrides, settings)
        if self.backend == "onnx" or self.checkpoint.is_dir() or computes_on_cpu(device):
            return cores()
        check_torch()
        return default_workers(choose_device(device))


class LipSyncInference:
    """Scores and corrects pairs of video and audio with a trained model.

    Args:
        checkpoint_path: a ``.pth`` of ``src/train.py``; None: ``checkpoints/best_model.pth``
            (of ``paths.checkpoint_dir``), or, with a warning, the pretrained model where that is
            missing.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``; None is ``auto``.
        config: settings; its ``inference`` section is used, those the model was trained with
            come from the checkpoint, unless that holds bare weights. None: ``config.yaml``, and
            bare weights are refused.
        overrides: ``["inference.max_offset_frames=25", …]``, applied on top of both.
        backend: what computes embeddings: ``torch``, or ``onnx`` (ONNX Runtime, on the CPU, in
            two thirds of the time and without PyTorch, which takes seconds to load; the figures
            are the same within 0.001). ``auto``: ``torch`` where a driver for GPUs is installed or
            ``device`` names one, else ``onnx``, if that can compute the network.
            ``checkpoint_path`` may also be a folder of ``tools/export_models.py``, which scores
            and corrects only.

    Attributes:
        trained: the model that scores, with its calibration.
        config: the settings it was trained with, and those given for scoring.
        device: where it computes, ``cpu`` or ``cuda:N``.

    Raises:
        MissingFileError, CheckpointError: the checkpoint cannot be used.
        ConfigError: no such device, backend or setting, a setting that the training fixed, or
            PyTorch is not installed.
    """

    def __init__(
        self,
        checkpoint_path: str | Path | None = None,
        device: str | None = None,
        config: Config | None = None,
        overrides: list[str] | None = None,
        backend: str = BACKENDS[0],
    ):
        loaded = load_model(checkpoint_path, device, config, overrides or [], backend)
        self.trained, self.config, self.device = loaded.trained, loaded.config, loaded.device
        self._loaded = loaded
        self.detector = make_detector(self.config.data)
        self.model_file = ModelFile(file=str(loaded.path), sha256=self.trained.sha256)
        self.spec = EngineSpec(loaded.path, device, config, tuple(overrides or []), backend)

    def in_torch(self) -> "TrainedModel":
        """The model with its network in PyTorch, which live measuring and new speech need; made
        when it is first asked for.

        Raises:
            ConfigError: it consists of exported encoders, or PyTorch is not installed.
        """
        return self._loaded.in_torch()

    def measure(
        self,
        video_path: str | Path,
        audio_path: str | Path | None = None,
        face: str | int = "speaking",
        progress: Progress = no_progress,
        streams: StreamChoice = DEFAULT_STREAMS,
    ) -> SyncResult:
        """Score a pair as given and measure its offset; arguments as in ``compute_sync_score``.

        Raises:
            MediaError: one of its kinds says what is wrong with which file.
            ConfigError: there is no such face.
        """
        with TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True) as folder:
            clip = extract_clip(
                video_path, audio_path, self.config.data, self.detector, Path(folder),
                ExtractOptions(threads=0, all_faces=True, streams=streams), progress,
            )  # fmt: skip
            return self.measure_clip(clip, video_path, audio_path, face, progress)

    def measure_clip(
        self,
        clip: ClipFeatures,
        video_path: str | Path,
        audio_path: str | Path | None,
        face: str | int = "speaking",
        progress: Progress = no_progress,
    ) -> SyncResult:
        """``measure`` for a clip that was extracted from these files with all faces.

        Raises:
            ConfigError: there is no such face.
        """
        measured = measure_offset(self.trained, self.config.inference, clip, face, progress)
        notes = [*_remade_notes(video_path), *clip.notes, *reverberation_notes(clip),
                 *voice_over_notes(measured.scored.faces, measured.scored.speakers),
                 *measured.result.notes]  # fmt: skip
        return SyncResult(
            **dict(measured.result) | {"notes": notes},
            tracks=measured.tracks,
            voice_over=measured.scored.speakers.voice_over,
            face_share=round(clip.face_share, 4),
            duration_s=round(clip.duration_s, 3),
            faces=clip.n_faces,
            video=str(video_path),
            audio=str(video_path if audio_path is None else audio_path),
            video_stream=clip.streams.video,
            audio_stream=clip.streams.audio,
            audio_channel=clip.streams.channel,
            model=self.model_file,
        )

    def compute_sync_score(
        self,
        video_path: str | Path,
        audio_path: str | Path | None = None,
        face: str | int = "speaking",
        progress: Progress = no_progress,
        streams: StreamChoice = DEFAULT_STREAMS,
    ) -> tuple[float | None, dict]:
        """The probability that the pair, as given, is in sync.

        Args:
            video_path: the video.
            audio_path: the audio, its first sample at the first frame; None: the video's own audio
                track.
            face: whose lips are compared where there are several faces: ``speaking`` (in each shot
                the active speaker, or those who take turns), ``largest``, or a
                number of ``details["tracks"]``.
            progress: reports each stage; ``progress_bars`` draws bars on stderr.
            streams: which of several video and audio streams are used:
                ``StreamChoice(video=1, audio=2)``. Default: by the default flag, then the first
                that can be decoded.

        Returns:
            ``(score, details)``. ``score`` is a calibrated probability, 0…1, or None where there
            is no evidence (no speech, or too short); where the offset drifts or jumps, the share of
            the time in sync. ``details`` is ``SyncResult.to_dict()``: plain values, and words for
            people in their language (docs/result.md explains each key):

            - ``status``: ``ok``, or why no offset is reported: ``no_speech``, ``too_short``,
              ``weak`` (no clear correlation between lips and audio), ``edge`` (the offset may be
              outside the search range)
            - ``undetermined``: bool, whether no offset is reported
            - ``reason``: dict, why none is: ``code``, its numbers, and ``text``; or None
            - ``offset_ms``: float, by how much the audio must be delayed (> 0: it leads), finer
              than a frame; None where undetermined
            - ``offset_frames``: int, the same in frames of 40 ms, or None
            - ``offset_probability``: float 0…1, the probability that this offset is correct, or
              None
            - ``verdict``: the result in words
            - ``bt1359``: ``undetectable``, ``detectable`` or ``unacceptable``, what viewers make of
              the offset (ITU-R BT.1359-1), with a drift or jumps where it is worst; or None
            - ``confidence``: float ≥ 0, LSE-C, or None
            - ``min_distance``: float 0…2, LSE-D, or None
            - ``curve``: ``{"offset_ms": [...], "similarity": [...]}``, cosine −1…1, None where
              too little audio supports an offset
            - ``per_second``: list of the score of each second, None with too little speech or
              no face
            - ``face_share``: float 0…1, share of frames with a face track
            - ``duration_s``: float, length of the video
            - ``faces``: int, number of face tracks
            - ``tracks``: list of these, each a dict: ``number``, ``shot``, ``start_s``, ``end_s``,
              ``boxes`` (time in s and x0, y0, x1, y1 in pixels; one a second, and more where the
              face moves: between them it is on a line), ``score``,
              ``offset_ms`` and ``confidence`` of its own (or None), and ``chosen``, whether the
              result is of it, and ``speaks``, start and end in s of the times in which it is the
              speaker
            - ``voice_over``: numbers of the shots that are skipped: the speaker is off screen
            - ``timeline``: the offset over time, or None: ``kind`` (``constant``, ``drift``,
              ``jumps``), ``drift_ppm``, ``pieces`` (segments: ``start_s``, ``end_s``, and the
              offsets there, ``offset_ms`` and ``end_offset_ms``). With a drift or jumps
              ``offset_ms`` is its median over time
            - ``offsets``: list of dicts, what spans of 4 s measure on their own: ``time_s``,
              ``offset_ms``, ``probability``
            - ``notes``: list of dicts, what is skipped, damaged or deviates: ``code``, its numbers,
              and ``text``
            - ``video``, ``audio``: the files that were scored
            - ``video_stream``, ``audio_stream``: numbers of the streams that were used, from 1;
              ``audio_channel``: the only channel that was used, from 1, or None: the mean of all
            - ``model``: dict, ``file`` and ``sha256`` of the checkpoint that scored them

        Raises:
            MediaError: one of its kinds says what is wrong with which file.
            ConfigError: there is no such face or stream.
        """
        result = self.measure(video_path, audio_path, face, progress, streams)
        return result.score, result.to_dict()

    def sync_video_audio(
        self,
        video_path: str | Path,
        audio_path: str | Path | None,
        output_path: str | Path,
        face: str | int = "speaking",
        fit: str = "pad",
        progress: Progress = no_progress,
        mode: str = "correct",
        consent: bool = False,
        streams: StreamChoice = DEFAULT_STREAMS,
    ) -> tuple[bool, str]:
        """Measure a pair, correct its audio along the offset timeline, and measure the result.

        A constant offset is corrected by delaying or advancing the audio, a drift by changing its
        speed, jumps segment by segment. The video keeps every frame (see ``remux.retime_audio``).
        The output appears complete or not at all; where the evidence is too weak nothing is
        written.

        Args:
            face, progress: as in ``compute_sync_score``.
            fit: where video and corrected audio differ in length, ``pad``, ``trim`` or ``loop``
                (see ``remux.retime_audio``).
            mode: ``correct``, or ``present``: re-make the mouth for the audio, see ``present``.
            consent: for ``present``.
            streams: as in ``compute_sync_score``; not for ``present``.

        Returns:
            ``(True, "audio lagged by 120 ms, corrected; score 0.08 → 0.97")`` or
            ``(False, reason)``. What could not be preserved is added as notes.

        Raises:
            MediaError: an input cannot be used.
            ConfigError: no such ``fit`` or ``mode``.
            OutputError: the output cannot be written, or is one of the inputs.
        """
        if mode not in MODES:
            raise ConfigError(
                tr("mode {mode} does not exist: choose from {names}",
                   mode=mode, names=", ".join(MODES))
            )  # fmt: skip
        if mode == "present":
            if audio_path is None:
                raise ConfigError(tr('give the new speech: mode="present" needs an audio file'))
            return self.present(
                video_path, audio_path, output_path, consent=consent, face=face, progress=progress
            )[:2]
        success, message, measured = self.correct_sync(
            video_path, audio_path, output_path, face, fit, progress, streams
        )
        return success, "; ".join([message, *measured["notes"]])

    def correct_sync(
        self,
        video_path: str | Path,
        audio_path: str | Path | None,
        output_path: str | Path,
        face: str | int = "speaking",
        fit: str = "pad",
        progress: Progress = no_progress,
        streams: StreamChoice = DEFAULT_STREAMS,
        overwrite: bool = True,
    ) -> tuple[bool, str, dict]:
        """As ``sync_video_audio``, with what was measured.

        Args:
            overwrite: replace a file that has the name of the output. False: only one that was
                made from the same tracks of the same video and audio, as a note in it says.

        Returns:
            ``(success, message, measured)``; ``measured`` holds ``score_before`` and ``details``
            of the pair as given, ``notes`` (texts: what could not be preserved, and what still
            deviates) and, on success, of the result ``score``, ``residual_ms`` (where it is
            largest), and ``applied_ms`` (the median over time).
        """
        return correct_pair(
            self, video_path, audio_path, output_path, face, fit, progress, streams, overwrite
        )

    def present(
        self,
        video_path: str | Path,
        audio_path: str | Path,
        output_path: str | Path,
        presenter: str | Path | None = None,
        *,
        footage: Iterable[str | Path] = (),
        consent: bool = False,
        face: str | int = "speaking",
        label: bool = False,
        credentials: bool = True,
        progress: Progress = no_progress,
    ) -> tuple[bool, str, dict]:
        """Re-make the mouth in a video for a new speech, from the person's own footage.

        Args:
            video_path: the video under the new mouth; it goes on as long as the speech.
            audio_path: the speech.
            output_path: .mp4 or .mov; .mkv without ``credentials``.
            presenter: a folder of ``src/learn_presenter.py``; None: made of the video (or of
                ``footage``) for this once.
            footage: more videos of the same person, without ``presenter``.
            consent: that the person agreed to it; asked for unless the presenter holds it.
            face: whose mouth: as in ``compute_sync_score``.
            label: draw a visible mark.
            credentials: sign the output with Content Credentials.
            progress: reports each stage; to cancel, it raises an exception of its own.

        Returns:
            ``(True, message, figures)``; ``figures`` is ``presenter.presenting.Presented`` as a
            dict. What cannot be made raises.

        Raises:
            MediaError: an input cannot be read.
            PresenterError: the footage or the speech gives no good result, or nobody agreed.
            OutputError: the output cannot be written.
        """
        self.in_torch()  # refuses what has no network for it before anything is read
        paths = {
            "audio": Path(audio_path), "output": Path(output_path), "base": Path(video_path),
            "presenter": None if presenter is None else Path(presenter),
            "footage": tuple(map(Path, footage)),
        }  # fmt: skip
        options = {"consent": consent, "face": face, "label": label, "credentials": credentials}
        return True, *present(self, paths, options, progress)

    def batch_process(
        self,
        pairs: Iterable[tuple[str | Path, str | Path | None]],
        output_dir: str | Path | None = None,
        progress: Callable[[list], Iterable] = iter,
        *,
        workers: int = 1,
        summary: str | Path | None = None,
        score_only: bool = False,
        face: str | int = "speaking",
        fit: str = "pad",
        streams: StreamChoice = DEFAULT_STREAMS,
        overwrite: bool = False,
    ) -> list[dict]:
        """Correct many pairs, or score them; one that cannot be used does not stop the others.

        Args:
            pairs: (video, audio or None) each.
            output_dir: where ``<video name>_synced<suffix>`` go, numbered where another file has
                that name; made if it is missing. None: ``paths.output_dir``. Not used with
                ``score_only``.
            progress: wraps the pairs, for example ``tqdm.tqdm``; the next one is taken from it as
                each is done.
            workers: 1: in this process, with the model that is loaded. More: so many processes; 0:
                one for each core, on a GPU as many as its free memory holds. Each loads the same
                model again from its file, and a file on which a decoder crashes, or hangs for
                longer than ``data.clip_timeout_s``, costs only itself.
                Call it then from a script below
                ``if __name__ == "__main__":``, which the processes import.
            summary: a table (.csv) as ``--summary`` of the command writes it, which grows with each
                pair; lines of other pairs stay. Pairs whose result it holds are not processed
                again, unless one of the files, the model or the settings have changed, the output
                is gone, or the pair could not be read. None: no table, all pairs are processed.
            score_only: score the pairs and write no videos.
            face, fit, streams: as in ``sync_video_audio``, for all pairs.
            overwrite: replace files that have these names, whatever they are.

        Returns:
            a dict a pair, in order: ``video``, ``audio`` (None: the video's own audio track),
            ``success`` (bool: a video was written, or, with ``score_only``, an offset is reported),
            ``message``, ``output`` (path or None), ``score`` (float 0…1 of the pair as given, or
            None), ``details`` (as in ``compute_sync_score``, or None where the pair could not be
            read, or where an earlier run processed it: ``summary`` does not hold them).

        Raises:
            ConfigError: no such ``fit`` or ``workers``.
            CheckpointError: with processes, the file of the model holds another one by now.
            OutputError: the folder cannot be made, or the table cannot be written.
            DatasetError: ``summary`` is a file of another kind.
        """
        check_fit(fit)
        if type(workers) is not int or workers < 0:
            raise ConfigError(tr("workers = {n}: must be an integer of 0 or more", n=workers))
        if summary is not None:
            summary = check_output_path(summary, [], {".csv"})
        folder, options, recorded = None, {"face": face, "streams": streams}, {}
        if not score_only:
            recorded = recorded_outputs(summary) if summary is not None else {}
            folder = ensure_folder(output_dir or self.config.paths.output_dir)
            options["fit"] = fit
        jobs = with_outputs(pairs, folder, overwrite, recorded, **options)
        spec = replace(self.spec, sha256=self.model_file.sha256)
        steps = iter(progress(jobs))
        next(steps, None)  # shown before the first pair is done
        results = run_batch(
            spec, jobs, summary,
            workers=spec.count_workers(workers),
            progress=lambda: next(steps, None),
            engine=self if workers == 1 else None,
            details=True,
        )  # fmt: skip
        keys = ("video", "audio", "success", "message", "output", "score", "details")
        return [{key: result[key] for key in keys} for result in results]

    def rank_audio(
        self,
        video_path: str | Path,
        audio_paths: list[str | Path],
        face: str | int = "speaking",
        streams: StreamChoice = DEFAULT_STREAMS,
    ) -> list[dict]:
        """Which of several audio files belongs to a video, in sync or not: best match first. The
        frames of the video are read once.

        Returns:
            a dict an audio file, as those of ``batch_process``: first by ``offset_probability`` in
            percent, then by ``confidence`` (LSE-C). What cannot be read comes last.
        """
        pairs = [(video_path, audio_path) for audio_path in audio_paths]
        with TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True) as folder:
            options = ExtractOptions(threads=0, all_faces=True, streams=streams)
            video = SharedVideo(video_path, self.config.data, self.detector, Path(folder), options)
            return ranked(_OneVideo(self, video), pairs, face, streams)

    rank_sounds = rank_audio  # the name of earlier versions

    def rank_videos(
        self,
        audio_path: str | Path,
        video_paths: list[str | Path],
        face: str | int = "speaking",
        streams: StreamChoice = DEFAULT_STREAMS,
    ) -> list[dict]:
        """Which of several videos an audio file belongs to, as ``rank_audio``."""
        pairs = [(video_path, audio_path) for video_path in video_paths]
        return ranked(self, pairs, face, streams)


class _OneVideo:
    """What scores pairs of one video, whose faces are found once."""

    def __init__(self, engine: LipSyncInference, video: SharedVideo):
        self._engine, self._video = engine, video

    def compute_sync_score(
        self, video_path: str, audio_path: str, face: str | int = "speaking", **_streams
    ) -> tuple[float | None, dict]:
        """As ``LipSyncInference.compute_sync_score``, of the video and its streams."""
        with TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True) as folder:
            clip = self._video.with_audio(audio_path, Path(folder))
            result = self._engine.measure_clip(clip, video_path, audio_path, face)
        return result.score, result.to_dict()


def _remade_notes(video_path: str | Path) -> list[RemadeLips]:
    """A note where a video says that its lips were re-made."""
    info = read_remade(video_path)
    if info is None:
        return []
    return [
        RemadeLips(software=info.software, signer=info.signer or None, is_intact=info.is_intact)
    ]
