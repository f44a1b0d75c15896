"""What code a run was made by: a hash of what can change a number, the commit, and what was not committed."""

import ast
import hashlib
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("harness", "methods", "benchmarks", "results", "slurm")
# What can change a number of a record. Commands, help, progress, plots, tests, presets and documents cannot.
DECIDES = (
    "harness/training",
    "harness/storage/checkpoint.py",
    "methods",
    "benchmarks",
)
# Below those folders, what only shows or starts things.
SHOWS = ("benchmarks/prepare.py", "benchmarks/show.py", "harness/training/filmstrip.py", "harness/training/journal.py")
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

    Of Python files the syntax tree counts, without docstrings: comments and layout change nothing.
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
    tree = ast.parse(data)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and isinstance(body, list) and ast.get_docstring(node, clean=False) is not None:  # type: ignore[arg-type]
            body[0] = ast.Expr(ast.Constant(""))
    return ast.dump(tree).encode()


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
    text = saved.read_text(errors="replace").strip() if saved.exists() else git("diff", "HEAD", "--", *ROOMS)
    if not text:
        return None
    return text if len(text) <= DIFF_LONGEST else f"{text[:DIFF_LONGEST]}\n... and {len(text) - DIFF_LONGEST} more"


def git(*arguments: str) -> str | None:
    """What a git command on the sources prints; None where there is no git, no checkout, or no answer in 20 s."""
    try:
        run = subprocess.run(("git", "-C", str(ROOT), *arguments), capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() if run.returncode == 0 else None
