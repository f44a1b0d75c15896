"""HMDB51: 51 actions in 6,766 clips of films, with the three official splits (CLASS_test_split1.txt ...).

Each split takes 70 clips of a class to train, 30 to test, and leaves the others out. The name of a clip begins with
that of its film; clips of one film form a group.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.annotations import short
from benchmarks.official_lists import OfficialLists, lines_of
from benchmarks.settings import Hmdb51Settings

_LINE = re.compile(r"([^/\\]+\.avi)\s+([012])")
_PARTS = {"1": "train", "2": "test"}


class Hmdb51(OfficialLists):
    """HMDB51 with its official splits."""

    Settings = Hmdb51Settings
    settings: Hmdb51Settings
    FIRST = 26

    def rows(self, folder: Path) -> tuple[pd.DataFrame, Sequence[str]]:
        """The clips of the lists of all classes; class ids go by the alphabet."""
        ending = f"_test_split{self.settings.split}.txt"
        files = sorted(folder.glob(f"*{ending}"))
        if not files:
            raise ValueError(f"benchmark.annotations={folder} holds no list of HMDB51, as brush_hair{ending}")
        rows = []
        for path in files:
            action = path.name.removesuffix(ending)
            for line in lines_of(path):
                found = _LINE.fullmatch(line)
                if found is None:
                    raise ValueError(f"{path}: {short(line)} is no name of a clip and 0, 1 or 2")
                if found[2] in _PARTS:
                    film = found[1].partition(f"_{action}_")[0]
                    rows.append((f"{action}/{found[1]}", action, film, _PARTS[found[2]]))
        frame = pd.DataFrame(rows, columns=["file", "action", "group", "split"])
        return frame, [path.name.removesuffix(ending) for path in files]
