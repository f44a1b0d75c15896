"""What a record is: `record.schema.json`, and the rules between its fields that a JSON schema cannot say."""

import hashlib
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA_FILE = Path(__file__).with_name("record.schema.json")
# Equal runs give equal records apart from these (memory.peak_process is circumstance too).
CIRCUMSTANCE = ("seconds", "git", "versions", "device", "precision_used", "deterministic", "restarts", "execution")


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


@cache
def schema_hash() -> str:
    """Twelve hex digits of what validation depends on: the schema and this file."""
    return hashlib.sha256(SCHEMA_FILE.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:12]


def validate(record: dict[str, Any]) -> None:
    """Raise ValueError with the path of the first bad field unless `record` is a valid record."""
    if not isinstance(record, dict):
        raise ValueError(f"a record is a JSON object, not {type(record).__name__}")
    # First, because a NaN passes every bound of a JSON schema.
    _refuse_non_finite(record, "")
    errors = sorted(_validator().iter_errors(record), key=lambda error: [str(part) for part in error.absolute_path])
    if errors:
        path = ".".join(str(part) for part in errors[0].absolute_path) or "record"
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise ValueError(f"{path}: {_short(errors[0].message)}{more}")
    _check_shapes(record)
    _check_sums(record)


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """The record without circumstance: two runs of equal configuration must agree in all of it."""
    kept = {key: value for key, value in record.items() if key not in CIRCUMSTANCE}
    kept["memory"] = {key: value for key, value in record["memory"].items() if key != "peak_process"}
    kept["config"] = {key: value for key, value in record["config"].items() if key != "execution"}
    return kept


def _short(text: str, width: int = 200) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _refuse_non_finite(value: Any, path: str) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path}: {value} is not a finite number (null stands for 'not measured')")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_non_finite(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _refuse_non_finite(item, f"{path}.{position}")


def _check_shapes(record: dict[str, Any]) -> None:
    n = len(record["accuracy"])
    if len(record["class_order"]) != n:
        raise ValueError(f"class_order: {len(record['class_order'])} experiences, but accuracy has {n} rows")
    for field in ("accuracy", "counts"):
        if [len(row) for row in record[field]] != [n] * n:
            raise ValueError(f"{field}: not {n} rows of {n} columns")
    for i, (accuracies, counts) in enumerate(zip(record["accuracy"], record["counts"], strict=True)):
        for j, (accuracy, count) in enumerate(zip(accuracies, counts, strict=True)):
            if accuracy is not None and not count:
                raise ValueError(f"counts.{i}.{j}: an accuracy without a count of items")
    for name, values in record["per_class"].items():
        if len(values) != n:
            raise ValueError(f"per_class.{_short(name, 60)}: {len(values)} values instead of {n}")
    for name, values in (record["drift"] or {}).items():
        if values is not None and len(values) != n:
            raise ValueError(f"drift.{_short(name, 60)}: {len(values)} values instead of {n}")
    _check_class_names(record)


def _check_class_names(record: dict[str, Any]) -> None:
    names = [name for task in record["class_order"] for name in task]
    empty = [i for i, task in enumerate(record["class_order"]) if not task]
    if empty and "domains" not in record:
        raise ValueError(f"class_order.{empty[0]}: an experience without classes")
    if len(record.get("domains", record["class_order"])) != len(record["class_order"]):
        raise ValueError(f"domains: {len(record['domains'])} experiences instead of {len(record['class_order'])}")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"class_order: class {_short(twice, 60)!r} stands twice")
    for field in ("per_class", "classes"):
        unknown = sorted(set(record[field]) - set(names))
        if unknown:
            raise ValueError(f"{field}: {_short(unknown[0], 60)!r} is not a class of class_order")


def _check_sums(record: dict[str, Any]) -> None:
    memory, config = record["memory"], record["config"]
    if sum(memory["carried"].values()) != memory["carried_max"]:
        held = sum(memory["carried"].values())
        raise ValueError(f"memory.carried: holders sum to {held}, but carried_max is {memory['carried_max']}")
    if memory["total"] < memory["carried_max"]:
        raise ValueError(f"memory.total: {memory['total']} is less than carried_max {memory['carried_max']}")
    for field in ("seed", "order_seed"):
        if config[field] != record[field]:
            raise ValueError(f"config.{field}: {config[field]!r}, but the record's {field} is {record[field]!r}")
