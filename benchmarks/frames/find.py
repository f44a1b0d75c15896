"""Which video files and frame folders lie under a folder, by the name that annotations know them by."""

import itertools
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SUFFIXES = (
    ".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".3g2", ".3gp", ".asf", ".divx", ".dv",
    ".f4v", ".flv", ".gif", ".m2ts", ".m2v", ".mpe", ".mts", ".mxf", ".ogg", ".ogv", ".qt", ".rm", ".rmvb", ".vob",
    ".wmv", ".y4m",
)  # fmt: skip
ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst")


@dataclass(frozen=True)
class VideoFile:
    """Where the frames of one video lie: a video file, or a folder of numbered images at `rate` frames a second."""

    path: Path
    rate: float | None = None


def find_videos(
    root: Path, key: Callable[[str], str | None], rate: Callable[[str], float] | None = None
) -> dict[str, VideoFile]:
    """Key -> VideoFile for every video under `root` whose name without suffix has a key.

    With `rate`, a folder whose name has a key and that holds frame_0000000001.jpg (or .png) is a video as well, at
    that many frames a second; video files go first. A clip that was fetched again into a folder `replacement` goes
    before its first copy; other copies of one name are an error, since they may differ.
    """
    files: dict[str, list[Path]] = {}
    folders: dict[str, VideoFile] = {}
    for path, name in _walk(root, key, folders, rate):
        found = next((known for stem in stems(name) if (known := key(stem)) is not None), None)
        if found is not None:
            files.setdefault(found, []).append(Path(path, name))
    return {**folders, **{name: VideoFile(_one(name, paths)) for name, paths in files.items()}}


def is_leftover(name: str) -> bool:
    """Whether a file or folder is hidden, or one that macOS leaves in archives and on foreign disks."""
    return name.startswith(".") or name == "__MACOSX"


def stems(name: str) -> list[str]:
    """The names that a video file may be meant by: without its ending, and without both in a.mp4.mkv, as downloaders
    write it; none where it is no video file."""
    stem, suffix = os.path.splitext(name)
    if suffix.lower() not in SUFFIXES or is_leftover(name):
        return []
    inner, more = os.path.splitext(stem)
    return [stem, inner] if more.lower() in SUFFIXES else [stem]


def composed(name: str) -> str:
    """A file's name with its letters in one piece each (NFC): macOS takes accents apart, annotations do not.

    Raises:
        ValueError: the name is not UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the name of a file is not UTF-8: {os.fsencode(name)!r}; rename it") from None
    return unicodedata.normalize("NFC", name)


def absence(path: Path) -> str:
    """Why there is no file: a link that leads nowhere, another spelling of its name, or no word more."""
    if path.is_symlink():
        return f"is a link to {os.readlink(path)}, which leads nowhere"
    near = _by_stem(path.parent).get(_plain(path.name))
    return f"is not there{f'; did you mean {near}?' if near else ''}"


@lru_cache(maxsize=64)
def _by_stem(folder: Path) -> dict[str, str]:
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    return {_plain(name): name for name in names if stems(name)}


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", os.path.splitext(name)[0]).casefold()


def _walk(
    root: Path,
    key: Callable[[str], str | None],
    folders: dict[str, VideoFile],
    rate: Callable[[str], float] | None,
) -> Iterable[tuple[str, str]]:
    """All files but those in frame folders, which hold millions."""
    seen = set()
    for path, names, files in os.walk(root, followlinks=True):
        place = os.stat(path)
        if (place.st_dev, place.st_ino) in seen:  # a link back into the tree
            names.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        names[:] = sorted(name for name in names if not (is_leftover(name) or name == "flow_frames"))
        if rate is not None:
            for name, video in [(name, video) for name in names if (video := key(name)) is not None]:
                first = next((s for s in (".jpg", ".png") if Path(path, name, f"frame_{1:010d}{s}").is_file()), None)
                if first is not None:
                    names.remove(name)
                    folders[video] = VideoFile(Path(path, name), rate(name))
        yield from ((path, name) for name in files)


def _one(name: str, paths: list[Path]) -> Path:
    again = [path for path in paths if "replacement" in path.parts]
    chosen = again or paths
    if len(chosen) > 1:
        raise ValueError(
            f"{len(chosen)} files for {name}: {chosen[0]}, {chosen[1]}; let benchmark.videos name the folder of one"
        )
    return chosen[0]


def listing(root: Path, most: int = 3) -> str:
    """What lies under a folder, for a message: the first few names, and how many files of each ending.

    It looks at no more than 10,000 files, since folders of images hold millions.
    """
    files = (Path(path, name) for path, _, names in os.walk(root) for name in sorted(names))
    names = [file.relative_to(root).as_posix() for file in itertools.islice(files, 10_000)]
    if not names:
        return "it holds no files"
    endings = Counter(Path(name).suffix.lower() or "no ending" for name in names)
    counts = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(most))
    packed = [name for name in names if name.lower().endswith(ARCHIVES)]
    hint = f"; unpack the archives, as {packed[0]}" if packed else ""
    return f"it holds {', '.join(names[:most])}{', ...' if len(names) > most else ''} ({counts}){hint}"
