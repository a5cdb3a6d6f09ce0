"""Footage of a person -> a presenter: faces, embeddings, crops and what each frame is good for."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from ..core.constants import FPS, WINDOW_FRAMES
from ..core.errors import PresenterError
from ..core.files import file_sha256
from ..core.progress import Progress, no_progress
from ..i18n.messages import tr
from ..media.reader import source_frames
from ..models.embedding import embed_audio, embed_video
from ..preprocessing.clip_features import ClipFeatures, TrackFeatures
from ..preprocessing.extract import ExtractOptions, extract_clip
from ..scoring.clip_evidence import compute_clip_evidence
from ..scoring.clip_scoring import ScoredClip, score_clip
from .base import base_records
from .crops import crop_side, cut_crop
from .face_frames import FaceFrames, FaceTrackBoxes, check_upright, locate_face
from .geometry import FacePlacement, FaceShape, measure_shapes, place_faces
from .judge import Judge
from .quality import Quality, closed_threshold, measure_quality
from .store import (
    CLIPS_FOLDER,
    FRAME_DTYPE,
    MOUTH_SIDE,
    ClipRecord,
    ModelRecord,
    PresenterRecord,
    clip_folder_name,
    clip_written,
    grid_dtype,
    read_clip_record,
    read_presenter_record,
    write_clip_record,
    write_presenter_record,
)
from .sync_tools import SyncTools

MIN_RUN_FRAMES = 8  # frames of the file in a row that are of use
MIN_TRACK_FRAMES = 2 * WINDOW_FRAMES  # likewise, of a face track
# The mouth in a crop of the sync model, as a share of its side: rows, columns.
MOUTH_ROWS, MOUTH_COLUMNS = (0.31, 0.90), (0.17, 0.83)


@dataclass(frozen=True)
class _Run:
    """A stretch of the file without a cut or a gap, with the face.

    Attributes:
        first, stop: numbers of its frames.
        track: number of the face track.
        placement, shape: of its frames.
    """

    first: int
    stop: int
    track: int
    placement: FacePlacement
    shape: FaceShape


def learn_presenter(
    footage: list[str | Path],
    folder: str | Path,
    tools: SyncTools,
    face: str | int = "speaking",
    judge: Judge | None = None,
    progress: Progress = no_progress,
) -> list[ClipRecord]:
    """Index footage of one person into a presenter's folder; what it holds already is kept.

    Args:
        footage: video files with the person's own speech.
        folder: of the presenter; created.
        tools: the sync model; a presenter is of one model.
        face: whose lips, where there are several: as in ``speakers.choose_faces``.
        judge: measures how much in sync the footage itself is; None: nobody does.
        progress: reports each stage.

    Returns:
        the record of each file, in order.

    Raises:
        MediaError: a file cannot be read, or shows no face.
        PresenterError: the folder is of another model, or is damaged.
        OutputError: it cannot be written.
    """
    folder = Path(folder)
    model = ModelRecord(file=Path(tools.file).name, sha256=tools.sha256)
    if (folder / "presenter.json").exists():
        check_same_model(folder, read_presenter_record(folder), tools)
    else:
        write_presenter_record(folder, PresenterRecord(model=model))
    records = []
    for path in map(Path, footage):
        sha256 = file_sha256(path)
        name = clip_folder_name(path, sha256, str(face))
        done = folder / CLIPS_FOLDER / name
        if done.is_dir():
            records.append(read_clip_record(done))
            continue
        with clip_written(folder, name) as temporary:
            record = index_clip(path, sha256, temporary, tools, face, judge, progress)
            write_clip_record(temporary, record)
            records.append(record)
    return records


def check_same_model(folder: str | Path, record: PresenterRecord, tools: SyncTools) -> None:
    """Embeddings of two models cannot be compared.

    Raises:
        PresenterError.
    """
    if record.model.sha256 != tools.sha256:
        raise PresenterError(
            tr("the presenter {path} was made with another model ({file}): choose that one with "
               "--checkpoint, or make the presenter again in a new folder",
               path=folder, file=record.model.file)
        )  # fmt: skip


def index_clip(
    path: Path, sha256: str, folder: Path, tools: SyncTools, face: str | int,
    judge: Judge | None = None, progress: Progress = no_progress,
) -> ClipRecord:  # fmt: skip
    """Index one footage file into an existing, empty folder; its record is not written yet.

    Raises:
        MediaError, PresenterError, OutputError.
    """
    with TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True) as work:
        clip = extract_clip(
            path, None, tools.data, tools.detector, Path(work),
            ExtractOptions(threads=0, all_faces=True), progress,
        )  # fmt: skip
        check_upright(path, clip)
        evidence = compute_clip_evidence(tools.model, clip, tools.max_offset_hops, progress)
        scored = score_clip(clip, evidence, face, tools.calibration, tools.min_probability)
        numbers = [chosen.number for chosen in scored.speakers.chosen]
        tracks = [clip.tracks[n] for n in numbers if clip.tracks[n].n_frames >= WINDOW_FRAMES]
        boxes = [FaceTrackBoxes(track.first_frame, track.boxes) for track in tracks]
        frames = locate_face(path, boxes, progress, clip.info.n_source_frames)
        runs = [
            run for run in _find_runs(frames, clip.info.fps)
            if tracks[run.track].n_frames >= MIN_TRACK_FRAMES
        ]  # fmt: skip
        if not runs:
            raise PresenterError(
                tr("{path}: the face is visible in no stretch that could be used", path=path)
            )
        side = crop_side(np.concatenate([run.placement.pixels_per_unit() for run in runs]))
        records = _frame_records(frames, runs)
        quality = _write_crops(path, folder / "crops.npy", runs, side, progress)
        grid = _grid_records(clip, tracks, runs, frames, quality, tools)
        if not len(grid):
            raise PresenterError(
                tr("{path}: the face is visible in no stretch that could be used", path=path)
            )
        np.save(folder / "frames.npy", records, allow_pickle=False)
        np.save(folder / "grid.npy", grid, allow_pickle=False)
        audio = embed_audio(tools.model, clip.mfcc, clip.speech).astype(np.float16)
        np.save(folder / "audio.npy", audio, allow_pickle=False)
        base = base_records(frames, clip.info.fps or FPS)
        np.save(folder / "base.npy", base, allow_pickle=False)
        record = _clip_record(path, sha256, face, clip, scored, boxes, grid, quality, side)
        return _judge_clip(clip, record, face, judge, progress)


def _judge_clip(
    clip: ClipFeatures, record: ClipRecord, face: str | int, judge: Judge | None,
    progress: Progress,
) -> ClipRecord:  # fmt: skip
    """Add what the judge measures in the footage itself, at its own offset."""
    if judge is None or record.offset_ms is None:
        return record
    figures = judge.measure_clip(clip, face, record.offset_ms, progress)
    if figures is None:
        figures = judge.measure(
            record.path, face=face, true_offset_ms=record.offset_ms, progress=progress
        )
    return record.model_copy(
        update={"real_confidence": figures.confidence, "real_in_sync": figures.in_sync}
    )


def _find_runs(frames: FaceFrames, fps: float) -> list[_Run]:
    runs = []
    for first, stop in frames.runs():
        if stop - first < MIN_RUN_FRAMES:
            continue
        landmarks = frames.landmarks[first:stop]
        placement = place_faces(landmarks, fps)
        shape = measure_shapes(landmarks, placement, fps)
        runs.append(_Run(first, stop, int(frames.track[first]), placement, shape))
    return runs


def _frame_records(frames: FaceFrames, runs: list[_Run]) -> np.ndarray:
    """The frames of all runs, records [K]."""
    records = np.zeros(sum(run.stop - run.first for run in runs), FRAME_DTYPE)
    row = 0
    for number, run in enumerate(runs):
        part = records[row : row + run.stop - run.first]
        part["run"], part["number"] = number, np.arange(run.first, run.stop)
        part["time"] = frames.times[run.first : run.stop]
        part["opening"], part["width"] = run.shape.opening, run.shape.width
        part["jaw"], part["lips"] = run.shape.jaw, run.shape.lips
        row += len(part)
    return records


def _write_crops(
    path: Path, target: Path, runs: list[_Run], side: int, progress: Progress
) -> Quality:
    """Cut the lower face out of each frame of the runs, and measure how good it is."""
    rows = {}
    for run in runs:
        for number in range(run.first, run.stop):
            rows[number] = len(rows), run.placement.to_frame(number - run.first)
    shape = len(rows), side * 3 // 2, side
    crops = np.lib.format.open_memmap(target, "w+", np.uint8, shape)
    lumas = np.empty((len(rows), MOUTH_SIDE * 4, MOUTH_SIDE * 4), np.uint8)
    frames = progress(source_frames(path), tr("cutting out the face"), max(rows) + 1)
    for number, (_, frame, _) in enumerate(frames):
        if number not in rows:
            continue
        row, to_frame = rows[number]
        crops[row] = cut_crop(frame, to_frame, side)
        lumas[row] = cv2.resize(crops[row, :side], lumas.shape[1:], interpolation=cv2.INTER_AREA)
    crops.flush()
    pose = np.concatenate([run.shape.pose for run in runs])
    return measure_quality(lumas, pose)


def _grid_records(
    clip: ClipFeatures, tracks: list[TrackFeatures], runs: list[_Run], frames: FaceFrames,
    quality: Quality, tools: SyncTools,
) -> np.ndarray:  # fmt: skip
    """What frames are chosen by, on the 25 fps grid: records [N]."""
    speech = clip.speech
    dtype = grid_dtype(tools.model.spec.output_dim)
    embedded = {n: embed_video(tools.model, tracks[n].crops) for n in {run.track for run in runs}}
    parts, row = [], 0
    for number, run in enumerate(runs):
        track = tracks[run.track]
        crops, embeddings = track.crops, embedded[run.track]
        times = frames.times[run.first : run.stop]
        middle = track.first_frame + WINDOW_FRAMES // 2 + np.arange(len(embeddings))
        is_inside = (middle / FPS >= times[0]) & (middle / FPS <= times[-1])
        window = np.flatnonzero(is_inside)
        grid_frame = middle[is_inside]
        nearest = np.searchsorted((times[1:] + times[:-1]) / 2, grid_frame / FPS)
        part = np.zeros(len(window), dtype)
        part["run"], part["number"], part["time"] = number, grid_frame, grid_frame / FPS
        part["speech"] = speech[grid_frame]
        part["usable"] = quality.usable[row + nearest]
        shape = run.shape
        part["opening"], part["width"] = shape.opening[nearest], shape.width[nearest]
        part["pose"], part["embedding"] = shape.pose[nearest], embeddings[window]
        part["look"] = np.median(frames.look[run.first : run.stop], axis=0)
        part["mouth"] = _small_mouths(crops, window + WINDOW_FRAMES // 2)
        parts.append(part)
        row += run.stop - run.first
    return np.concatenate(parts)


def _small_mouths(crops: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The mouths of some crops: uint8 [n, MOUTH_SIDE, MOUTH_SIDE]."""
    side = crops.shape[1]
    rows, columns = (
        slice(*(round(share * side) for share in span)) for span in (MOUTH_ROWS, MOUTH_COLUMNS)
    )
    size = (MOUTH_SIDE, MOUTH_SIDE)
    return np.stack([
        cv2.resize(np.ascontiguousarray(crops[n][rows, columns]), size,
                   interpolation=cv2.INTER_AREA)
        for n in numbers
    ]) if len(numbers) else np.zeros((0, *size), np.uint8)  # fmt: skip


def _clip_record(
    path: Path, sha256: str, face: str | int, clip: ClipFeatures, scored: ScoredClip,
    boxes: list[FaceTrackBoxes], grid: np.ndarray, quality: Quality, side: int,
) -> ClipRecord:  # fmt: skip
    widths = np.concatenate([track.boxes[:, 2] - track.boxes[:, 0] for track in boxes])
    usable = grid[grid["usable"]]
    closed = usable["opening"] < closed_threshold(grid["opening"]) if len(usable) else usable
    return ClipRecord(
        name=path.name,
        path=str(path.absolute()),
        sha256=sha256,
        face=str(face),
        fps=clip.info.fps or FPS,
        duration_s=round(clip.duration_s, 3),
        offset_ms=scored.result.offset_ms,
        offset_probability=scored.result.offset_probability,
        face_px=round(float(np.median(widths)), 1),
        speech_s=round(float((grid["usable"] & grid["speech"]).sum()) / FPS, 2),
        profile_share=round(float(quality.profile.mean()), 4),
        blurred_share=round(float(quality.blurred.mean()), 4),
        hidden_share=round(float(quality.hidden.mean()), 4),
        closed_share=round(float(closed.mean()), 4) if len(usable) else 0.0,
        crop_side=side,
    )
