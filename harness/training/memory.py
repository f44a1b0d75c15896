"""What a method carries, in bytes of storage of its saved state (design: live model, optimizer and scratch apart)."""

from collections.abc import Mapping
from typing import Any

import torch

from harness.training.saved_state import Weighing, digests
from methods.contract import Method


def _ids(value: Any) -> set[int]:
    """Sample ids that a saved store names; none for anything else."""
    return set(value["sample_id"].tolist()) if isinstance(value, dict) and "sample_id" in value else set()


def stored_ids(method: Method) -> set[int]:
    """Sample ids of everything that a method's stores hold."""
    held = [value["sample_id"] for value in method.state().values() if isinstance(value, dict) and "sample_id" in value]
    return {int(sample_id) for ids in held for sample_id in ids}


class Frozen:
    """What a method is given and may not write on: its settings, its spec, the size of its generator's state."""

    def __init__(self, method: Method):
        declared = getattr(type(method.settings), "__dataclass_params__", None)
        if declared is not None and not declared.frozen:
            raise ValueError(
                f"method {method.name}: its settings could be written on, and they are no state: "
                f"put @dataclass(frozen=True) above class {type(method.settings).__name__}"
            )
        self.given = self._now(method)

    def check(self, method: Method) -> None:
        """ValueError where one of them was changed."""
        now = self._now(method)
        for name, before in self.given.items():
            if now[name] != before:
                raise ValueError(f"method {method.name} has changed its {name}: what it learns belongs in its state")

    @staticmethod
    def _now(method: Method) -> dict[str, Any]:
        spec, generator = vars(method.spec), method.generator
        return {
            "settings": repr(sorted(vars(method.settings).items())),
            "spec": [(name, id(value), sorted(value) if isinstance(value, dict) else None)
                     for name, value in spec.items()],
            "task_local": method.task_local,
            "generator": (type(generator), generator.get_state().numel()),
        }  # fmt: skip


class MemoryMeter:
    """One row for each start and end of a phase and each boundary; the budget is checked at each."""

    def __init__(self, method: Method, enforce: bool = True):
        """`method`: as it was made, before it sees anything. `enforce`: it may not go over its budget."""
        self.enforce = enforce
        self.budget, self.count, self.bound = method.spec.budget, method.spec.count, method.bound
        self.weighing = Weighing(method.state())
        self.frozen = Frozen(method)
        self.rows: list[dict[str, Any]] = []
        self.first_live: int | None = None  # without heads; later growth is carried
        self.boundary: dict[str, str] = {}  # holder -> digest of the state that the last boundary's row counts

    def measure(self, method: Method, experience: Any, phase: str | None, at: str) -> dict[str, Any]:
        """Add a row; ValueError with the table of holders where a method is over its budget."""
        modules = method.live()
        self._only_modules(method, modules)
        self.frozen.check(method)
        # state() may hand over detached tensors: the address says that it is the same storage.
        storages = [t.untyped_storage() for m in modules.values() for t in m.state_dict().values() if t.numel()]
        live_bytes = {storage.data_ptr(): storage.nbytes() for storage in storages}
        head = method.head_module()
        heads = 0 if head is None else sum(t.nbytes for t in head.state_dict().values())
        live = sum(live_bytes.values())
        state = method.state()
        holders, local = self._holders(method, state, set(live_bytes), experience.own_ids, at)
        if at == "boundary" and not method.opaque:
            self.boundary = self.digests(method, state)
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

    def _holders(
        self, method: Method, state: Mapping[str, Any], live: set[int], own_ids: set[int], at: str
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Bytes by name of what is carried, and of what is local to the task."""
        holders, local, seen = {}, {}, set[int]()
        for name, value in state.items():
            if name == "optimizer" and at != "boundary":
                continue
            size = self.weighing.of(value, seen, live, (name,))
            if not method.opaque:  # its holders are named by our adapter
                size += self.weighing.name(name, (name,), size)
            if name in method.task_local and at != "boundary" and _ids(value) <= own_ids:
                if size:
                    local[name] = size
            elif size:
                holders[name] = size
        return holders, local

    @staticmethod
    def digests(method: Method, state: Mapping[str, Any]) -> dict[str, str]:
        """Of everything that predict may not change and that a checkpoint at a boundary holds."""
        return digests({**state, "generator": method.generator.get_state()})

    def check_same(self, method: Method, state: Mapping[str, Any]) -> None:
        """What is written at a boundary is what was counted there: ValueError where predict or state() changed it."""
        now = self.digests(method, state)
        changed = [name for name in {**self.boundary, **now} if self.boundary.get(name) != now.get(name)]
        if self.boundary and changed:
            raise ValueError(
                f"method {method.name}: predict(clips) changes the method's state ({', '.join(sorted(changed))}), or "
                "state() gives another answer when it is saved than when it is counted"
            )

    def _check(self, method: Method, row: dict[str, Any]) -> None:
        used = row["carried"] + (row["live"] if self.count == "total" else 0)
        if not self.enforce or self.bound or self.budget is None or used <= self.budget:
            return
        table = ", ".join(f"{name} {size}" for name, size in sorted(row["holders"].items(), key=lambda x: -x[1]))
        where = f"experience {row['experience']}, {row['at']} of {row['phase'] or 'the experience'}"
        raise ValueError(
            f"method {method.name} is over its budget: {used} bytes of memory.budget={self.budget} "
            f"(memory.count={self.count}) at {where}; holders: {table or 'none'}; live {row['live']} "
            "(memory.enforce=false lets it run; its row then stands apart)"
        )

    def state(self) -> dict[str, Any]:
        return {"rows": self.rows, "first_live": self.first_live, "boundary": self.boundary}

    def load(self, state: dict[str, Any]) -> None:
        self.rows, self.first_live, self.boundary = state["rows"], state["first_live"], state["boundary"]

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
