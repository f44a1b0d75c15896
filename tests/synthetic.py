"""Out folders with records made up by rule, so that results can be tested without training."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HASH = "ab" * 32


def matrix(final: float, first: float, n: int) -> list[list[float | None]]:
    """Accuracy `first` right after learning, falling in a line to `final` after the last task."""
    return [
        [None if j > i else first + (final - first) * ((i - j) / (n - 1 - j) if j < n - 1 else 0) for j in range(n)]
        for i in range(n)
    ]


def record(method: str = "cram", seed: int = 0, final: float = 0.8, n: int = 5, **changes: Any) -> dict[str, Any]:
    """A valid record of n tasks with two classes each; `changes` replaces fields, `config` and `settings` merge."""
    settings = changes.pop("settings", {})
    config_changes = changes.pop("config", {})
    order_seed = changes.pop("order_seed", seed)
    bound = changes.pop("bound", False)
    names = [[f"class {2 * t}", f"class {2 * t + 1}"] for t in range(n)]
    accuracy = changes.pop("accuracy", None) or matrix(final, 0.95, n)
    budget = None if bound else 700_000
    config = {
        "benchmark": {"name": "moving_digits", "tasks": n, "leak": 0.0, "data_seed": 0},
        "protocol": "moving-digits-5/v1", "label": "action", "setting": "scratch", "profile": "small",
        "evaluate": "test", "method": {"name": method, "settings": settings}, "seed": seed, "order_seed": order_seed,
        "compressor": {"steps": 100}, "classifier": {"steps": 300}, "replay": {"share": 0.5},
        "memory": {"budget": budget, "count": "carried"}, "precision": "float32", "plugins": [],
        "execution": {"out": "runs", "workers": 2},
    }  # fmt: skip
    for key, value in config_changes.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    holders = {"buffer": 500_000, "snapshot": 150_000}
    made = {
        "schema": "1", "run_id": run_id(method, seed, order_seed, config),
        "protocol": {"id": "moving-digits-5/v1", "hash": "0123456789ab", "primary": "final_accuracy"},
        "benchmark": "moving_digits", "label": "action", "setting": config["setting"], "profile": "small",
        "evaluate": config["evaluate"], "method": {"name": method, "settings": settings}, "bound": bound,
        "opaque": False, "seed": seed, "order_seed": order_seed, "class_order": names, "accuracy": accuracy,
        "counts": [[None if value is None else 40 for value in row] for row in accuracy],
        "per_class": {name: [row[t] for row in accuracy] for t, task in enumerate(names) for name in task},
        "classes": {name: 20 for task in names for name in task},
        "memory": {
            "budget": config["memory"]["budget"], "count": "carried", "carried": holders, "carried_max": 650_000,
            "per_experience": [
                {"experience": t, "phase": phase, "at": at, "holders": holders, "carried": 650_000, "live": 900_000,
                 "scratch": 40_000}
                for t in range(n) for phase, at in (("compressor", "start"), ("compressor", "end"), (None, "boundary"))
            ],
            "live": 900_000, "total": 1_550_000, "scratch_peak": 40_000, "clips_stored": 1900, "capacity": 1911,
            "peak_process": 700_000_000,
        },
        "work": {"steps": {"compressor": 100 * n, "refresh": 10 * n, "classifier": 300 * n},
                 "samples": {"compressor": 3200 * n, "refresh": 900 * n, "classifier": 14400 * n}},
        "drift": {"latent_shift_before": [None] + [0.2] * (n - 1), "latent_shift_after": [None] + [0.02] * (n - 1),
                  "changed": [None] + [0.3] * (n - 1), "psnr": [None] + [21.5] * (n - 1)},
        "bad_files": [], "config": config, "clip_table_hash": HASH, "sources": HASH,
        "seconds": {"total": 60.0 + seed, "by_phase": {"compressor": 20.0, "refresh": 2.5, "classifier": 30.0},
                    "evaluate": 4.0, "drift": 1.0, "cpu_total": 61.0},
        "git": {"commit": "f2d0cca", "dirty": False}, "versions": {"torch": "2.15.0"}, "device": "cpu",
        "precision_used": "float32", "deterministic": True, "restarts": 0, "execution": config["execution"],
    }  # fmt: skip
    return made | changes


def run_id(method: str, seed: int, order_seed: int, config: dict[str, Any]) -> str:
    kept = {key: value for key, value in config.items() if key != "execution"}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:10]
    return f"moving-digits-5-v1-{method}-s{seed}-o{order_seed}-{digest}"


def write(out: Path, records: list[dict[str, Any]], state: str = "done", reason: str | None = None) -> list[str]:
    """Write run folders: with a record and predictions if `state` is done, else config and status only."""
    for made in records:
        folder = out / made["run_id"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(made["config"]))
        status = {"state": state, "heartbeat": 0, "reason": reason, "pid": 1}
        (folder / "status.json").write_text(json.dumps(status))
        if state == "done":
            (folder / "record.json").write_text(json.dumps(made))
            (folder / "predictions.npz").unlink(missing_ok=True)
            np.savez(folder / "predictions.npz", **predictions(made))
    return [made["run_id"] for made in records]


def predictions(made: dict[str, Any]) -> dict[str, np.ndarray]:
    """Twenty items a class; a wrong item is put into the next task's class, and right within its own task."""
    names = [name for task in made["class_order"] for name in task]
    n, rng = len(made["accuracy"]), np.random.default_rng(made["seed"])
    target = np.repeat(np.arange(len(names)), 20).astype(np.int16)
    task = (target // 2).astype(np.int16)
    share = np.array([[np.nan if v is None else v for v in row] for row in made["accuracy"]])[:, task]
    right = rng.random((n, len(target))) < np.nan_to_num(share)
    prediction = np.where(right, target, (target + 2) % len(names))
    prediction[np.isnan(share)] = -1
    within = np.where(prediction < 0, -1, target)
    return {
        "sample_id": np.array([f"clip{i}" for i in range(len(target))]), "target": target, "task": task,
        "prediction": prediction.astype(np.int16), "prediction_within_task": within.astype(np.int16),
        "class_names": np.array(names),
    }  # fmt: skip


def sweep(out: Path, run_ids: list[str], methods: list[str], name: str = "first") -> None:
    """The file that says what was asked for."""
    (out / "sweeps").mkdir(parents=True, exist_ok=True)
    text = {"id": name, "command": ["python", "-m", "harness.run"], "created": "2026-01-01T00:00:00",
            "runs": run_ids, "methods": methods}  # fmt: skip
    (out / "sweeps" / f"{name}.json").write_text(json.dumps(text))


def replicates(method: str, finals: list[float], first: int = 100, **changes: Any) -> list[dict[str, Any]]:
    """A record a replicate (order_seed = seed = first, first + 1, ...), ending at these accuracies."""
    return [record(method, first + r, final, **changes) for r, final in enumerate(finals)]


def run(module, capsys: pytest.CaptureFixture, *words: object) -> str:
    """Standard output of `python -m results.MODULE words`, which must succeed."""
    code, text, error = attempt(module, capsys, *words)
    assert code == 0, error
    return text


def attempt(module, capsys: pytest.CaptureFixture, *words: object) -> tuple[int, str, str]:
    code = module.main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err
