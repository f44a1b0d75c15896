"""What a method carries, in bytes of storage of its saved state (design: live model, optimizer and scratch apart)."""

from typing import Any

import torch
from torch import Tensor

from methods.contract import Method

PLAIN_BYTES = 8  # a number in a state


def state_bytes(value: Any, skip: set[int]) -> int:
    """Bytes of storages (once each, those at addresses in `skip` not at all) and plain values in a nested state.

    A view counts with all of the storage behind it, which is what it keeps and what a checkpoint saves.
    """
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        if storage.nbytes() == 0 or storage.data_ptr() in skip:
            return 0
        skip.add(storage.data_ptr())
        return storage.nbytes()
    if isinstance(value, dict):
        keys = sum(PLAIN_BYTES for key in value if isinstance(key, int))
        return keys + sum(state_bytes(v, skip) for v in value.values())
    if isinstance(value, list | tuple):
        return sum(state_bytes(v, skip) for v in value)
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, int):
        return max(PLAIN_BYTES, value.bit_length() // 8)
    return 0 if value is None else PLAIN_BYTES


def _ids(value: Any) -> set[int]:
    """Sample ids that a saved store names; none for anything else."""
    return set(value["sample_id"].tolist()) if isinstance(value, dict) and "sample_id" in value else set()


def stored_ids(method: Method) -> set[int]:
    """Sample ids of everything that a method's stores hold."""
    held = [value["sample_id"] for value in method.state().values() if isinstance(value, dict) and "sample_id" in value]
    return {int(sample_id) for ids in held for sample_id in ids}


class MemoryMeter:
    """One row for each start and end of a phase and each boundary; the budget is checked at each."""

    def __init__(self, budget: int | None, count: str, bound: bool):
        self.budget, self.count, self.bound = budget, count, bound
        self.rows: list[dict[str, Any]] = []
        self.first_live: int | None = None  # without heads; later growth is carried

    def measure(self, method: Method, experience: Any, phase: str | None, at: str) -> dict[str, Any]:
        """Add a row; ValueError with the table of holders where a method is over its budget."""
        modules = method.live()
        self._only_modules(method, modules)
        # state() may hand over detached tensors: the address says that it is the same storage.
        storages = [t.untyped_storage() for m in modules.values() for t in m.state_dict().values() if t.numel()]
        live_bytes = {storage.data_ptr(): storage.nbytes() for storage in storages}
        head = method.head_module()
        heads = 0 if head is None else sum(t.nbytes for t in head.state_dict().values())
        live = sum(live_bytes.values())
        holders, local = self._holders(method, set(live_bytes), experience.own_ids, at)
        if experience.current_experience >= 0:
            if self.first_live is None and at == "boundary":
                self.first_live = live - heads
            grown = live - heads - (self.first_live if self.first_live is not None else live - heads)
            if grown > 0:
                holders["growth of the live model"] = grown
                live -= grown
        carried = sum(holders.values())
        row = {"experience": experience.current_experience, "phase": phase, "at": at, "holders": holders,
               "carried": carried, "live": live, "scratch": sum(local.values()), "task_local": local}  # fmt: skip
        self.rows.append(row)
        self._check(method, row)
        return row

    @staticmethod
    def _only_modules(method: Method, modules: dict[str, Any]) -> None:
        for name, module in modules.items():
            if not isinstance(module, torch.nn.Module):
                raise ValueError(
                    f"method {method.name}: live() names '{name}', a {type(module).__name__}; only modules"
                )

    @staticmethod
    def _holders(method: Method, live: set[int], own_ids: set[int], at: str) -> tuple[dict[str, int], dict[str, int]]:
        """Bytes by name of what is carried, and of what is local to the task."""
        holders, local, seen = {}, {}, set(live)
        for name, value in method.state().items():
            if name == "optimizer" and at != "boundary":
                continue
            size = state_bytes(value, seen)
            if name in method.task_local and at != "boundary" and _ids(value) <= own_ids:
                if size:
                    local[name] = size
            elif size:
                holders[name] = size
        return holders, local

    def _check(self, method: Method, row: dict[str, Any]) -> None:
        used = row["carried"] + (row["live"] if self.count == "total" else 0)
        if method.opaque:  # the budget sizes its buffer; what else it carries is counted and shown
            used = row["holders"].get("buffer", 0)
        if self.bound or self.budget is None or used <= self.budget:
            return
        table = ", ".join(f"{name} {size}" for name, size in sorted(row["holders"].items(), key=lambda x: -x[1]))
        where = f"experience {row['experience']}, {row['at']} of {row['phase'] or 'the experience'}"
        raise ValueError(
            f"method {method.name} is over its budget: {used} bytes of memory.budget={self.budget} "
            f"(memory.count={self.count}) at {where}; holders: {table or 'none'}; live {row['live']}"
        )

    def state(self) -> dict[str, Any]:
        return {"rows": self.rows, "first_live": self.first_live}

    def load(self, state: dict[str, Any]) -> None:
        self.rows, self.first_live = state["rows"], state["first_live"]

    def summary(self) -> dict[str, Any]:
        """Fields of the record: holders at the maximum, live, total, peak of scratch."""
        top = max(self.rows, key=lambda r: r["carried"])
        return {
            "budget": None if self.bound else self.budget,
            "count": self.count,
            "carried": top["holders"],
            "carried_max": top["carried"],
            "per_experience": self.rows,
            "live": max(r["live"] for r in self.rows),
            "total": max(r["carried"] + r["live"] for r in self.rows),
            "scratch_peak": max(r["scratch"] for r in self.rows),
        }
