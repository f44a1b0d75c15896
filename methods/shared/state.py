"""What the state of a method, a rule or a head is: everything set on it, as tensors and plain values."""

from typing import Any

from torch import Tensor, nn

from methods.shared.file_part import FilePart


def saved(owner: object, leave_out: frozenset[str]) -> dict[str, Any]:
    """Attribute -> tensors and plain values of everything set on `owner`; parts that come from a file are left out."""
    kept = {name: value for name, value in vars(owner).items() if name not in leave_out}
    return {name: _plain(name, value) for name, value in kept.items() if not isinstance(value, FilePart)}


def take_up(owner: Any, name: str, value: Any, what: str) -> None:
    """Set one attribute from a saved state; `what` names the owner where it does not build what the state holds."""
    held = getattr(owner, name, None)
    if value is None:
        setattr(owner, name, None)
    elif held is not None and hasattr(held, "load_state_dict"):
        held.load_state_dict(value)
    elif held is not None and hasattr(held, "load"):
        held.load(value)
    elif isinstance(value, dict) and held is None:
        raise ValueError(f"{what}: the saved state holds '{name}', which load(state) does not build")
    else:
        setattr(owner, name, value)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, nn.Module):
        return value.state_dict()
    if callable(getattr(value, "state", None)):
        return value.state()
    if callable(getattr(value, "state_dict", None)):
        return value.state_dict()
    if isinstance(value, Tensor | int | float | str | bytes | type(None)):
        return value
    if isinstance(value, list | tuple):
        return [_plain(name, v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(name, v) for k, v in value.items()}
    raise TypeError(
        f"attribute '{name}' is a {type(value).__name__}, which a state cannot hold: use modules, tensors, plain "
        "values, or objects with state() and load() or with state_dict() and load_state_dict() (a logger has no place "
        "on a method: the numbers that `step` returns are logged, with log.to=[tensorboard] in TensorBoard too)"
    )
