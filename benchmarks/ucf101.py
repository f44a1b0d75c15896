"""UCF101: 101 actions in 13,320 short clips, with the three official splits (trainlist01.txt, testlist01.txt ...).

Clips that were cut from one film (v_CLASS_gNN) form a group: none is parted between train and validation.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.annotations import find_file, short
from benchmarks.official_lists import OfficialLists, lines_of
from benchmarks.settings import Ucf101Settings

_LINE = re.compile(r"(?:(\w+)/)?(v_(\w+)_g\d+)_c\d+\.avi(?:\s+(\d+))?", re.ASCII)


class Ucf101(OfficialLists):
    """UCF101 with its official splits."""

    Settings = Ucf101Settings
    settings: Ucf101Settings
    FIRST = 51

    def rows(self, folder: Path) -> tuple[pd.DataFrame, Sequence[str]]:
        """The clips of both lists; class ids are those of classInd.txt less one, which stand in the train list."""
        rows, ids = [], dict[str, int]()
        for part in ("train", "test"):
            name = f"{part}list{self.settings.split:02d}.txt"
            path = find_file(folder, [name, f"ucf101_{name}"], f"the {part} list", "benchmark.annotations")
            for line in lines_of(path):
                found = _LINE.fullmatch(line)
                if found is None or (found[1] or "").lower() not in ("", found[3].lower()):
                    raise ValueError(f"{path}: {short(line)} is no line like CLASS/v_CLASS_g01_c01.avi 1")
                action = found[1] or found[3]
                number = int(found[4] or 0) - 1
                if part == "train" and (number < 0 or ids.setdefault(action, number) != number):
                    raise ValueError(f"{path}: {short(line)} lacks the number of its class, or has another's")
                rows.append((line.split()[0], action, found[2], part))
        if sorted(ids.values()) != list(range(len(ids))):
            raise ValueError(f"benchmark ucf101: the train list numbers its {len(ids)} classes with gaps")
        frame = pd.DataFrame(rows, columns=["file", "action", "group", "split"])
        return frame, sorted(ids, key=lambda name: ids[name])
