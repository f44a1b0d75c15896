"""Which video files and frame folders lie under a folder, by the name that annotations know them by."""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts")


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
        stem, suffix = os.path.splitext(name)
        found = key(stem) if suffix.lower() in SUFFIXES else None
        if found is not None:
            files.setdefault(found, []).append(Path(path, name))
    return {**folders, **{name: VideoFile(_one(name, paths)) for name, paths in files.items()}}


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
        names[:] = sorted(name for name in names if not (name.startswith(".") or name == "flow_frames"))
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
    return f"it holds {', '.join(names[:most])}{', ...' if len(names) > most else ''} ({counts})"
