"""What makes a record valid: the types of `record.Record`, and rules between fields that types cannot express.

`python -m results.schema` writes record.schema.json anew from the class.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.common.files import text_of
from results.record import Record, refuse_non_finite

SCHEMA_FILE = Path(__file__).with_name("record.schema.json")
# Equal runs give equal records apart from these (memory.peak_process is circumstance too).
CIRCUMSTANCE = ("seconds", "git", "versions", "device", "precision_used", "deterministic", "restarts", "execution",
                "checksum", "predictions_sha256")  # fmt: skip
# How the file of a record with a checksum begins, and what is hashed in place of the checksum.
HEAD, ZEROS = b'{\n "checksum": "', "0" * 64


def validate(record: dict[str, Any]) -> Record:
    """The typed record of JSON content.

    Raises:
        ValueError: the content is no valid record; the line begins with the path of the first bad field.
    """
    if not isinstance(record, dict):
        raise ValueError(f"a record is a JSON object, not {type(record).__name__}")
    try:
        return _checked(Record.model_validate(record))
    except ValidationError as error:
        raise ValueError(_first(error)) from None


def check_known(fields: dict[str, Any]) -> None:
    """ValueError for the first of some fields that no record could hold; so a run finds out before its first step."""
    try:
        Record.model_validate(fields)
    except ValidationError as error:
        wrong = [each for each in error.errors(include_url=False) if each["type"] != "missing"]
        if wrong:
            place = ".".join(str(part) for part in wrong[0]["loc"] if part != "[key]")
            raise ValueError(f"no record could hold {place} {_short(repr(wrong[0]['input']), 60)}: {wrong[0]['msg']}"
                             ) from None  # fmt: skip
    refuse_non_finite(fields.get("config"), "config")


def signed(record: dict[str, Any]) -> dict[str, Any]:
    """The record with its checksum, which stands first in the file."""
    rest = {key: value for key, value in record.items() if key != "checksum"}
    text = text_of({"checksum": ZEROS, **rest})
    return {"checksum": hashlib.sha256(text.encode()).hexdigest(), **rest}


def is_intact(content: bytes) -> bool:
    """Whether the file of a record says what its checksum was made of, in whatever layout; true without a checksum."""
    begin, end = len(HEAD), len(HEAD) + len(ZEROS)
    plain = hashlib.sha256(content[:begin] + ZEROS.encode() + content[end:]).hexdigest().encode()
    if content.startswith(HEAD) and content[begin:end] == plain:
        return True
    record = json.loads(content)
    return record.get("checksum") is None or signed(record)["checksum"] == record["checksum"]


def parse(content: bytes) -> Record:
    """The typed record in the bytes of a file; ValueError as `validate`."""
    try:
        return _checked(Record.model_validate_json(content))
    except ValidationError as error:
        raise ValueError(_first(error)) from None


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """The record without its circumstances. Two runs with equal configs must agree in all of this."""
    kept = {key: value for key, value in record.items() if key not in CIRCUMSTANCE}
    kept["memory"] = {key: value for key, value in record["memory"].items() if key != "peak_process"}
    kept["config"] = {key: value for key, value in record["config"].items() if key != "execution"}
    return kept


def schema_text() -> str:
    """record.schema.json as it follows from `Record`, a line a field."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Record.model_json_schema(by_alias=True)}
    parts = []
    for key, value in schema.items():
        if key in ("$defs", "properties"):
            lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(field)}" for name, field in value.items())
            parts.append(f" {json.dumps(key)}: {{\n{lines}\n }}")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _first(error: ValidationError) -> str:
    """The first error in one line: the path of the field, what is wrong, and how many more there are."""
    found = error.errors(include_url=False, include_context=False)
    first, place = found[0], [str(part) for part in found[0]["loc"] if part != "[key]"]
    message = first["msg"]
    if first["type"] in ("extra_forbidden", "missing"):  # the fault lies in the object that holds the field
        what = "is no field of a record" if first["type"] == "extra_forbidden" else "is missing"
        message = f"{_short(place.pop(), 60)!r} {what}"
    elif first["type"] != "json_invalid":
        message = f"{message}, not {_short(repr(first['input']), 60)}"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{_short('.'.join(place)) or 'record'}: {_short(message)}{more}"


def _short(text: str, width: int = 200) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _checked(record: Record) -> Record:
    # These hold whatever their writer put there; all else is typed and so finite.
    loose = {"method": {"settings": record.method.settings}, "bad_files": record.bad_files, "config": record.config,
             "git": record.git.model_extra, "execution": record.execution}  # fmt: skip
    refuse_non_finite(loose)
    for key in ("benchmark", "method", "seed", "order_seed"):
        if key not in record.config:
            raise ValueError(f"config: {key!r} is missing")
    _check_shapes(record)
    _check_class_names(record)
    _check_sums(record)
    return record


def _check_shapes(record: Record) -> None:
    n = len(record.accuracy)
    if len(record.class_order) != n:
        raise ValueError(f"class_order: {len(record.class_order)} experiences, but accuracy has {n} rows")
    for field, matrix in (("accuracy", record.accuracy), ("counts", record.counts)):
        if [len(row) for row in matrix] != [n] * n:
            raise ValueError(f"{field}: not {n} rows of {n} columns")
    for i, (accuracies, counts) in enumerate(zip(record.accuracy, record.counts, strict=True)):
        for j, (accuracy, count) in enumerate(zip(accuracies, counts, strict=True)):
            if accuracy is not None and not count:
                raise ValueError(f"counts.{i}.{j}: an accuracy without a count of items")
    drift = record.drift.model_dump() if record.drift else {}
    for field, series in (("per_class", record.per_class), ("drift", drift), ("reported", record.reported),
                          ("logged", record.logged)):  # fmt: skip
        for name, values in series.items():
            if values is not None and len(values) != n:
                raise ValueError(f"{field}.{_short(name, 60)}: {len(values)} values instead of {n}")


def _check_class_names(record: Record) -> None:
    names = [name for task in record.class_order for name in task]
    empty = [i for i, task in enumerate(record.class_order) if not task]
    if empty and not record.domains:
        raise ValueError(f"class_order.{empty[0]}: an experience without classes")
    if record.domains and len(record.domains) != len(record.class_order):
        raise ValueError(f"domains: {len(record.domains)} experiences instead of {len(record.class_order)}")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"class_order: class {_short(twice, 60)!r} stands twice")
    for field, given in (("per_class", set(record.per_class)), ("classes", set(record.classes))):
        unknown = sorted(given - set(names))
        if unknown:
            raise ValueError(f"{field}: {_short(unknown[0], 60)!r} is not a class of class_order")


def _check_sums(record: Record) -> None:
    memory = record.memory
    if sum(memory.carried.values()) != memory.carried_max:
        held = sum(memory.carried.values())
        raise ValueError(f"memory.carried: holders sum to {held}, but carried_max is {memory.carried_max}")
    if memory.total < memory.carried_max:
        raise ValueError(f"memory.total: {memory.total} is less than carried_max {memory.carried_max}")
    for field, value in (("seed", record.seed), ("order_seed", record.order_seed)):
        if record.config[field] != value:
            raise ValueError(f"config.{field}: {record.config[field]!r}, but the record's {field} is {value!r}")


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
