"""What code a run was made by: a hash of what can change a number, the commit, and what was not committed."""

import ast
import hashlib
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("harness", "methods", "benchmarks", "results", "slurm")
# What can change a number of a record, or what a checkpoint holds. Commands, presets, launchers, tables and plots
# cannot: what they decide stands in a run's config, which its id is made of.
DECIDES = ("harness/training", "harness/storage/checkpoint.py", "methods", "benchmarks")
# Below those folders, what only shows or starts things.
SHOWS = ("benchmarks/prepare.py", "benchmarks/show.py", "harness/training/filmstrip.py")
DIFF_LONGEST = 100_000  # characters of what was not committed that a record keeps


def deciding_files(root: Path = ROOT) -> list[Path]:
    """The files whose content decides a result, in order."""
    found: list[Path] = []
    for place in DECIDES:
        path = root / place
        found += [path] if path.is_file() else sorted(path.rglob("*"))
    left_out = {root / name for name in SHOWS}
    return [path for path in found
            if path.suffix in (".py", ".json", ".csv", ".txt") and path.is_file() and path not in left_out]  # fmt: skip


@cache
def sources_hash(root: Path = ROOT) -> str:
    """SHA-256 over the names and the content of the files that decide a result.

    Of Python files the syntax tree counts, without docstrings and help texts: comments and layout change nothing.
    """
    digest = hashlib.sha256()
    for path in deciding_files(root):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + meaning(path) + b"\0")
    return digest.hexdigest()


def meaning(path: Path) -> bytes:
    """The content of a file as far as it can change a result."""
    data = path.read_bytes()
    if path.suffix != ".py":
        return data
    return ast.dump(_WithoutWords().visit(ast.parse(data))).encode()


class _WithoutWords(ast.NodeTransformer):
    """Takes out of a syntax tree what is there for people: docstrings, help texts of settings, summaries of entries."""

    # Where they stand among the arguments: setting(default, HELP), register(name, SUMMARY), add(name, what, SUMMARY).
    PLACES: ClassVar = {"setting": 1, "register": 1, "add": 2}
    KEYWORDS: ClassVar = {
        "setting": ("help", "zero", "also", "search"), "register": ("summary", "also"), "add": ("summary", "also"),
    }  # fmt: skip

    def generic_visit(self, node: ast.AST) -> ast.AST:
        body = getattr(node, "body", None)
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and body and isinstance(body[0], ast.Expr) and _is_text(body[0].value):
            body[0] = ast.Pass()
        return super().generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        called = getattr(node.func, "id", getattr(node.func, "attr", ""))
        place = self.PLACES.get(called, len(node.args))
        node.args = [arg for k, arg in enumerate(node.args) if k < place or not _is_text(arg)]
        node.keywords = [word for word in node.keywords if word.arg not in self.KEYWORDS.get(called, ())]
        return self.generic_visit(node)


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def imports_of(file: Path, packages: tuple[str, ...]) -> list[str]:
    """Which modules of some packages a Python file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return sorted(name for name in found if any(name == p or name.startswith(f"{p}.") for p in packages))


@cache
def git_state() -> dict[str, Any]:
    """Commit of the sources and whether they differ from it; nulls outside a git checkout and snapshots of one."""
    if (ROOT / "git.json").exists():  # written with a snapshot
        said: dict[str, Any] = json.loads((ROOT / "git.json").read_text())
        return said
    commit, status = git("rev-parse", "HEAD"), git("status", "--porcelain")
    return {"commit": commit, "dirty": None if status is None else bool(status)}


@cache
def uncommitted() -> str | None:
    """How the sources differ from their commit, as `git diff` says it; None if they do not, or nobody knows."""
    saved = ROOT / "uncommitted.diff"
    if saved.exists():  # of a snapshot; it was cut when that was made
        return saved.read_text(errors="replace").strip() or None
    text = git("diff", "HEAD", "--", *ROOMS)
    if not text:
        return None
    return text if len(text) <= DIFF_LONGEST else f"{text[:DIFF_LONGEST]}\n... and {len(text) - DIFF_LONGEST} more"


def git(*arguments: str) -> str | None:
    """What a git command on the sources prints; None where there is no git, no checkout, or no answer in 20 s."""
    try:
        run = subprocess.run(("git", "-C", str(ROOT), *arguments), capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.decode(errors="replace").strip() if run.returncode == 0 else None
