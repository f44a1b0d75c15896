"""What UCF101, HMDB51 and Something-Something V2 share: official lists of clips, and the class orders of TCD.

TCD (Park, Kang, Han, ICCV 2021, github.com/bellos1203/TCD, main.py): about half of the classes come in the first task,
the others in tasks of equal size. The order is `numpy.random.seed(s); numpy.random.shuffle(numpy.arange(C))` for the
seeds 1000, 1993 and 2021, over the class ids of the data set.
"""

import gzip
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.clips import ClipTable
from benchmarks.frames.find import find_videos
from benchmarks.recorded import Recorded, Recording, hold_out
from benchmarks.settings import OfficialListsSettings

SEEDS = (1000, 1993, 2021)


class OfficialLists(Recorded):
    """A benchmark whose clips stand in official lists for training and for testing."""

    settings: OfficialListsSettings
    FIRST: int  # classes of TCD's first task

    @abstractmethod
    def rows(self, folder: Path) -> tuple[pd.DataFrame, Sequence[str]]:
        """The clips of the lists, and the names of the classes by their official ids, from 0.

        The columns are file, action, group (clips that come from one film) and split (train or test).
        """

    def recording(self) -> Recording:
        """The clip table out of the lists; validation is held out of train by whole groups."""
        settings = self.settings
        if settings.annotations is None:
            raise ValueError(f"benchmark {self.name} needs benchmark.annotations=DIR: the folder with its lists")
        frame, names = self.rows(Path(settings.annotations))
        stems = frame["file"].map(lambda file: Path(file).stem)
        twice = stems[stems.duplicated()]
        if len(twice):
            raise ValueError(f"benchmark {self.name}: clip {twice.iloc[0]} stands in the lists twice")
        frame = frame.assign(sample_id=stems, start=0.0, stop=np.inf)
        train = np.flatnonzero(frame["split"] == "train")
        valid = hold_out(frame["group"].iloc[train], frame["action"].iloc[train], settings.valid, self.name)
        frame.loc[frame.index[train[valid]], "split"] = "valid"
        files = dict(zip(stems, frame["file"], strict=True))
        orders = tcd_orders(names) if settings.order == "tcd" else ()
        first = self.FIRST if settings.order == "tcd" else 0
        table = ClipTable.of(frame, Path("."), ("action",), class_orders=orders, first_classes=first)
        return Recording(table, "action", lambda root: find_videos(root, files.get))


def tcd_orders(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The class names in the three orders of TCD, of which order_seed takes one in turn."""
    orders = []
    for seed in SEEDS:
        ids = np.arange(len(names))
        np.random.RandomState(seed).shuffle(ids)
        orders.append(tuple(names[i] for i in ids.tolist()))
    return tuple(orders)


def lines_of(path: Path) -> list[str]:
    """The lines of a text file that are not blank."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
            return [line.strip() for line in file if line.strip()]
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: cannot be read as text: {error}") from error
