"""Something-Something V2: 174 actions with things in the hand in 220,847 webm clips; its validation part is tested.

The files are JSON as released: something-something-v2-train.json, -validation.json and -labels.json (or train.json,
validation.json and labels.json). A class is the template of a clip without its brackets.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.annotations import find_file, short
from benchmarks.official_lists import OfficialLists, lines_of
from benchmarks.settings import Ssv2Settings


class Ssv2(OfficialLists):
    """Something-Something V2."""

    Settings = Ssv2Settings
    settings: Ssv2Settings
    FIRST = 84

    def rows(self, folder: Path) -> tuple[pd.DataFrame, Sequence[str]]:
        """The clips of both files; class ids are those of the labels file."""
        ids = _json(folder, "labels")
        whole = isinstance(ids, dict) and sorted(map(str, ids.values())) == sorted(map(str, range(len(ids))))
        if not whole:
            raise ValueError(f"{folder}: the labels file of Something-Something V2 does not number its classes from 0")
        rows = []
        for part, split in (("train", "train"), ("validation", "test")):
            for entry in _json(folder, part):
                if not isinstance(entry, dict) or not re.fullmatch(r"\d{1,9}", str(entry.get("id"))):
                    raise ValueError(f"{folder}: {short(str(entry))} of the {part} file has no id")
                action = re.sub(r"[\[\]]", "", str(entry.get("template")))
                if action not in ids:
                    raise ValueError(f"{folder}: clip {entry['id']}: {short(action)} is no class of the labels file")
                rows.append((f"{entry['id']}.webm", action, str(entry["id"]), split))
        frame = pd.DataFrame(rows, columns=["file", "action", "group", "split"])
        return frame, sorted(ids, key=lambda name: int(ids[name]))


def _json(folder: Path, part: str) -> Any:
    names = [f"something-something-v2-{part}.json", f"{part}.json"]
    path = find_file(folder, names, f"the {part} file", "benchmark.annotations")
    try:
        return json.loads("\n".join(lines_of(path)))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read as JSON: {error}") from error
