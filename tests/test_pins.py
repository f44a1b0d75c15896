"""What must not move when code moves: run ids, tables and a report from stored records, the record of a tiny run.

Everything here is compared with what lies in tests/pins. `python -m tests.test_pins update` writes it anew from the
code as it is. Do that only where a change was meant, and write down the reason beside it (in the commit's message): a
run id that changes makes every record made so far another run, which users then carry out again. tests/pins/plugin.py
and tests/pins/records.json are what is measured, not what is expected: they are never edited.

Accuracy and drift of the tiny runs may differ a little between kinds of processors, so they are compared within a
tolerance. With VIDEO_CL_PINS=exact in the environment they must be equal to the last bit; use it when a change is
checked on the very machine on which the values were stored.
"""

import contextlib
import hashlib
import html.parser
import io
import json
import os
import runpy
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.config.compose import request
from harness.run import main
from results.schema import comparable
from tests import synthetic
from tests.tiny import CACHE

PINS = Path(__file__).resolve().parent / "pins"
SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
LONGEST = 24  # more run ids than this are stored as their number and a hash
EXACT = os.environ.get("VIDEO_CL_PINS") == "exact"


def stored(name: str) -> Any:
    return json.loads((PINS / name).read_text(encoding="utf-8"))


def text_of(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


# ---- run ids

COMMANDS = [
    line for line in (PINS / "commands.txt").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
]


def words_of(command: str, videos: Path) -> list[str]:
    """The words of a line of commands.txt with the folders of this machine; skips where the data are not here."""
    if "VIDEOS" in command:
        for line in (PINS / "clips.csv").read_text(encoding="utf-8").splitlines()[1:]:
            (videos / line.partition(",")[0]).touch()  # a plan does not open the videos
    if "SHARED" in command and not SHARED.is_dir():
        pytest.skip(f"no folder {SHARED}")
    folders = {"PINS/": f"{PINS}/", "SHARED/": f"{SHARED}/", "VIDEOS": str(videos)}
    for name, folder in folders.items():
        command = command.replace(name, folder)
    return command.split()


def planned(command: str, videos: Path) -> list[str] | dict[str, Any]:
    """The run ids of a command line in their order; of many their number and a sha256 over the sorted list."""
    ids = list(request(words_of(command, videos)).runs)
    if len(ids) <= LONGEST:
        return ids
    return {"count": len(ids), "sha256": hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()}


EVERY_METHOD = ("methods=[all]", "preset=smoke")


@pytest.mark.parametrize("command", COMMANDS)
def test_run_ids_stay(command: str, tmp_path: Path) -> None:
    ids, kept = planned(command, tmp_path), stored("run_ids.json")[command]
    if command in EVERY_METHOD:  # methods that came later stand between
        ids = [run_id for run_id in ids if run_id in kept]
    assert ids == kept


def test_every_command_line_has_its_ids_and_no_other() -> None:
    ids = stored("run_ids.json")
    assert list(ids) == COMMANDS
    # What only says how a run is carried out leaves it the same run.
    (elsewhere,) = (command for command in COMMANDS if "out=elsewhere" in command)
    assert ids[elsewhere] == ids["methods=cram"]


# ---- tables and a report

OUTPUTS = {
    "table_default.txt": ("tables",),
    "table_grid.txt": ("tables", "layout=grid", "columns=final_accuracy,forgetting,bytes_carried"),
    "table_latex.txt": ("tables", "format=latex", "methods=cram,er,joint"),
    "compare.txt": ("compare", "reference=cram"),
    "report.txt": ("report",),
}


def make_records() -> list[dict[str, Any]]:
    """The records of tests/pins/records.json: made once, stored, and from then on what the tables are made from."""
    made = []
    finals = {
        ("cram", ""): [0.80, 0.76, 0.83], ("no_refresh", ""): [0.78, 0.77, 0.74], ("frozen", ""): [0.70, 0.66, 0.71],
        ("er", "raw"): [0.52, 0.61, 0.55], ("er", "jpeg"): [0.79, 0.84, 0.81], ("joint", ""): [0.95, 0.93],
    }  # fmt: skip
    for budget, worse in ((400_000, 0.0), (700_000, -0.05)):
        for (method, codec), values in finals.items():
            if (method, budget) == ("frozen", 700_000):
                continue  # nobody asked for it there
            changes: dict[str, Any] = {"settings": {"codec": codec}} if codec else {}
            if method in ("er", "joint"):
                changes["drift"] = None
            for replicate, final in enumerate(values):
                config = {"memory": {"budget": None if method == "joint" else budget}, "classifier": {"steps": 300}}
                made.append(
                    synthetic.record(method, 100 + replicate, final - worse * replicate, n=3, config=config,
                                     bound=method == "joint", **changes)
                )  # fmt: skip
    return list({record["run_id"]: record for record in made}.values())


def write_runs(out: Path) -> None:
    """An out folder of the stored records, a run that failed, one that never began, and a preset's sweep of them."""
    records = stored("records.json")
    for record in records:
        folder = out / record["run_id"]
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(record["config"]))
        (folder / "record.json").write_text(json.dumps(record))
    failed = records[0]["run_id"].replace("-s100-o100-", "-s103-o103-")
    never = records[0]["run_id"].replace("-s100-o100-", "-s104-o104-")
    (out / failed).mkdir()
    config = records[0]["config"] | {"seed": 103, "order_seed": 103}
    (out / failed / "config.json").write_text(json.dumps(config))
    status = {"state": "failed", "heartbeat": 0, "reason": "no space left", "pid": 1}
    (out / failed / "status.json").write_text(json.dumps(status))
    sweep = {
        "id": "pinned", "command": ["python", "-m", "harness.run", "preset=pinned"], "created": "2026-01-01T00:00:00",
        "runs": [*(record["run_id"] for record in records), failed, never],
        "methods": ["cram", "no_refresh", "frozen", "er", "joint"], "preset": "pinned",
        "report": {"title": "pinned", "question": "Does what is shown stay as it was?", "layout": "metrics",
                   "plots": ["accuracy_over_tasks", "accuracy_bytes"], "reference": "cram",
                   "compared": ["no_refresh", "er"]},
    }  # fmt: skip
    (out / "sweeps").mkdir()
    (out / "sweeps" / "pinned.json").write_text(json.dumps(sweep))


