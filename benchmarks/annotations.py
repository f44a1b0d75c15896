"""Annotation files read strictly: whatever is wrong in one ends in a single line that names file, line and value."""

import csv
import gzip
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from harness.common.words import nearest

# Far above any real file's time, far below what would overflow a frame count.
LONGEST = 1e6
_CLOCK = re.compile(r"(?:(\d{1,3}):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)", re.ASCII)
_PLAIN = re.compile(r"\d{1,7}(?:\.\d+)?", re.ASCII)
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)


class Annotations:
    """The rows of one CSV file (optionally gzipped) as text; every reading method raises ValueError for bad values.

    Columns are found by name. `columns` are required; names in it may list alternatives as "label|label-name".
    Byte-order marks, CRLF and blank lines are fine; short, long and unreadable rows are not.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = Path(path)
        header, rows, self.lines = _read(self.path)
        for column in columns:
            names = column.split("|")
            found = next((name for name in names if name in header), None)
            if found is None:
                raise ValueError(f"{self.path}: {unknown_column(names[0], header)}")
            header[header.index(found)] = names[0]
        if not rows:
            raise ValueError(f"{self.path}: holds a header and no rows")
        self.columns = dict(zip(header, zip(*rows, strict=True), strict=True))

    def __len__(self) -> int:
        return len(self.lines)

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def words(self, column: str) -> np.ndarray:
        """A column as it stands, without surrounding blanks: object [N]."""
        return np.array([value.strip() for value in self.columns[column]], dtype=object)

    def text(self, column: str) -> np.ndarray:
        """`words`, nowhere empty."""
        values = self.words(column)
        self.refuse(values == "", column, "is empty")
        return values

    def names(self, column: str, pattern: str, what: str) -> np.ndarray:
        """A column of ids that match `pattern`; keeps `../` and the like out of every path."""
        values, match = self.text(column), re.compile(pattern, re.ASCII).fullmatch
        self.refuse([match(value) is None for value in values], column, f"is no {what}")
        return values

    def unique(self, column: str, values: np.ndarray) -> None:
        """Refuse values that stand twice."""
        first = dict(zip(reversed(values.tolist()), range(len(values) - 1, -1, -1), strict=True))
        twice = [first[value] < row for row, value in enumerate(values.tolist())]
        self.refuse(twice, column, "stands in an earlier row already")

    def whole(self, column: str, below: int) -> np.ndarray:
        """A column of whole numbers from 0 to below - 1: int64."""
        values = self.text(column)
        self.refuse([_WHOLE.fullmatch(value) is None for value in values], column, "is no whole number")
        numbers = values.astype(np.int64)
        self.refuse(numbers >= below, column, f"is above {below - 1}")
        return numbers

    def seconds(self, column: str) -> np.ndarray:
        """A column of times, HH:MM:SS.ss or plain seconds: float64."""
        times = np.array([_seconds(value) for value in self.text(column)])
        self.refuse(np.isnan(times), column, "is no time (HH:MM:SS.ss or seconds)")
        self.refuse(times > LONGEST, column, f"is above {LONGEST:.0f} s")
        return times

    def span(self, first: str, last: str) -> tuple[np.ndarray, np.ndarray]:
        """Begin and end in seconds; the end must come after the begin."""
        start, stop = self.seconds(first), self.seconds(last)
        self.refuse(stop <= start, last, f"is not after {first}")
        return start, stop

    def refuse(self, wrong: Sequence[bool] | np.ndarray | bool, column: str, why: str) -> None:
        """ValueError about the first of the rows marked in `wrong`."""
        wrong = np.asarray(wrong, bool)
        if not wrong.any():
            return
        row = int(np.flatnonzero(wrong)[0])
        more = f" (and {int(wrong.sum()) - 1:,} more rows)" if wrong.sum() > 1 else ""
        value = short(self.columns[column][row])
        raise ValueError(f"{self.path} line {self.lines[row]}: {column} {value} {why}{more}")


def _seconds(text: str) -> float:
    if _PLAIN.fullmatch(text):
        return float(text)
    clock = _CLOCK.fullmatch(text)
    return float(clock[1] or 0) * 3600 + float(clock[2]) * 60 + float(clock[3]) if clock else np.nan


def _read(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    rows, lines = [], []
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            last = reader.line_num
            for row in reader:
                first, last = last + 1, reader.line_num
                if not row:
                    continue
                if last > first:  # else a stray quote would join the begin of one row and the end of another
                    raise ValueError(f"{path} line {first}: a quoted field goes on in line {last}")
                if len(row) != len(header):
                    raise ValueError(f"{path} line {reader.line_num}: {len(row)} fields where the header has "
                                     f"{len(header)}")  # fmt: skip
                rows.append(row)
                lines.append(reader.line_num)
    except (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read as CSV after line {lines[-1] if lines else 1}: {error}") from error
    return header, rows, lines


def _check_header(path: Path, header: list[str]) -> None:
    if not header:
        raise ValueError(f"{path}: is empty")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: the header names {short(twice[0])} twice")


def unknown_column(name: str, header: Iterable[str]) -> str:
    """One line for a column that is not there."""
    names = [short(name, quote=False) for name in header]
    return f"no column '{name}'{nearest(name, names)} (it has: {', '.join(names)})"


def short(value: str, quote: bool = True) -> str:
    """A value fit for one line of an error message."""
    text = value if len(value) <= 60 else value[:57] + "..."
    return repr(text) if quote else text.encode("unicode_escape").decode()


def find_file(folder: Path, names: Sequence[str], what: str, option: str) -> Path:
    """The first of `names` in `folder`, plain or gzipped; ValueError says what was looked for."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{option}={folder} is no folder; it must hold {what}: {names[0]}")
    for name in names:
        for file in (folder / name, folder / f"{name}.gz"):
            if file.is_file():
                return file
    raise ValueError(f"{option}={folder} lacks {what}: {' or '.join(names)} (plain or .gz)")
