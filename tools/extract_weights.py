"""CLI: a checkpoint without the state of its training, to use and to pass on.

What is left judges clips and begins other trainings; only ``--resume`` needs the rest.
"""

import sys
from hashlib import sha256
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.cli import make_parser, run
from src.errors import OutputError
from src.messages import tr


def extract(checkpoint: Path, output: Path) -> None:
    """Write the part of a checkpoint that judging takes.

    Raises:
        MissingFileError, CheckpointError, OutputError.
    """
    from src.checkpoint import for_inference, load_checkpoint, save_checkpoint

    content = load_checkpoint(checkpoint)
    if output.exists() and output.samefile(checkpoint):
        raise OutputError(tr("the output {path} is an input: choose another name", path=output))
    save_checkpoint(output, for_inference(content))


def main() -> int:
    parser = make_parser(
        tr("Write a checkpoint without the state of its training, to use and to pass on."),
        "python tools/extract_weights.py checkpoints/best_model.pth -o lips.pth",
        settings=False,
    )
    parser.add_argument("checkpoint", type=Path, help=tr("the checkpoint"))
    parser.add_argument(
        "-o", "--output", type=Path, help=tr("the new file (default: <name>_inference.pth)")
    )
    args = parser.parse_args()
    output = args.output or args.checkpoint.with_name(f"{args.checkpoint.stem}_inference.pth")
    extract(args.checkpoint, output)
    for path in (args.checkpoint, output):
        print(tr("{path}: {size:.1f} MB", path=path, size=path.stat().st_size / 1e6))
    print(f"SHA-256 {sha256(output.read_bytes()).hexdigest()}")
    return 0


if __name__ == "__main__":
    run(main)
