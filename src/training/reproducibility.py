"""Seeds and random states."""

import random

import numpy as np
import torch


def random_states() -> dict:
    """Of Python, NumPy and PyTorch, in plain builtins and tensors."""
    kind, keys, place, gauss, value = np.random.get_state()
    version, inner, other = random.getstate()
    return {
        "python": [version, list(inner), other],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), place, gauss, value],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: dict) -> None:
    """What ``random_states`` gave."""
    version, inner, other = states["python"]
    random.setstate((version, tuple(inner), other))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"][: torch.cuda.device_count()])


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
