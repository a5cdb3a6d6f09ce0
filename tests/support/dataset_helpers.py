"""Indexes of made samples in which picture and sound both say which frame they are of."""

from pathlib import Path

import numpy as np

from src.core.config import Config, parse_config
from src.dataset.index import sample_settings, write_index
from src.preprocessing.track_file import record_type


def counted_track(first: int, frames: int, size: int = 48, n_mfcc: int = 40) -> np.ndarray:
    """A sample in which picture and sound both say which frame (and step) they are of."""
    number = first + np.arange(frames)
    records = np.zeros(frames, record_type(size, n_mfcc, 4))
    records["crop"] = number[:, None, None] % 256
    records["mfcc"] = (number[:, None] + np.arange(4) / 10)[..., None]
    records["speech"] = number % 5 != 0
    return records


def write_set(folder: Path, lengths, config: Config | None = None, **fields) -> Path:
    """An index with counted tracks of these lengths; ``fields`` override by number of the clip."""
    config = config or parse_config({"data": {"input_size": 48}}, "test")
    records = []
    for number, frames in enumerate(lengths):
        file = f"{number}.npy"
        np.save(folder / file, counted_track(1000 * number, frames))
        record = {"id": f"clip{number}#0", "file": file, "clip": f"clip{number}.mp4",
                  "speaker": f"speaker{number // 2}", "n_frames": frames,
                  "video_sha256": f"{number:064x}"}  # fmt: skip
        records.append(record | {key: values[number] for key, values in fields.items()})
    write_index(folder / "index.pkl", sample_settings(config.data), records)
    return folder / "index.pkl"
