"""CLI: exports the encoders of a checkpoint, with what other programs need to run them."""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import checkpoint_of, make_checkpoint_parser, run
from src.i18n.messages import tr

FORMATS = ("pth", "onnx", "torchscript")
EXAMPLE_SEED, EXAMPLE_SECONDS = 1, 2.0
CALIBRATION_SAMPLES = 50  # of the index, for int8


def main() -> int:
    parser = make_checkpoint_parser(
        tr("Export the encoders of a checkpoint as weights, ONNX or TorchScript."),
        "python tools/export_models.py --checkpoint checkpoints/best_model.pth "
        "--output-dir exported_models --format pth,onnx",
    )
    parser.add_argument("--output-dir", type=Path, default=Path("exported_models"),
                        help=tr("the folder (default: exported_models)"))  # fmt: skip
    parser.add_argument("--format", default="pth,onnx", help="pth,onnx,torchscript")
    parser.add_argument("--no-training-heads", action="store_true",
                        help=tr("omit what only training needs"))  # fmt: skip
    parser.add_argument(
        "--create-inference-script", action="store_true",
        help=tr("also write inference_example.py, which runs without this project, and a sample "
                "for it"),
    )  # fmt: skip
    parser.add_argument("--quantize", choices=("int8",),
                        help=tr("also export ONNX in int8; needs --index"))  # fmt: skip
    parser.add_argument(
        "--index", type=Path,
        help=tr("dataset_index.pkl, to calibrate and measure int8 on"),
    )  # fmt: skip
    path = checkpoint_of(parser, args := parser.parse_args())
    formats = args.format.split(",")
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        parser.error(tr("--format: unknown: {names}; allowed: pth,onnx,torchscript",
                        names=", ".join(unknown)))  # fmt: skip
    if args.quantize and (not args.index or "onnx" not in formats):
        parser.error(tr("--quantize needs --index and onnx in --format"))

    from src.checkpoints.checkpoint import load_checkpoint, load_trained
    from src.core.device import choose_device
    from src.core.files import ensure_folder
    from src.training import export

    checkpoint, trained = load_checkpoint(path), load_trained(path, choose_device("cpu"))
    folder, model = ensure_folder(args.output_dir), trained.model
    paths = []
    if "pth" in formats:
        paths += export.export_weights(model, folder, not args.no_training_heads)
    if "onnx" in formats:
        paths += export.export_onnx(model, folder)
    if "torchscript" in formats:
        paths += export.export_torchscript(model, folder)
    paths += export.write_settings(trained, checkpoint, folder)
    if args.create_inference_script:
        paths += [export.write_example(folder), write_example_sample(trained.config.data, folder)]
    if args.quantize:
        paths += export_quantized(folder, trained, args.index)
    print_table(paths, trained)
    return 0


def write_example_sample(settings, folder: Path) -> Path:
    """Write a sample of a drawn talker, for ``inference_example.py``.

    Args:
        settings: the ``data`` section that the model was trained with.

    Raises:
        OutputError.
    """
    import shutil
    from tempfile import TemporaryDirectory

    from src.core.files import written_atomically
    from src.faces.detection import make_detector
    from src.preprocessing.extract import ExtractOptions, extract_clip
    from tools.inference_example import SAMPLE_NAME
    from tools.synthetic_talker import make_clip

    settings = settings.model_copy(update={"detector": "retinaface"})  # needs no download
    path = folder / SAMPLE_NAME
    with TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True) as work_folder:
        clip = Path(work_folder) / "talker.mp4"
        make_clip(clip, EXAMPLE_SEED, EXAMPLE_SECONDS)
        features = extract_clip(
            clip, None, settings, make_detector(settings), Path(work_folder), ExtractOptions()
        )
        with written_atomically(path) as temporary_path:
            shutil.copyfile(features.tracks[0].path, temporary_path)
    return path


def export_quantized(folder: Path, trained, index_path: Path) -> list[Path]:
    """Write int8 encoders and print their accuracy on samples they were not calibrated on.

    Raises:
        DatasetError, OutputError.
    """
    from src.core.errors import DatasetError
    from src.dataset.samples import load_samples
    from src.evaluation.measure import measure_evidence
    from src.evaluation.metrics import offset_report
    from src.scoring.evidence import SEARCH_REACH
    from src.training import export

    samples = load_samples(index_path, trained.config.data)
    calibration_samples, test_samples = samples[::2][:CALIBRATION_SAMPLES], samples[1::2]
    if not test_samples:
        raise DatasetError(tr("{path}: at least 2 samples are required", path=index_path))
    paths = export.quantize(folder, trained, calibration_samples)
    print(
        f"{'':8s} {'K = 5':>8s} {'K = 15':>8s} {tr('whole clips'):>12s} {tr('median error'):>12s}"
    )
    for name, suffix in (("float32", ".onnx"), ("int8", ".int8.onnx")):
        model = export.OnnxModel(folder, trained.model, suffix)
        report = offset_report(measure_evidence(model, test_samples, SEARCH_REACH))
        print(f"{name:8s} {report.accuracy_at[5]:8.1%} {report.accuracy_at[15]:8.1%} "
              f"{report.clip_accuracy:12.1%} {report.median_error_ms:9.0f} ms")  # fmt: skip
    return paths


def print_table(paths: list[Path], trained) -> None:
    """Print the size and the number of parameters of each file."""
    from src.models.sync_model import count_parameters

    counts = {
        "video_encoder": count_parameters(trained.model.video),
        "audio_encoder": count_parameters(trained.model.audio),
        "audio_hop_encoder": count_parameters(trained.model.audio),
        "training_head": trained.model.log_scale.numel(),
    }
    width = max(len(str(path)) for path in paths)
    print(f"{tr('file'):{width}s} {'kB':>9s} {tr('parameters'):>12s}")
    for path in paths:
        count = counts.get(path.name.split(".")[0])
        count_text = f"{count:,}" if count else "–"
        print(f"{path!s:{width}s} {path.stat().st_size / 1e3:9.1f} {count_text:>12s}")


if __name__ == "__main__":
    run(main)
