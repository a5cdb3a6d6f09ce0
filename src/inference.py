"""CLI and LipSyncInference: score a pair, find its offset, mend it."""

import json
import math
import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.cli import make_parser, run, settings_of
from src.config import Config, load_config
from src.errors import ConfigError, LipSyncError, OutputError
from src.files import made_folder, written_aside
from src.messages import tr

FRAME_MS = 40
STEPS_PER_FRAME = 4
IN_SYNC_MS = FRAME_MS  # the verdict says "in sync" within ±1 frame
MENDED_MS = 20  # a mended sound is measured again and must be this close to zero
ROUNDS = 2  # a second, finer correction where the first leaves more than that


class LipSyncInference:
    """Judges and mends video + audio pairs with a trained model.

    Args:
        checkpoint_path: a ``.pth`` of ``src/train.py``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``; None is ``auto``.
        config: settings; only the ``inference`` section is used, those the model was trained
            with come from the checkpoint. None: ``config.yaml``.

    Raises:
        MissingFileError, CheckpointError: the checkpoint cannot be used.
        ConfigError: no such device.
    """

    def __init__(
        self,
        checkpoint_path: str | Path,
        device: str | None = None,
        config: Config | None = None,
    ):
        from src.checkpoint import load_trained
        from src.device import choose_device
        from src.faces import make_detector

        self.settings = (config or load_config()).inference
        self.device = choose_device(device or "auto")
        self.trained = load_trained(checkpoint_path, self.device)
        self.detector = make_detector(self.trained.config.data)

    def compute_sync_score(
        self, video_path: str | Path, audio_path: str | Path | None = None
    ) -> tuple[float | None, dict]:
        """How likely it is that the pair, as given, is in sync.

        Args:
            video_path: the pictures.
            audio_path: the sound, its first sample at the first picture; None: the video's own.

        Returns:
            ``(score, details)``. ``score`` is a calibrated probability, 0…1, or None where there
            is no evidence (nobody speaks). ``details`` holds, in plain numbers and texts:

            - ``offset_ms``: float, how much the sound must be delayed (> 0: it leads), finer
              than a frame; None where undetermined
            - ``offset_frames``: int, the same in frames of 40 ms, or None
            - ``offset_probability``: float 0…1, the chance that this offset is right, or None
            - ``verdict``: the result in words
            - ``confidence``: float ≥ 0, LSE-C, or None
            - ``min_distance``: float 0…2, LSE-D, or None
            - ``curve``: ``{"offset_ms": [...], "similarity": [...]}``, cosine −1…1, None where
              too little sound supports an offset
            - ``per_second``: list of the score of each second, None where nobody speaks or no
              face is seen
            - ``face_share``: float 0…1, share of frames with the followed face
            - ``duration_s``: float, length of the picture
            - ``undetermined``: why there is no offset, or None
            - ``video``, ``audio``: the files judged

        Raises:
            MediaError: one of its kinds says what is wrong with which file.
        """
        from src.calibration import peak_probability, sync_probability
        from src.clip_features import extract_clip
        from src.embedding import evidence_of
        from src.metrics import curve_of, lse, peak_ms

        clip = extract_clip(
            video_path, audio_path, self.trained.config.data, self.detector, threads=0
        )
        reach = self.settings.max_offset_frames * STEPS_PER_FRAME
        tracks = [
            evidence_of(
                self.trained.model, track.crops, track.mfcc, track.speech, reach, track.first_frame
            )
            for track in clip.tracks
        ]
        curve = curve_of(tracks)
        calibration = self.trained.calibration
        score = sync_probability(curve, calibration)
        certainty = peak_probability(curve, calibration)
        offset = peak_ms(curve)
        why = None
        if offset is None:
            why = tr("nobody speaks while the face is seen")
        elif certainty is None or certainty < self.settings.min_offset_probability:
            why = tr("the mouth and the sound show no clear relation")
        distance, confidence = lse(curve) if offset is not None else (None, None)
        details = {
            "offset_ms": None if why else round(offset, 1),
            "offset_frames": None if why else round(offset / FRAME_MS),
            "offset_probability": _rounded(certainty),
            "verdict": tr("undetermined: {why}", why=why) if why else verdict(offset),
            "confidence": _rounded(confidence),
            "min_distance": _rounded(distance),
            "curve": {
                "offset_ms": [int(step) * 10 for step in curve.offsets],
                "similarity": [_rounded(value) for value in curve.similarity],
            },
            "per_second": [
                _rounded(value) for value in _score_by_second(tracks, clip.n_frames, calibration)
            ],
            "face_share": round(clip.face_share, 4),
            "duration_s": round(clip.duration_s, 3),
            "undetermined": why,
            "video": str(video_path),
            "audio": str(audio_path or video_path),
        }
        return score, details

    def sync_video_audio(
        self, video_path: str | Path, audio_path: str | Path | None, output_path: str | Path
    ) -> tuple[bool, str]:
        """Measure a pair, delay or advance its sound by the offset, and measure the result.

        The picture keeps every frame (see ``muxing.move_sound``). The output appears complete or
        not at all; where the evidence is too weak nothing is written.

        Returns:
            ``(True, "audio lagged by 120 ms, corrected; score 0.08 → 0.97")`` or
            ``(False, reason)``.

        Raises:
            MediaError: an input cannot be used.
            OutputError: the output cannot be written, or is one of the inputs.
        """
        success, message, _ = self.mend(video_path, audio_path, output_path)
        return success, message

    def mend(
        self, video_path: str | Path, audio_path: str | Path | None, output_path: str | Path
    ) -> tuple[bool, str, dict]:
        """As ``sync_video_audio``, and what was measured.

        Returns:
            ``(success, message, measured)``; ``measured`` holds ``score_before`` and ``details``
            of the pair as given and, on success, ``score``, ``residual_ms`` and ``applied_ms``
            of the result.
        """
        from src.muxing import move_sound

        output = _checked_output(output_path, [video_path, audio_path])
        before, details = self.compute_sync_score(video_path, audio_path)
        measured = {"score_before": before, "score": None, "details": details}
        if details["undetermined"]:
            return False, tr("nothing changed: {why}", why=details["undetermined"]), measured
        delay = details["offset_ms"]
        try:
            with written_aside(output) as aside:
                for _ in range(ROUNDS):
                    try:
                        move_sound(video_path, audio_path, aside, delay)
                    except OutputError as error:  # say the name that was asked for
                        raise OutputError(str(error).replace(str(aside), str(output))) from None
                    applied = delay
                    after, mended = self.compute_sync_score(aside)
                    residual = mended["offset_ms"]
                    if residual is None or abs(residual) <= MENDED_MS:
                        break
                    delay += residual
                if residual is None or abs(residual) > IN_SYNC_MS:
                    raise _NotMendedError
        except _NotMendedError:
            left = mended["undetermined"] or mended["verdict"]
            return False, tr("nothing written: after the correction, {left}", left=left), measured
        measured |= {"score": after, "residual_ms": residual, "applied_ms": round(applied, 1)}
        return True, _what_was_done(details["offset_ms"], before, after), measured

    def batch_process(
        self,
        pairs: list[tuple[str | Path, str | Path | None]],
        output_dir: str | Path,
        progress=iter,
    ) -> list[dict]:
        """Mend many pairs; one that cannot be used does not stop the rest.

        Args:
            pairs: (video, sound or None) each.
            output_dir: where ``<video name>_synced<suffix>`` go; made if it is missing.
            progress: wraps the pairs, for example ``tqdm.tqdm``.

        Returns:
            a dict a pair, in order: ``video``, ``audio``, ``success`` (bool), ``message``,
            ``output`` (path or None), ``score`` (of the pair as given, or None), ``details``
            (as in ``compute_sync_score``, or None where the pair could not be read).

        Raises:
            OutputError: the folder cannot be made.
        """
        folder = made_folder(Path(output_dir))
        results = []
        taken = {Path(path).resolve() for pair in pairs for path in pair if path is not None}
        for video, audio in progress(pairs):
            output = _free_name(folder, Path(video), taken)
            result = {"video": str(video), "audio": None if audio is None else str(audio),
                      "success": False, "output": None, "score": None, "details": None}  # fmt: skip
            try:
                result["success"], result["message"], found = self.mend(video, audio, output)
                result["score"], result["details"] = found["score_before"], found["details"]
            except LipSyncError as error:
                result["message"] = str(error)
            if result["success"]:
                result["output"] = str(output)
            results.append(result)
        return results