class Visible(html.parser.HTMLParser):
    """What a reader sees of a page: a line a paragraph or a row of a table, pictures by what they are said to show."""

    HIDDEN = ("style", "script", "title")
    LINES = ("p", "h1", "h2", "h3", "tr", "summary", "figcaption", "br", "table", "figure")

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in self.HIDDEN
        if tag in self.LINES:
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append(" | ")
        elif tag == "img":
            self.parts.append(f"\n[picture: {dict(attrs).get('alt')}]")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in self.HIDDEN
        if tag in self.LINES:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(" ".join(data.split()) + (" " if data[-1:].isspace() else ""))

    @property
    def text(self) -> str:
        lines = (" ".join(line.split()).removeprefix("| ") for line in "".join(self.parts).split("\n"))
        return "\n".join(filter(None, lines)) + "\n"


def visible(page: str) -> str:
    reader = Visible()
    reader.feed(page)
    reader.close()
    return reader.text


@contextlib.contextmanager
def as_a_command(cache: Path, words: list[str]) -> Iterator[io.StringIO]:
    """Standard output of a module of results that runs in this process as if it were called by `python -m`."""
    heard, said = signal.getsignal(signal.SIGPIPE), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of runpy: the module has been imported before
        patch.setattr(sys, "argv", words)
        patch.setenv("XDG_CACHE_HOME", str(cache))
        for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
            patch.delenv(name, raising=False)
        try:
            yield said
        finally:
            signal.signal(signal.SIGPIPE, heard)


