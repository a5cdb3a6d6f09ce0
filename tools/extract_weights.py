"""CLI: a checkpoint without the state of its training, to use and to pass on.

What is left judges clips and begins other trainings; only ``--resume`` needs the rest. With
``--half`` the weights are written with 16 bits, in half the room, and computed with in 32. With
``--weights-only`` it is the bare weights, which need ``--config`` with the settings they were
trained with, and have no calibrated score.
"""

import sys
from hashlib import sha256
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import checkpoint_of, make_checkpoint_parser, run
from src.core.errors import CheckpointError, OutputError
from src.i18n.messages import tr


def extract(
    checkpoint: Path, output: Path, weights_only: bool = False, half: bool = False
) -> list[str]:
    """Write the part of a checkpoint that judging takes, and see to it that it is there.

    Args:
        weights_only: bare weights, without settings and calibration.
        half: weights of 16 bits (relative error up to 0.0005); biases and the statistics of batch
            norms, which are small, stay as they are.

    Returns:
        what was written: the names of its parts.

    Raises:
        MissingFileError, CheckpointError, OutputError.
    """
    from src.checkpoints.checkpoint import for_inference, load_checkpoint, save_checkpoint
    from src.checkpoints.file_format import read_file, write_file

    content = load_checkpoint(checkpoint)
    if output.exists() and output.samefile(checkpoint):
        raise OutputError(tr("the output {path} is an input: choose another name", path=output))
    weights, left = content["model_state_dict"], for_inference(content, checkpoint)
    if half:
        left["model_state_dict"] = weights = halved(weights)
    if weights_only:
        write_file(output, weights)
        written = read_file(output)
    else:
        save_checkpoint(output, left)
        written = load_checkpoint(output)["model_state_dict"]
    compare(weights, written, output)
    return [tr("{n} tensors", n=len(weights))] if weights_only else sorted(left)


def halved(weights: dict) -> dict:
    """Weights of 16 bits where there are many."""
    return {
        name: tensor.half() if tensor.is_floating_point() and tensor.dim() > 1 else tensor
        for name, tensor in weights.items()
    }


def compare(weights: dict, written: dict, path: Path) -> None:
    """Compare weights tensor by tensor.

    Raises:
        CheckpointError: what was written is not what was to be written.
    """
    import torch

    same = weights.keys() == written.keys() and all(
        torch.equal(tensor, written[name]) for name, tensor in weights.items()
    )
    if not same:
        raise CheckpointError(tr("{path} does not hold what was written: is the disk sound?",
                                 path=path))  # fmt: skip


def main() -> int:
    parser = make_checkpoint_parser(
        tr("Write a checkpoint without the state of its training, to use and to pass on."),
        "python tools/extract_weights.py checkpoints/best_model.pth -o lips.pth",
    )
    parser.add_argument(
        "-o", "--output", type=Path,
        help=tr("the new file (default: <name>_inference.pth or <name>_weights.pth)"),
    )  # fmt: skip
    parser.add_argument(
        "--weights-only", action="store_true", help=tr("only the weights, without their settings")
    )
    parser.add_argument("--half", action="store_true", help=tr("weights of 16 bits: half the size"))
    parser.add_argument(
        "--delete-original", action="store_true",
        help=tr("delete the checkpoint once the new file was read and compared"),
    )  # fmt: skip
    checkpoint = checkpoint_of(parser, args := parser.parse_args())
    ending = "weights" if args.weights_only else "inference"
    output = args.output or checkpoint.with_name(f"{checkpoint.stem}_{ending}.pth")
    parts = extract(checkpoint, output, args.weights_only, args.half)
    before, after = checkpoint.stat().st_size, output.stat().st_size
    print(tr("{path}: {size:.1f} MB", path=checkpoint, size=before / 1e6))
    print(tr("{path}: {size:.1f} MB ({share:.0%} less)",
             path=output, size=after / 1e6, share=1 - after / before))  # fmt: skip
    print(tr("saved: {parts}", parts=", ".join(parts)))
    print(f"SHA-256 {sha256(output.read_bytes()).hexdigest()}")
    if args.delete_original:
        checkpoint.unlink()
        print(tr("deleted: {path}", path=checkpoint))
    return 0


if __name__ == "__main__":
    run(main)
