"""Bytes and seconds, from text to numbers and back."""

import math
import re
from typing import Any

BYTES = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
         "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}  # fmt: skip
_NUMBER = re.compile(r"(-?\d+(?:\.\d*)?(?:e\d+)?)\s*([A-Za-z]*)")


def parse_bytes(value: Any, name: str = "memory.budget") -> int | None:
    """Read a number of bytes: 700kB -> 700000, none -> None.

    Raises:
        ValueError: the value is not a positive number of bytes; the line names the setting.
    """
    if value is None or str(value).lower() == "none":
        return None
    text = " ".join(str(value).split())
    match = _NUMBER.fullmatch(text)
    factors = {unit.lower(): factor for unit, factor in BYTES.items()}
    readable = match is not None and match[2].lower() in factors and math.isfinite(float(match[1]))
    if isinstance(value, bool) or match is None or not readable:
        raise ValueError(f"{name}={text} is no number of bytes; write e.g. 700kB, 2MB, 1GiB, 700000 or none")
    size = int(float(match[1]) * factors[match[2].lower()]) if match[2] or not match[1].isdigit() else int(match[1])
    if size < 1:
        raise ValueError(f"{name}={text} leaves nothing to remember; give more than 0 bytes, or none for no limit")
    return size


def bytes_text(size: float) -> str:
    """A number of bytes for people, three digits and a decimal unit: 700000 -> 700 kB."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= 0.9995 * factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:.0f} B"


def seconds_text(seconds: float) -> str:
    """A length of time for people: 12 s, 3:05 min, 2:10 h, 3 d 4 h."""
    if not math.isfinite(seconds):
        return "?"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    if whole < 86400:
        return f"{whole // 3600}:{whole % 3600 // 60:02} h"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
