"""Indexes of synthetic samples whose video and audio both encode the frame number."""

from pathlib import Path

import numpy as np

from src.core.config import Config, parse_config
from src.dataset.index import sample_settings, write_index
from src.preprocessing.sample_file import sample_dtype


def numbered_records(first: int, n_frames: int, size: int = 48, n_mfcc: int = 40) -> np.ndarray:
    """Records whose crops and MFCC encode the number of their frame (and hop)."""
    number = first + np.arange(n_frames)
    records = np.zeros(n_frames, sample_dtype(size, n_mfcc, 4))
    records["crop"] = number[:, None, None] % 256
    records["mfcc"] = (number[:, None] + np.arange(4) / 10)[..., None]
    records["speech"] = number % 5 != 0
    return records


def write_set(folder: Path, lengths, config: Config | None = None, **fields) -> Path:
    """An index of numbered samples of these lengths; ``fields`` override those of each record."""
    config = config or parse_config({"data": {"input_size": 48}}, "test")
    records = []
    for number, n_frames in enumerate(lengths):
        file = f"{number}.npy"
        np.save(folder / file, numbered_records(1000 * number, n_frames))
        record = {"id": f"clip{number}#0", "file": file, "clip": f"clip{number}.mp4",
                  "speaker": f"speaker{number // 2}", "n_frames": n_frames,
                  "video_sha256": f"{number:064x}"}  # fmt: skip
        records.append(record | {key: values[number] for key, values in fields.items()})
    write_index(folder / "index.pkl", sample_settings(config.data), records)
    return folder / "index.pkl"