class _NotMendedError(Exception):
    """The measured result is no better: drop it."""


def verdict(offset_ms: float) -> str:
    """An offset in words."""
    if abs(offset_ms) < IN_SYNC_MS:
        return tr("in sync (offset {ms:+.0f} ms)", ms=offset_ms)
    if offset_ms > 0:
        return tr("audio leads by {ms:.0f} ms", ms=offset_ms)
    return tr("audio lags by {ms:.0f} ms", ms=-offset_ms)


def _what_was_done(offset_ms: float, before: float | None, after: float | None) -> str:
    if round(offset_ms) == 0:
        return tr("audio is in sync; score {before} → {after}",
                  before=_shown(before), after=_shown(after))  # fmt: skip
    if offset_ms > 0:
        return tr("audio led by {ms:.0f} ms, corrected; score {before} → {after}",
                  ms=offset_ms, before=_shown(before), after=_shown(after))  # fmt: skip
    return tr("audio lagged by {ms:.0f} ms, corrected; score {before} → {after}",
              ms=-offset_ms, before=_shown(before), after=_shown(after))  # fmt: skip


def _shown(score: float | None) -> str:
    return "–" if score is None else f"{score:.2f}"


def _rounded(value: float | None) -> float | None:
    """Four digits, and None for NaN: JSON knows no NaN."""
    return None if value is None or math.isnan(value) else round(float(value), 4)