def output(name: str, folder: Path) -> str:
    """What `python -m results.MODULE` prints of the stored records; of a report the text that a reader sees."""
    module, *words = OUTPUTS[name]
    out = folder / "runs"
    if not out.exists():
        write_runs(out)
    with as_a_command(folder / "cache", [module, str(out), *words]) as said, pytest.raises(SystemExit) as stop:
        runpy.run_module(f"results.{module}", run_name="__main__", alter_sys=False)
    assert stop.value.code == 0
    text = visible((out / "report.html").read_text(encoding="utf-8")) if module == "report" else said.getvalue()
    return text.replace(str(out), "OUT")


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_results_prints_stays(name: str, tmp_path: Path) -> None:
    assert output(name, tmp_path) == (PINS / name).read_text(encoding="utf-8")


# ---- the records of tiny runs

TINY = ["preset=smoke", "methods=[cram,er]", "launcher=inline", "device=cpu"]
# Where in a record a float may differ between machines, and by how much (of values above 1, their share). One test clip
# of an experience may be told otherwise (0.0625 of them); a class has but two, so of its accuracy only the presence is
# compared. Another order of the batches moves more than this.
TOLERANCES = {"accuracy": 0.07, "per_class": 1.0, "drift": 0.02}


def tiny_records(folder: Path) -> dict[str, dict[str, Any]]:
    """Method -> its record without circumstance and the hash of the sources, from runs of the public command line."""
    out = folder / "runs"
    assert main([*TINY, f"out={out}", f"paths.cache={CACHE}"]) == 0
    found = {}
    for path in sorted(out.glob("*/record.json")):
        record = comparable(json.loads(path.read_text(encoding="utf-8")))
        del record["sources"]
        found[record["method"]["name"]] = record
    return found


def differences(one: Any, other: Any, path: str = "", tolerance: float = 0.0) -> list[str]:
    """Places where two records differ: in a key and its order, a type, a whole number, or a float beyond tolerance."""
    if isinstance(one, dict) and isinstance(other, dict) and list(one) == list(other):
        return [
            place
            for key in one
            for place in differences(
                one[key], other[key], f"{path}.{key}" if path else key,
                tolerance if path or EXACT else TOLERANCES.get(key, 0.0),
            )
        ]  # fmt: skip
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [place for i, (a, b) in pairs for place in differences(a, b, f"{path}[{i}]", tolerance)]
    same = one == other and type(one) is type(other)
    if not same and tolerance and isinstance(one, float) and isinstance(other, float):
        same = abs(one - other) <= tolerance * max(1.0, abs(one))
    return [] if same else [f"{path}: {one!r} and {other!r}"]


def test_records_of_tiny_runs_stay(tmp_path: Path) -> None:
    found = tiny_records(tmp_path)
    assert sorted(found) == ["cram", "er"]
    wrong = {method: differences(stored(f"run_{method}.json"), record) for method, record in found.items()}
    assert wrong == {"cram": [], "er": []}


# ---- writing the stored values


def update() -> None:
    """Write what is stored anew; records.json only where there is none, ids of data that are not here not at all."""
    if not (PINS / "records.json").exists():
        lines = [json.dumps(record, separators=(",", ":")) for record in make_records()]
        (PINS / "records.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    before = stored("run_ids.json") if (PINS / "run_ids.json").exists() else {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = {}
        # What a plug-in registers stays for the rest of this process, and `all` would name it.
        for command in sorted(COMMANDS, key=lambda each: "plugins=" in each):
            try:
                ids[command] = planned(command, folder)
            except pytest.skip.Exception as reason:
                print(f"{command}: {reason}; its ids are kept", file=sys.stderr)
                ids[command] = before[command]
        (PINS / "run_ids.json").write_text(text_of({command: ids[command] for command in COMMANDS}), encoding="utf-8")
        for each in OUTPUTS:
            (PINS / each).write_text(output(each, folder), encoding="utf-8")
        for method, record in tiny_records(folder / "tiny").items():
            (PINS / f"run_{method}.json").write_text(text_of(record), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["update"]:
        sys.exit("usage: python -m tests.test_pins update   (read the top of tests/test_pins.py first)")
    update()
