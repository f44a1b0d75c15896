"""Every container with every codec, start time, B-frames and truncation: the frames' numbers are read back."""

import tempfile
from dataclasses import replace
from pathlib import Path

from tests import videos


def containers(cuts: int = 2) -> None:
    """Videos in every container, codec, start time and order give each frame by its time, also where they are cut."""
    made = list(videos.combinations())
    damaged = [each for each in made if each.keep < 1]
    made += [replace(each, keep=(k + 1) / (cuts + 1)) for each in damaged for k in range(cuts)]
    wrong = []
    with tempfile.TemporaryDirectory(prefix="containers-") as place:
        for number, each in enumerate(made):
            try:
                videos.check(Path(place, f"{number}.{each.ending}"), each)
            except AssertionError as error:
                wrong.append(f"{each} (keep {each.keep:.2f}): {error}")
    print(f"  {len(made)} combinations, {len(wrong)} wrong", *wrong, sep="\n  ")
    assert not wrong


CHECKS = {"containers": containers}
