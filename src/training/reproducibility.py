"""Seeds and random states."""

import random

import numpy as np
import torch


def random_states() -> dict:
    """The states of Python's, NumPy's and PyTorch's generators, as plain builtins and tensors."""
    algorithm, keys, position, has_gauss, cached_gauss = np.random.get_state()
    version, internal_state, gauss_next = random.getstate()
    return {
        "python": [version, list(internal_state), gauss_next],
        "numpy": [
            algorithm, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached_gauss
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }  # fmt: skip


def set_random_states(states: dict) -> None:
    """Restore what ``random_states`` returned."""
    version, internal_state, gauss_next = states["python"]
    random.setstate((version, tuple(internal_state), gauss_next))
    algorithm, keys, *gauss_state = states["numpy"]
    np.random.set_state((algorithm, keys.numpy().astype(np.uint32), *gauss_state))
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"][: torch.cuda.device_count()])


def seed_all(seed: int) -> None:
    """Seed Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
