"""Counter-based random numbers: a generator is a function of its name and key, whoever asks and in whatever order."""

import hashlib
import json

import numpy as np


def generator(purpose: str, *key: int | str) -> np.random.Generator:
    """A numpy Philox generator for one named purpose, for example generator("class order", order_seed)."""
    text = json.dumps([purpose, *(int(part) if isinstance(part, np.integer) else part for part in key)])
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
