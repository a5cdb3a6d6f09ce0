"""`make demo`: the four steps on talking faces the project makes itself.

Makes a small corpus with known offset 0, processes it and trains on it, shifts the sound of a
clip that was not trained on, and has the trained model find and mend the shift.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import make_parser, run, settings_of
from src.core.errors import LipSyncError
from src.i18n.messages import tr

ROOT = Path(__file__).resolve().parents[1]
CLIPS, SECONDS, SPEAKERS, EPOCHS = 40, 4.0, 6, 40
UNSEEN_SEED = 90_001
# Everything of the demo stays apart from the user's own data and checkpoints.
FOLDER, CHECKPOINTS, LOGS = "data/demo", "checkpoints/demo", "logs/demo"


def step(title: str, *command: str, capture: bool = False) -> str:
    """Run one command of the project as a user would, shown as it is typed.

    Raises:
        LipSyncError: it failed; its own message stands above.
    """
    print(f"\n=== {title}\n$ python {' '.join(command)}", flush=True)
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, text=True, encoding="utf-8",
        stdout=subprocess.PIPE if capture else None,
    )  # fmt: skip
    if done.returncode:
        print(done.stdout or "", end="")
        raise LipSyncError(tr("the demo stopped: {command} failed", command=command[0]))
    return done.stdout if capture else ""


def main() -> int:
    parser = make_parser(
        tr("Run the four steps on talking faces made on the spot."),
        "python tools/demo.py --shift-ms 120 --set training.batch_size=8",
    )
    parser.add_argument(
        "--shift-ms", type=float, default=-200.0,
        help=tr("by how much the sound is put off: > 0 early, < 0 late"),
    )  # fmt: skip
    parser.add_argument("--clips", type=int, default=CLIPS, help=tr("clips to make"))
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=tr("epochs to train"))
    args = parser.parse_args()
    settings_of(args)  # a wrong setting is refused before anything is made

    from tools.synthetic_talker import make_clip

    begun = time.monotonic()
    own = [
        f"data.video_dir={FOLDER}/videos", f"data.audio_dir={FOLDER}/audios",
        f"data.processed_dir={FOLDER}/processed", f"paths.checkpoint_dir={CHECKPOINTS}",
        f"paths.log_dir={LOGS}", "training.device=auto", f"training.num_epochs={args.epochs}",
    ]  # fmt: skip
    given = ["--config", str(Path(args.config).absolute())] if args.config else []
    given += [part for override in args.overrides for part in ("--set", override)]
    settings = [part for override in own for part in ("--set", override)] + given
    step(tr("1/4 folders"), "setup_directories.py")
    step(
        tr("talking faces"), "tools/synthetic_talker.py", "--output", FOLDER,
        "--num-clips", str(args.clips), "--seconds", str(SECONDS), "--speakers", str(SPEAKERS),
    )  # fmt: skip
    step(tr("2/4 preprocessing"), "src/data_processing.py", *settings)
    step(tr("3/4 training"), "src/train.py", *settings)

    unseen = ROOT / FOLDER / "unseen.mp4"
    make_clip(unseen, UNSEEN_SEED, SECONDS, shift_ms=args.shift_ms)
    shown = unseen.relative_to(ROOT).as_posix()
    result = json.loads(
        step(tr("4/4 find and mend the shift of a clip that was not trained on"),
             "src/inference.py", "--checkpoint", f"{CHECKPOINTS}/best_model.pth",
             "--video", shown, "--output", "outputs/demo_synced.mp4",
             "--plot", "outputs/demo_offset.png", "--json", *given, capture=True)
    )  # fmt: skip
    found = result["details"]["offset_ms"]
    print(tr("injected offset: {ms:+.0f} ms", ms=args.shift_ms))
    print(tr("found offset:    {ms:+.0f} ms", ms=found))
    print(result["message"])
    print(tr("video:   {path}", path="outputs/demo_synced.mp4"))
    print(tr("picture: {path}", path="outputs/demo_offset.png"))
    print(tr("done in {minutes:.1f} minutes", minutes=(time.monotonic() - begun) / 60))
    return 0


if __name__ == "__main__":
    run(main)
