"""An index of samples of noise: faces and audio that only a memory can learn."""

from pathlib import Path

import numpy as np

from src.core.config import load_config
from src.dataset.index import INDEX_NAME, sample_settings, write_index
from tests.support.dataset_helpers import numbered_records

LENGTHS = (64, 100, 20, 40, 96, 33, 70, 90, 50, 64, 31)  # 17 segments: the third batch has one


def write_noise(folder: Path, offset_ms: float = 0.0) -> None:
    """Write the samples; the second has this clip offset."""
    config, draws, records = load_config(None, ["data.input_size=48"]), np.random.default_rng(0), []
    for number, n_frames in enumerate(LENGTHS):
        content = numbered_records(0, n_frames)
        content["crop"] = draws.integers(0, 256, content["crop"].shape)
        content["mfcc"] = draws.normal(0, 20, content["mfcc"].shape)
        np.save(folder / f"{number}.npy", content)
        records.append({"id": f"{number}", "file": f"{number}.npy", "clip": f"{number}.mp4",
                        "speaker": "", "n_frames": n_frames,
                        "offset_ms": offset_ms if number == 1 else 0.0,
                        "video_sha256": f"{number:064x}"})  # fmt: skip
    write_index(folder / INDEX_NAME, sample_settings(config.data), records)
