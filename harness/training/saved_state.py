"""What a saved state weighs, byte by byte, and how two of them are told apart."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

PLAIN_BYTES = 8  # a number in a state
Path = tuple[Any, ...]


class Weighing:
    """Counts the bytes of states of one method, compared with its state when it was made and had seen nothing.

    Names and texts count by their length in UTF-8. Free is only what cannot hold anything learnt: names and empty
    values that were there from the start, and names made of words from the start, up to the bytes that they name.
    """

    def __init__(self, first: Mapping[str, Any]):
        """`first`: the state of the method as it was made."""
        self.paths = set(_paths(first))
        self.words = {word for path in self.paths for key in path for word in str(key).split(".")}

    def of(self, value: Any, seen: set[int], live: set[int], path: Path) -> int:
        """Bytes of storages and plain values below one place of a state.

        Storages at addresses in `live` are free, those in `seen` were counted before. A view counts with all of the
        storage behind it, which is what it keeps and what a checkpoint saves.
        """
        if isinstance(value, Tensor):
            return self._tensor(value, seen, live, path)
        if isinstance(value, Mapping):
            total = 0
            for key, held in value.items():
                size = self.of(held, seen, live, (*path, key))
                total += size + self.name(key, (*path, key), size)
            return total
        if isinstance(value, list | tuple):
            return sum(self.of(held, seen, live, (*path, k)) for k, held in enumerate(value))
        if isinstance(value, str):
            return len(value.encode("utf-8", "surrogatepass"))
        if isinstance(value, bytes):
            return len(value)
        if isinstance(value, int):
            return max(PLAIN_BYTES, value.bit_length() // 8)
        return 0 if value is None else PLAIN_BYTES

    def _tensor(self, value: Tensor, seen: set[int], live: set[int], path: Path) -> int:
        storage = value.untyped_storage()
        size, place = storage.nbytes(), storage.data_ptr()
        whole = value.numel() * value.element_size() == size
        if size and place not in live and place not in seen:
            seen.add(place)
            return size
        # Nothing of its own, but a shape and a place in the storage could say something all the same.
        free = path in self.paths or (size and place in live and whole)
        return 0 if free else PLAIN_BYTES * (1 + value.dim())

    def name(self, key: Any, path: Path, size: int) -> int:
        """Bytes of a name over `size` bytes."""
        if not isinstance(key, str):
            return self.of(key, set(), set(), path)
        if path in self.paths:
            return 0
        length = len(key.encode("utf-8", "surrogatepass"))
        known = all(word in self.words or (word.isdecimal() and len(word) < 5) for word in key.split("."))
        return max(0, length - size) if known else length


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(value, Mapping):
        for key, held in value.items():
            yield from _paths(held, (*path, key))
    elif isinstance(value, list | tuple):
        for k, held in enumerate(value):
            yield from _paths(held, (*path, k))


def digests(state: Mapping[str, Any]) -> dict[str, str]:
    """Holder -> digest of all that it holds: two states are equal to the last bit where these are."""
    found = {}
    for name, value in state.items():
        digest = hashlib.blake2b(digest_size=16)
        _feed(digest, value)
        found[str(name)] = digest.hexdigest()
    return found


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        digest.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
        if plain.numel():
            flat = plain.reshape(-1)
            if flat.stride(0) != 1:  # one number behind a view that repeats it
                flat = flat.clone(memory_format=torch.contiguous_format)
            digest.update(flat.view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        digest.update(b"{")
        for key, held in value.items():
            _feed(digest, key)
            _feed(digest, held)
        digest.update(b"}")
    elif isinstance(value, list | tuple):
        digest.update(b"[")
        for held in value:
            _feed(digest, held)
        digest.update(b"]")
    else:
        text = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
        digest.update(type(value).__name__.encode() + len(text).to_bytes(8, "little") + text)
