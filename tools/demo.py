"""`make demo`: the four steps on synthetic talking faces.

Generates a small corpus with a known offset of 0, preprocesses it and trains on it, shifts the
audio of a clip that was not trained on, and lets the trained model measure and correct the offset.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import SCORING_SETTINGS, make_parser, run, settings_of
from src.core.config import override_key
from src.core.errors import LipSyncError
from src.i18n.messages import tr

ROOT = Path(__file__).resolve().parents[1]
CLIPS, SECONDS, SPEAKERS, EPOCHS = 40, 4.0, 6, 40
UNSEEN_SEED = 90_001
# The demo keeps its files apart from the user's own data and checkpoints.
FOLDER, CHECKPOINTS, LOGS = "data/demo", "checkpoints/demo", "logs/demo"


def step(title: str, *command: str, capture: bool = False) -> str:
    """Run one command of the project as a user would, printing it as typed.

    Raises:
        LipSyncError: it failed; its own message was printed before.
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


def set_options(overrides: Iterable[str]) -> list[str]:
    """``--set`` before each."""
    return [part for override in overrides for part in ("--set", override)]


def affects_scoring(override: str) -> bool:
    """Whether a setting is one that scoring takes; the steps before take all."""
    key = override_key(override)
    return key in SCORING_SETTINGS or key.partition(".")[0] in SCORING_SETTINGS


def main() -> int:
    parser = make_parser(
        tr("Run the four steps on synthetic talking faces."),
        "python tools/demo.py --shift-ms 120 --set training.batch_size=8",
    )
    parser.add_argument(
        "--shift-ms", type=float, default=-200.0,
        help=tr("injected offset in ms: > 0 audio leads, < 0 audio lags"),
    )  # fmt: skip
    parser.add_argument("--clips", type=int, default=CLIPS, help=tr("number of clips to generate"))
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=tr("number of training epochs"))
    args = parser.parse_args()
    settings_of(args)  # an invalid setting is rejected before anything is written

    from tools.synthetic_talker import make_clip

    start_time = time.monotonic()
    demo_settings = [
        f"data.video_dir={FOLDER}/videos", f"data.audio_dir={FOLDER}/audios",
        f"data.processed_dir={FOLDER}/processed", f"paths.checkpoint_dir={CHECKPOINTS}",
        f"paths.log_dir={LOGS}", "training.device=auto", f"training.num_epochs={args.epochs}",
    ]  # fmt: skip
    user_options = ["--config", str(Path(args.config).absolute())] if args.config else []
    scoring_options = [*user_options, *set_options(filter(affects_scoring, args.overrides))]
    settings = set_options(demo_settings) + user_options + set_options(args.overrides)
    step(tr("1/4 folders"), "setup_directories.py")
    step(
        tr("talking faces"), "tools/synthetic_talker.py", "--output", FOLDER,
        "--num-clips", str(args.clips), "--seconds", str(SECONDS), "--speakers", str(SPEAKERS),
    )  # fmt: skip
    step(tr("2/4 preprocessing"), "src/data_processing.py", *settings)
    step(tr("3/4 training"), "src/train.py", *settings)

    unseen = ROOT / FOLDER / "unseen.mp4"
    make_clip(unseen, UNSEEN_SEED, SECONDS, shift_ms=args.shift_ms)
    video_path = unseen.relative_to(ROOT).as_posix()
    result = json.loads(
        step(tr("4/4 measure and correct the offset of a clip that was not trained on"),
             "src/inference.py", "--checkpoint", f"{CHECKPOINTS}/best_model.pth",
             "--video", video_path, "--output", "outputs/demo_synced.mp4", "--overwrite",
             "--plot", "outputs/demo_offset.png", "--json", *scoring_options,
             capture=True)
    )  # fmt: skip
    offset_ms = result["details"]["offset_ms"]
    print(tr("injected offset: {ms:+.0f} ms", ms=args.shift_ms))
    print(tr("measured offset: {ms:+.0f} ms", ms=offset_ms))
    print(result["message"])
    print(tr("video: {path}", path="outputs/demo_synced.mp4"))
    print(tr("image: {path}", path="outputs/demo_offset.png"))
    print(tr("done in {minutes:.1f} minutes", minutes=(time.monotonic() - start_time) / 60))
    return 0


if __name__ == "__main__":
    run(main)
