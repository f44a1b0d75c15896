"""Plots and report from synthetic run folders: files, data, and HTML that holds all it shows."""

import base64
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from results import PLOTS, plots, report
from results.load import load
from results.pooling import select
from tests.synthetic import attempt, replicates, run, sweep, write


class Page(HTMLParser):
    """Tags with attributes, visible text, and the rows of each table."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self.cell: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = ""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.tables[-1][-1].append((self.cell or "").strip())
            self.cell = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.cell is not None:
            self.cell += data

    def table(self, *headings: str) -> list[list[str]]:
        return next(rows for rows in self.tables if rows[0][: len(headings)] == list(headings))


def filmstrip(folder: Path) -> None:
    original = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    decoded = np.stack([original // (t + 1) for t in range(5)])
    np.savez(folder / "filmstrip.npz", original=original, decoded=decoded, stored=np.ones((5, 2), bool),
             sample_id=np.array(["a", "b"]))  # fmt: skip


@pytest.fixture
def rich_out(out: Path) -> Path:
    """Every plot can be drawn: two rates, steps, predictions, a filmstrip; a failed run and a missing one."""
    ids = []
    for n_codebooks in (1, 2):
        config = {"compressor": {"patch": [4, 4, 4], "n_codebooks": n_codebooks, "entries": 256}}
        beta = {"beta": [0.1, 0.2, None, 0.4, 0.5]}
        ids += write(out, replicates("cram", [0.8, 0.7 + n_codebooks / 20], config=config, reported=beta))
        ids += write(out, replicates("no_refresh", [0.5, 0.4], config=config))
    lines = [json.dumps({"experience": e, "phase": "classifier", "step": s, "steps": 10, "loss": 1 / s})
             for e in range(5) for s in (1, 5, 10)]  # fmt: skip
    (out / ids[0] / "steps.jsonl").write_text("\n".join([*lines, '{"loss": NaN', '{"loss": "x"}']))
    filmstrip(out / ids[0])
    failed = replicates("frozen", [0.1], config=config)
    ids += write(out, failed, "failed", "<script>alert('x')</script> & out of memory")
    (out / failed[0]["run_id"] / "log.txt").write_text("log")
    sweep(out, [*ids, "moving-digits-5-v1-naive-s1-o1-0123456789"], ["cram", "no_refresh", "frozen", "naive"])
    return out


def test_every_plot_is_drawn_with_its_data(rich_out: Path, capsys: pytest.CaptureFixture) -> None:
    text = run(plots, capsys, rich_out)
    run(plots, capsys, rich_out, "format=png,pdf", "plots=cost")
    assert "not drawn" not in text
    folder = rich_out / "plots"
    for name in PLOTS:
        assert ElementTree.parse(folder / f"{name}.svg").getroot().tag.endswith("svg")
        data = pd.read_csv(folder / f"{name}.csv")
        assert len(data), name
        assert {"method", "condition"} <= set(data.columns)
    assert Image.open(folder / "cost.png").convert("L").getextrema() != (255, 255)
    assert (folder / "cost.pdf").read_bytes().startswith(b"%PDF")
    matrix = pd.read_csv(folder / "accuracy_matrices.csv").query("method == 'cram' and after == 5 and task == 1")
    assert sorted(matrix["mean"]) == pytest.approx([0.775, 0.8])
    assert pd.read_csv(folder / "accuracy_rate.csv")["x"].unique().tolist() == [192, 96]
    change = pd.read_csv(folder / "per_class.csv").query("method == 'no_refresh' and `class` == 'class 0'")
    assert change["mean"].tolist() == pytest.approx([-0.5, -0.5])
    confusion = pd.read_csv(folder / "confusion.csv")
    assert confusion["items"].sum() == 8 * 200
    strip = pd.read_csv(folder / "filmstrip.csv")
    assert strip.query("after == 1")["psnr"].min() > 90 > strip.query("after == 2")["psnr"].max()


def test_points_of_one_method_stay_where_their_bytes_are(tmp_path: Path) -> None:
    for budget in (400_000, 800_000, 1_600_000):  # three budgets that hold the same bytes; er beside them
        write(tmp_path, replicates("cram", [0.8, 0.7], config={"memory": {"budget": budget, "count": "carried"}}))
    write(tmp_path, replicates("er", [0.6, 0.5], config={"memory": {"budget": 400_000, "count": "carried"}}))
    drawn = next(plots.draw(*select(load([tmp_path])), ["accuracy_bytes"]))
    at = {container.get_label(): container.lines[0].get_xdata() for container in drawn.figure.axes[0].containers}
    assert len(at["cram"]) == 3
    assert len(set(at["cram"])) == 1
    assert 1.01 < max(at["cram"][0], at["er"][0]) / min(at["cram"][0], at["er"][0]) < 1.2


def test_plots_that_records_do_not_allow_say_why(out: Path, capsys: pytest.CaptureFixture) -> None:
    made = replicates("joint", [0.9, 0.9], bound=True, drift=None)
    for record in made:
        record["accuracy"][:-1] = [[None] * 5] * 4
        record["per_class"] = {name: [None] * 4 + [0.9] for name in record["per_class"]}
    write(out, made)
    code, text, _ = attempt(plots, capsys, out, "plots=forgetting_by_task,drift,filmstrip,training,per_class")
    assert code == 1
    assert text.count("not drawn") == 5
    assert "no run kept its steps.jsonl" in text
    code, _, error = attempt(plots, capsys, out, "plots=drfit")
    assert code == 2
    assert "did you mean 'drift'?" in error


def test_pareto_front_and_compression_rate_by_hand() -> None:
    from results.figures.trade_offs import compression_rate, pareto_front

    points = pd.DataFrame({"x": [1, 2, 3, 3, 4], "mean": [0.5, 0.4, 0.7, 0.6, 0.7]})
    assert pareto_front(points)[["x", "mean"]].to_numpy().tolist() == [[1, 0.5], [3, 0.7]]
    assert compression_rate({"compressor": {"patch": [2, 16, 16], "n_codebooks": 6, "entries": 256}}) == 256
    assert math.isnan(compression_rate({}))


def test_report_holds_all_it_shows_and_escapes_text(rich_out: Path, capsys: pytest.CaptureFixture) -> None:
    run(report, capsys, rich_out, "plots=accuracy_over_tasks,filmstrip,confusion", "question=Does <b>it</b> help?")
    text = (rich_out / "report.html").read_text()
    page = Page(text)
    assert "alert(" not in re.sub(r"&lt;script&gt;alert\(&#39;x&#39;\)", "", text)
    assert "<b>" not in text
    sources = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    assert len(sources) == 3
    for source in sources:
        kind, content = source.split(";base64,")
        content = base64.b64decode(content, validate=True)
        if kind == "data:image/png":
            Image.open(io.BytesIO(content)).verify()
        else:
            assert ElementTree.fromstring(content).tag.endswith("svg")
    links = [attrs[key] for _, attrs in page.tags for key in ("href", "src") if attrs.get(key)]
    assert not [link for link in links if re.match(r"(?!data:)([a-z]+:|//)", link)]
    files = [link for link in links if not link.startswith("data:")]
    assert files
    assert all((rich_out / link).exists() for link in files)
    assert any(link.endswith("log.txt") for link in files)
    absent = {row[1]: row for row in page.table("run", "state", "reason")[1:]}
    assert "<script>alert('x')</script> & out of memory" in absent["failed"][2]
    assert absent["missing"][0] == "moving-digits-5-v1-naive-s1-o1-0123456789"
    main = {row[0]: row for table in page.tables if table[0][:3] == ["method", "n", "final accuracy"] for row in table}
    assert main["frozen"][1:3] == ["0/1", "missing"]
    assert main["cram"][1] == "2"
    assert page.table("method", "condition", "buffer")[1][2:] == [
        "500,000 (77 %)", "150,000 (23 %)", "650,000", "900,000", "1,550,000", "700,000"
    ]  # fmt: skip
    assert "at least" in page.text  # the words of the paired tests
    assert "Does <b>it</b> help?" in page.text
    assert ["git commit", "f2d0cca", "8"] in page.table("what", "value")


def test_report_shows_what_its_sweep_asks_for(rich_out: Path, capsys: pytest.CaptureFixture) -> None:
    path = rich_out / "sweeps" / "first.json"
    asked = json.loads(path.read_text())
    asked["report"] = {"question": "What does refreshing add?", "layout": "grid", "columns": ["forgetting"],
                       "plots": ["cost"], "metric": "forgetting", "reference": "no_refresh"}  # fmt: skip
    path.write_text(json.dumps(asked))
    run(report, capsys, rich_out)
    page = Page((rich_out / "report.html").read_text())
    assert "What does refreshing add?" in page.text
    assert [tag for tag, _ in page.tags].count("img") == 1
    assert "forgetting than no_refresh" in page.text
    asked["report"]["plots"] = ["nonsense"]
    path.write_text(json.dumps(asked))
    code, _, error = attempt(report, capsys, rich_out)
    assert code == 2
    assert "plots=nonsense" in error
