"""Videos as people have them: each clip gets the frames of its time, or its file is named."""

from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

import benchmarks
from benchmarks.frames.decode import BadVideo, decode, extent, frame_times
from tests import videos
from tests.videos import RATE, Made

REPORTS = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "reports"
needs_reports = pytest.mark.skipif(not REPORTS.is_dir(), reason="the reported files are not here")
ALL = list(videos.combinations())


def offsets(path: Path, made: Made) -> Counter:
    """For each frame asked for alone: how far the one that came is from it; None for one that shows no number."""
    found: Counter = Counter()
    for k in range(made.n):
        try:
            shown = videos.number_of(decode(path, [videos.due(made, k)])[0])
        except BadVideo as error:
            assert str(path) in str(error)
            found["refused"] += 1
        else:
            # The first frames may be asked for before the first is there, by less than the slack.
            found[shown if shown is None else max(shown - k, -k)] += 1
    return found


def check(path: Path, made: Made) -> None:
    """A whole file gives every frame, at one distance of at most two; a cut one the frames before the cut."""
    videos.write(path, made)
    if made.keep == 1:
        found = offsets(path, made)
        assert "refused" not in found
        assert None not in found
        assert set(list(found)) <= {0, -1, -2}
        assert max(found.values()) >= made.n - 2, found
        begin, end = extent(path)[:2]
        assert end - begin == pytest.approx(made.n / RATE, abs=0.09 if made.ending != "avi" else 2.2)
        return
    found = offsets(path, made)
    right = max((found[k], k) for k in (0, -1, -2))[1]
    # Up to the slack past the cut the last frame stays; nothing else is wrong.
    assert None not in found
    assert sum(n for k, n in found.items() if k not in ("refused", right)) <= 5, found


@pytest.mark.parametrize("made", ALL[:: len(ALL) // 30], ids=str)
def test_a_frame_asked_for_by_its_time_comes_from_every_container(made, tmp_path):
    check(tmp_path / f"a.{made.ending}", made)


@pytest.mark.slow
@pytest.mark.parametrize("made", ALL, ids=str)
def test_every_combination_of_container_codec_start_b_frames_and_cut(made, tmp_path):
    check(tmp_path / f"a.{made.ending}", made)
