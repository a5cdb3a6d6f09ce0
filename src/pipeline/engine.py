"""LipSyncInference: score a pair, find its offset, correct it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..core.config import DEFAULT_CONFIG, Config, load_config, with_overrides
from ..core.constants import HOPS_PER_FRAME
from ..core.errors import ConfigError, OutputError
from ..core.files import check_output_path, ensure_folder, folder_created, written_atomically
from ..core.progress import Progress, no_progress
from ..i18n.messages import tr
from ..media.container import VIDEO_SUFFIXES
from ..scoring.result import build_result, describe_tracks
from ..scoring.verdict import correction

CORRECTED_TOLERANCE_MS = 20  # a mended sound is measured again and must be this close to zero
ROUNDS = 3  # each corrects what the one before left


@dataclass(frozen=True, eq=False)  # settings hold lists, which have no hash: each is itself alone
class EngineSpec:
    """What a process makes its ``LipSyncInference`` of: its arguments. Can be pickled.

    Attributes:
        checkpoint, device, config, overrides: as in ``LipSyncInference``.
        sha256: of a model that is in memory already; None: that of the file counts.
    """

    checkpoint: Path
    device: str | None
    config: Config | None
    overrides: tuple[str, ...]
    sha256: str | None = None

    def build(self) -> "LipSyncInference":
        """The engine. Raises as ``LipSyncInference`` does."""
        return LipSyncInference(self.checkpoint, self.device, self.config, list(self.overrides))


class LipSyncInference:
    """Judges and mends video + audio pairs with a trained model.

    Args:
        checkpoint_path: a ``.pth`` of ``src/train.py``; None: ``checkpoints/best_model.pth``
            (of ``paths.checkpoint_dir``). Where that one is missing, the pretrained model is
            used, and stderr says so.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``; None is ``auto``.
        config: settings; its ``inference`` section is used, those the model was trained with
            come from the checkpoint, unless that holds bare weights. None: ``config.yaml``, and
            bare weights are refused.
        overrides: ``["inference.max_offset_frames=25", …]``, applied on top of both.

    Raises:
        MissingFileError, CheckpointError: the checkpoint cannot be used.
        ConfigError: no such device or setting, or a setting that the training fixed.
    """

    def __init__(
        self,
        checkpoint_path: str | Path | None = None,
        device: str | None = None,
        config: Config | None = None,
        overrides: list[str] | None = None,
    ):
        from ..checkpoints.checkpoint import load_trained, resolve_checkpoint
        from ..core.device import choose_device
        from ..core.files import file_sha256
        from ..faces.detection import make_detector
        from ..models.spec import ModelSize

        given, overrides = config, overrides or []
        config = with_overrides(config or load_config(), overrides, str(DEFAULT_CONFIG))
        checkpoint_path = resolve_checkpoint(checkpoint_path, config.paths.checkpoint_dir)
        chosen = any(text.startswith("training.device=") for text in overrides)
        self.trained = load_trained(
            checkpoint_path, choose_device("cpu"), config if given else None
        )
        config = self.trained.config.model_copy(
            update={"inference": config.inference, "paths": config.paths}
        )
        self.config = with_overrides(config, overrides, str(checkpoint_path))
        if ModelSize.of(self.config) != self.trained.model.size:
            raise ConfigError(
                tr("{path}: model.*, data.input_size and data.n_mfcc are those it was trained with",
                   path=checkpoint_path)
            )  # fmt: skip
        self.device = choose_device(device or (self.config.training.device if chosen else "auto"))
        self.trained.model.to(self.device)
        self.detector = make_detector(self.config.data)
        self._model = {"file": str(checkpoint_path), "sha256": file_sha256(checkpoint_path)}
        self.spec = EngineSpec(Path(checkpoint_path), device, given, tuple(overrides))

    def compute_sync_score(
        self,
        video_path: str | Path,
        audio_path: str | Path | None = None,
        face: str | int = "speaking",
        progress: Progress = no_progress,
    ) -> tuple[float | None, dict]:
        """How likely it is that the pair, as given, is in sync.

        Args:
            video_path: the pictures.
            audio_path: the sound, its first sample at the first picture; None: the video's own.
            face: whose mouth is compared where there are several: ``speaking`` (of each shot the
                one that the sound belongs to, or those that follow one another), ``largest``,
                or a number of ``details["tracks"]``.
            progress: told how far each stage is; ``progress.bars`` draws it on stderr.

        Returns:
            ``(score, details)``. ``score`` is a calibrated probability, 0…1, or None where there
            is no evidence (nobody speaks, or too short); where the offset drifts or jumps, the
            share of the time in sync. ``details`` holds, in plain numbers
            and texts:

            - ``status``: ``ok``, or why there is no offset: ``no_speech``, ``too_short``,
              ``weak`` (no clear relation), ``edge`` (it may lie beyond what was looked at)
            - ``offset_ms``: float, how much the sound must be delayed (> 0: it leads), finer
              than a frame; None where undetermined
            - ``offset_frames``: int, the same in frames of 40 ms, or None
            - ``offset_probability``: float 0…1, the chance that this offset is right, or None
            - ``verdict``: the result in words
            - ``bt1359``: ``undetectable``, ``detectable`` or ``unacceptable``, what viewers make of
              the offset (ITU-R BT.1359-1), with a drift or jumps where it is worst; or None
            - ``confidence``: float ≥ 0, LSE-C, or None
            - ``min_distance``: float 0…2, LSE-D, or None
            - ``curve``: ``{"offset_ms": [...], "similarity": [...]}``, cosine −1…1, None where
              too little sound supports an offset
            - ``per_second``: list of the score of each second, None with too little speech or
              face
            - ``face_share``: float 0…1, share of frames with the followed face
            - ``duration_s``: float, length of the picture
            - ``faces``: int, how many faces were followed
            - ``tracks``: list of these, each a dict: ``number``, ``shot``, ``start_s``, ``end_s``,
              ``boxes`` (time in s and x0, y0, x1, y1 in pixels; one a second, and more where the
              face moves: between them it is on a line), ``score``,
              ``offset_ms`` and ``confidence`` of its own (or None), and ``chosen``, whether the
              result is of it
            - ``voice_over``: numbers of the shots that are left out because somebody speaks whom
              they do not show
            - ``timeline``: how the offset goes over time, or None: ``kind`` (``constant``,
              ``drift``, ``jumps``), ``drift_ppm``, ``pieces`` (``start_s``, ``end_s``, and the
              offsets there, ``offset_ms`` and ``end_offset_ms``). With a drift or jumps
              ``offset_ms`` is its median over time
            - ``offsets``: list of dicts, what stretches of 4 s show by themselves: ``time_s``,
              ``offset_ms``, ``probability``
            - ``notes``: list of texts, what was left out or is damaged
            - ``undetermined``: ``status`` in words, or None
            - ``video``, ``audio``: the files judged
            - ``model``: dict, ``file`` and ``sha256`` of the checkpoint that judged them

        Raises:
            MediaError: one of its kinds says what is wrong with which file.
        """
        from ..preprocessing.extract import extract_clip
        from ..scoring.clip_evidence import evidence_of_faces
        from ..scoring.speakers import FaceEvidence, choose_faces, cuts_between, voice_over_notes

        reach = self.config.inference.max_offset_frames * HOPS_PER_FRAME
        with TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True) as folder:
            clip = extract_clip(
                video_path, audio_path, self.config.data, self.detector, Path(folder), threads=0,
                everyone=True, progress=progress,
            )  # fmt: skip
            found = evidence_of_faces(self.trained.model, clip, reach, progress)
            faces = [
                FaceEvidence(
                    number, track.shot, track.shot_begin, track.first_frame, track.boxes, evidence
                )
                for number, (track, evidence) in enumerate(zip(clip.tracks, found, strict=True))
            ]
        calibration = self.trained.calibration
        least = self.config.inference.min_offset_probability
        speakers = choose_faces(faces, face, calibration, least)
        score, details = build_result(
            [face.evidence for face in speakers.chosen], clip.n_frames, calibration, least,
            cuts_between(faces),
        )  # fmt: skip
        return score, details | {
            "tracks": describe_tracks(faces, speakers, calibration),
            "voice_over": speakers.voice_over,
            "face_share": round(clip.face_share, 4),
            "duration_s": round(clip.duration_s, 3),
            "faces": clip.faces,
            "notes": clip.notes + voice_over_notes(faces, speakers) + details["notes"],
            "video": str(video_path),
            "audio": str(video_path if audio_path is None else audio_path),
            "model": self._model,
        }

    def sync_video_audio(
        self,
        video_path: str | Path,
        audio_path: str | Path | None,
        output_path: str | Path,
        face: str | int = "speaking",
        fit: str = "pad",
        progress: Progress = no_progress,
    ) -> tuple[bool, str]:
        """Measure a pair, mend its sound along the offset over time, and measure the result.

        One offset is mended by delaying or advancing the sound, a drift by making it longer or
        shorter, jumps piece by piece. The picture keeps every frame (see ``muxing.retime_audio``).
        The output appears complete or not at all; where the evidence is too weak nothing is
        written.

        Args:
            face, progress: as in ``compute_sync_score``.
            fit: where picture and mended sound are not of one length, ``pad``, ``trim`` or
                ``loop`` (see ``muxing.retime_audio``).

        Returns:
            ``(True, "audio lagged by 120 ms, corrected; score 0.08 → 0.97")`` or
            ``(False, reason)``. What could not be kept as it was is added as notes.

        Raises:
            MediaError: an input cannot be used.
            ConfigError: no such ``fit``.
            OutputError: the output cannot be written, or is one of the inputs.
        """
        success, message, found = self.correct_sync(
            video_path, audio_path, output_path, face, fit, progress
        )
        return success, "; ".join([message, *found["notes"]])

    def correct_sync(
        self,
        video_path: str | Path,
        audio_path: str | Path | None,
        output_path: str | Path,
        face: str | int = "speaking",
        fit: str = "pad",
        progress: Progress = no_progress,
    ) -> tuple[bool, str, dict]:
        """As ``sync_video_audio``, and what was measured.

        Returns:
            ``(success, message, measured)``; ``measured`` holds ``score_before`` and ``details``
            of the pair as given, ``notes`` (texts: what could not be kept as it was) and, on
            success, of the result ``score``, ``residual_ms`` (where it is largest), and
            ``applied_ms`` (the median over time).
        """
        from ..correction.duration import check_fit
        from ..correction.remux import retime_audio
        from ..scoring.local_offsets import local_outlier_notes
        from ..scoring.timeline import Timeline

        check_fit(fit)
        output = check_output_path(output_path, [video_path, audio_path], VIDEO_SUFFIXES)
        before, details = self.compute_sync_score(video_path, audio_path, face, progress)
        measured = {"score_before": before, "score": None, "details": details, "notes": []}
        if details["undetermined"]:
            return False, tr("nothing changed: {why}", why=details["undetermined"]), measured
        length_s = details["duration_s"]
        applied = Timeline.from_numbers(details["timeline"])

        def lay(way: str) -> list[str]:
            try:
                return retime_audio(video_path, audio_path, aside, applied, way)
            except OutputError as error:  # say the name that was asked for
                raise OutputError(str(error).replace(str(aside), str(output))) from None

        try:
            with folder_created(output.parent), written_atomically(output) as aside:
                for _ in range(ROUNDS):
                    # What is shown again belongs to other words: it is measured before.
                    notes = lay("pad" if fit == "loop" else fit)
                    after, mended = self.compute_sync_score(aside, face=face, progress=progress)
                    if mended["undetermined"]:
                        raise _NotCorrectedError
                    left = Timeline.from_numbers(mended["timeline"])
                    residual = left.largest(length_s)
                    if abs(residual) <= CORRECTED_TOLERANCE_MS:
                        break
                    applied = applied.plus(left, length_s)
                else:
                    raise _NotCorrectedError
                if fit == "loop":
                    notes = lay("loop")
        except _NotCorrectedError:
            if mended["undetermined"]:
                why = tr("after the correction, {why}", why=mended["undetermined"])
            else:
                why = tr("the corrected sound still measures {ms:+.0f} ms", ms=residual)
            return False, tr("nothing written: {why}", why=why), measured
        notes += local_outlier_notes(mended["offsets"], mended["timeline"], mended=True)
        measured |= {"score": after, "notes": notes, "residual_ms": round(residual, 1),
                     "applied_ms": round(applied.middle(length_s), 1)}  # fmt: skip
        return True, correction(details, before, after), measured

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
    ) -> list[dict]:
        """Mend many pairs, or judge them; one that cannot be used does not stop the rest.

        Args:
            pairs: (video, sound or None) each.
            output_dir: where ``<video name>_synced<suffix>`` go; made if it is missing. None:
                ``paths.output_dir``. Not used with ``score_only``.
            progress: wraps the pairs, for example ``tqdm.tqdm``; it is asked for the next one as
                each gets done.
            workers: 1: in this process, with the model that is loaded. More: so many processes; 0:
                one for each core. Each loads the model anew from its file, and a file on which a
                decoder crashes costs only itself. Call it then from a script below
                ``if __name__ == "__main__":``, which the processes import.
            summary: a table (.csv) as ``--summary`` of the command writes it, brought up to date
                after each pair. What it tells the result of is not worked on again, unless one of
                the files, the model or the settings have changed, the output is gone, or the pair
                could not be read. None: no table, all pairs are worked on.
            score_only: judge the pairs and write no videos.
            face, fit: as in ``sync_video_audio``, for all pairs.

        Returns:
            a dict a pair, in order: ``video``, ``audio`` (None: the video's own), ``success``
            (bool: a video was written, or, with ``score_only``, an offset was found), ``message``,
            ``output`` (path or None), ``score`` (float 0…1 of the pair as given, or None),
            ``details`` (as in ``compute_sync_score``, or None where the pair could not be read, or
            where an earlier run worked on it: ``summary`` does not hold them).

        Raises:
            ConfigError: no such ``fit`` or ``workers``.
            OutputError: the folder cannot be made, or the table cannot be written.
            DatasetError: ``summary`` is a file of another kind.
        """
        from ..correction.duration import check_fit
        from .batch import run_batch
        from .pairs import with_outputs

        check_fit(fit)
        if type(workers) is not int or workers < 0:
            raise ConfigError(tr("workers = {n}: 0 or more, in whole numbers", n=workers))
        if summary is not None:
            summary = check_output_path(summary, [], {".csv"})
        folder, options = None, {"face": face}
        if not score_only:
            folder = ensure_folder(output_dir or self.config.paths.output_dir)
            options["fit"] = fit
        work = with_outputs(pairs, folder, **options)
        here = workers == 1
        spec = replace(self.spec, sha256=self._model["sha256"]) if here else self.spec
        turns = iter(progress(work))
        next(turns, None)  # shown before the first pair is done
        results = run_batch(
            spec, work, summary, workers, lambda: next(turns, None), self if here else None, True
        )
        keys = ("video", "audio", "success", "message", "output", "score", "details")
        return [{key: result[key] for key in keys} for result in results]

    def rank_audio(
        self,
        video_path: str | Path,
        audio_paths: list[str | Path],
        face: str | int = "speaking",
    ) -> list[dict]:
        """Which of several sounds belongs to a video, in sync or not: the best first.

        Returns:
            a dict a sound, as those of ``batch_process``: first by ``offset_probability`` in
            percent, then by ``confidence`` (LSE-C). What cannot be read comes last.
        """
        from .batch import ranked

        return ranked(self, [(video_path, sound) for sound in audio_paths], face)

    def rank_videos(
        self,
        audio_path: str | Path,
        video_paths: list[str | Path],
        face: str | int = "speaking",
    ) -> list[dict]:
        """Which of several videos a sound belongs to, as ``rank_audio``."""
        from .batch import ranked

        return ranked(self, [(video, audio_path) for video in video_paths], face)


class _NotCorrectedError(Exception):
    """The measured result is no better: drop it."""
