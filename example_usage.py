"""How the API is used, on talking faces the project makes itself.

Run ``make demo`` (or ``python tools/demo.py``) first: it trains the checkpoint used here. With a
model of your own, set CHECKPOINT to ``checkpoints/best_model.pth`` and use your own files.
"""

from pathlib import Path

from src.cli import run
from src.errors import LipSyncError
from src.inference import LipSyncInference
from src.rendering import plot_result
from tools.synthetic_talker import make_clip

CHECKPOINT = Path("checkpoints/demo/best_model.pth")
CLIPS = Path("outputs/example")


def main() -> int:
    CLIPS.mkdir(parents=True, exist_ok=True)

    # Two clips whose true offset is known: the sound of the second is 120 ms late.
    good, late = CLIPS / "good.mp4", CLIPS / "late.mp4"
    make_clip(good, seed=71_001, duration_s=4)
    make_clip(late, seed=71_002, duration_s=4, shift_ms=-120)

    inference = LipSyncInference(checkpoint_path=CHECKPOINT)

    # 1. Score a pair. Without audio_path the video's own sound is judged.
    for clip in (good, late):
        score, details = inference.compute_sync_score(video_path=clip)
        print(f"{clip}: score {score:.2f}, offset {details['offset_ms']} ms, {details['verdict']}")
    plot_result(score, details, CLIPS / "late.png")

    # 2. Mend one: the picture is kept, the sound is moved.
    success, message = inference.sync_video_audio(
        video_path=late, audio_path=None, output_path=CLIPS / "late_synced.mp4"
    )
    print(f"{success}: {message}")

    # 3. Many pairs; one that cannot be read does not stop the rest.
    results = inference.batch_process(
        [(good, None), (late, None), (CLIPS / "missing.mp4", None)], output_dir=CLIPS / "batch"
    )
    for result in results:
        print(f"{result['video']}: {result['success']}, {result['message']}")

    # 4. What goes wrong is an exception of src/errors.py with one readable line.
    try:
        inference.compute_sync_score("no_such_video.mp4")
    except LipSyncError as error:
        print(f"{type(error).__name__}: {error}")
    return 0


if __name__ == "__main__":
    run(main)