def _score_by_second(tracks: list, n_frames: int, calibration: dict) -> list[float | None]:
    from src.calibration import sync_probability
    from src.media import FPS
    from src.metrics import curve_of

    scores = []
    for second in range(math.ceil(n_frames / FPS)):
        parts = []
        for track in tracks:
            first = max(0, second * FPS - track.first_frame)
            last = max(0, (second + 1) * FPS - track.first_frame)
            part = track.part(first, last)
            if len(part.similarity):
                parts.append(part)
        scores.append(sync_probability(curve_of(parts), calibration) if parts else None)
    return scores


def _checked_output(output_path: str | Path, inputs: list) -> Path:
    output = Path(output_path)
    for given in inputs:
        if given is None or not (output.exists() and Path(given).exists()):
            continue  # what is missing is reported where it is read
        if output.samefile(given):
            raise OutputError(
                tr("the output {path} is an input: choose another name", path=output_path)
            )
    if output.is_dir():
        raise OutputError(tr("the output {path} is a folder: name a file", path=output_path))
    made_folder(output.parent)
    return output


def _free_name(folder: Path, video: Path, taken: set[Path]) -> Path:
    """``<video name>_synced<suffix>``, numbered where that name is taken: by the output of
    another video of a batch, or by an input."""
    number = 1
    while True:
        tail = "_synced" if number == 1 else f"_synced_{number}"
        path = folder / f"{video.stem}{tail}{video.suffix}"
        if path.resolve() not in taken:
            taken.add(path.resolve())
            return path
        number += 1


def _parse():
    parser = make_parser(
        tr("Score a video and its sound, find the offset and mend it."),
        "python src/inference.py --checkpoint checkpoints/best_model.pth --video v.mp4 "
        "--audio a.wav --output outputs/v_synced.mp4",
    )
    parser.add_argument("--checkpoint", required=True, help=tr("the trained model (.pth)"))
    parser.add_argument("--video", required=True, help=tr("the video"))
    parser.add_argument("--audio", help=tr("the sound; left out: the video's own"))
    parser.add_argument(
        "--output", help=tr("the mended video (default: <video>_synced in paths.output_dir)")
    )
    parser.add_argument("--score-only", action="store_true", help=tr("judge, write no video"))
    parser.add_argument("--plot", help=tr("also draw the result as this picture (.png)"))
    parser.add_argument("--json", action="store_true", help=tr("print one JSON object"))
    parser.add_argument("--device", default="auto", help=tr("auto, cpu, cuda or cuda:N"))
    args = parser.parse_args()
    if args.score_only and args.output:
        parser.error(tr("--score-only writes no video: leave out --output"))
    return args


def main() -> int:
    args = _parse()
    for override in args.overrides:
        if override.startswith(("data.", "model.", "training.")):
            raise ConfigError(
                tr("--set {override}: here these settings come from the checkpoint; "
                   "inference.* and paths.* can be set", override=override)
            )  # fmt: skip
    config = settings_of(args)
    judge = LipSyncInference(args.checkpoint, args.device, config)
    if args.score_only:
        score, details = judge.compute_sync_score(args.video, args.audio)
        result, success, message = {"score": score, "details": details}, True, None
    else:
        video = Path(args.video)
        output = args.output or _free_name(Path(config.paths.output_dir), video, set())
        success, message, found = judge.mend(args.video, args.audio, output)
        score, details = found["score_before"], found["details"]
        result = {"score": score, "details": details, "success": success, "message": message,
                  "output": str(output) if success else None}  # fmt: skip
    if args.plot:
        from src.rendering import plot_result

        plot_result(score, details, args.plot)
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
        return 0 if success else 1
    print_result(score, details)
    if message:
        print(message)
    if not args.score_only and success:
        print(tr("output: {path}", path=output))
    if args.plot:
        print(tr("picture: {path}", path=args.plot))
    return 0 if success else 1


def print_result(score: float | None, details: dict) -> None:
    """The result for a person."""
    shown = tr("undetermined") if score is None else f"{score:.4f}"
    print(tr("sync score: {score}", score=shown))
    print(tr("verdict: {text}", text=details["verdict"]))
    if details["offset_ms"] is not None:
        print(tr("offset: {ms:+.1f} ms ({frames:+d} frames); the chance that this is right: "
                 "{chance:.0%}",
                 ms=details["offset_ms"], frames=details["offset_frames"],
                 chance=math.floor(details["offset_probability"] * 100) / 100))  # fmt: skip
    if details["confidence"] is not None:
        print(tr("confidence (LSE-C): {c:.3f}, minimum distance (LSE-D): {d:.3f}",
                 c=details["confidence"], d=details["min_distance"]))  # fmt: skip
    print(tr("face seen in {share:.0%} of {seconds:.1f} s",
             share=details["face_share"], seconds=details["duration_s"]))  # fmt: skip


if __name__ == "__main__":
    run(main)
