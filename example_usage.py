"""How to use the API: on a video of yours, or on a synthetic talking face.

python example_usage.py --video v.mp4
python example_usage.py --video v.mp4 --steps score live
python example_usage.py          # after ``make demo``, which trains the model it uses
"""

from pathlib import Path

from src.core.cli import add_checkpoint, make_parser, run
from src.core.constants import FPS, SAMPLE_RATE
from src.core.errors import LipSyncError
from src.core.files import ensure_folder
from src.correction.remux import shift_audio
from src.i18n.messages import tr
from src.inference import LipSyncInference
from src.media.reader import read_audio, read_frames
from src.media.writer import write_wav
from src.report.annotated_video import annotate
from src.report.html_report import write_report
from src.report.plots import plot_result
from src.stream import LipSyncStream

DEMO_CHECKPOINT = Path("checkpoints/demo/best_model.pth")
OUTPUT = Path("outputs/example")


def score(inference: LipSyncInference, video: Path, folder: Path) -> None:
    """Score a pair. Without audio_path the video's own audio track is used."""
    value, details = inference.compute_sync_score(video_path=video)
    print(value, details["offset_ms"], details["verdict"])
    for track in details["tracks"]:
        print("face", track["number"], track["score"], track["chosen"])


def correct(inference: LipSyncInference, video: Path, folder: Path) -> None:
    """Correct audio that is 200 ms late: the video stream is copied, the audio is shifted."""
    shift_audio(video, None, folder / "late.mkv", 200)
    success, message = inference.sync_video_audio(
        video_path=folder / "late.mkv", audio_path=None, output_path=folder / "corrected.mkv"
    )
    print(success, message)


def report(inference: LipSyncInference, video: Path, folder: Path) -> None:
    """A page that explains the result, a plot of it, and an annotated copy of the video."""
    value, details = inference.compute_sync_score(video)
    write_report(value, details, folder / "report.html")
    plot_result(value, details, folder / "result.png")
    annotate(video, None, details, folder / "annotated.mp4")
    print(folder / "report.html", folder / "result.png", folder / "annotated.mp4")


def batch(inference: LipSyncInference, video: Path, folder: Path) -> None:
    """Many pairs; one that cannot be read does not stop the rest."""
    pairs = [(video, None), (folder / "missing.mp4", None)]
    for result in inference.batch_process(pairs, output_dir=folder / "batch"):
        print(result["video"], result["success"], result["message"])


def rank(inference: LipSyncInference, video: Path, folder: Path) -> None:
    """Which of several audio files matches the video: its own, or that played backwards."""
    forwards, backwards = folder / "forwards.wav", folder / "backwards.wav"
    audio = read_audio(video)
    write_wav(forwards, audio)
    write_wav(backwards, audio[::-1])
    for result in inference.rank_audio(video, [backwards, forwards]):
        details = result["details"] or {}
        print(result["audio"], details.get("offset_probability"), details.get("confidence"))


def live(inference: LipSyncInference, video: Path, folder: Path) -> None:
    """Frames and audio as they arrive, with a running result."""
    stream, audio, block = LipSyncStream(inference), read_audio(video), SAMPLE_RATE // FPS
    for index, frame in enumerate(read_frames(video)):
        time_s = index / FPS
        stream.push_frames(frame.bgr, time_s)
        result = stream.push_audio(audio[index * block : (index + 1) * block], time_s)
        if index % (2 * FPS) == 0:
            print(f"{time_s:.0f} s", result.latest.status, result.latest.score)
    result = stream.flush()
    print(result.so_far.status, result.so_far.score, result.so_far.offset_ms)


def errors(inference: LipSyncInference, video: Path, folder: Path) -> None:
    """What goes wrong is an exception of src/core/errors.py with a message of one line."""
    try:
        inference.compute_sync_score("no_such_video.mp4")
    except LipSyncError as error:
        print(f"{type(error).__name__}: {error}")


STEPS = {step.__name__: step for step in (score, correct, report, batch, rank, live, errors)}


def main() -> None:
    parser = make_parser(
        tr("Show how to use the API."), "python example_usage.py --video v.mp4", settings=False
    )
    parser.add_argument("--video", type=Path, help=tr("the video (default: a synthetic face)"))
    add_checkpoint(parser)
    parser.add_argument("--output", type=Path, default=OUTPUT,
                        help=tr("the folder (default: {path})", path=OUTPUT))  # fmt: skip
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), metavar="STEP",
                        help=", ".join(STEPS))  # fmt: skip
    args = parser.parse_args()
    folder, video, checkpoint = ensure_folder(args.output), args.video, args.checkpoint
    if video is None:
        from tools.synthetic_talker import make_clip

        video, checkpoint = folder / "talker.mp4", checkpoint or DEMO_CHECKPOINT
        make_clip(video, seed=71_001, duration_s=4)
    inference = LipSyncInference(checkpoint_path=checkpoint)
    for name in args.steps:
        print(f"\n{name}")
        STEPS[name](inference, video, folder)


if __name__ == "__main__":
    run(main)
