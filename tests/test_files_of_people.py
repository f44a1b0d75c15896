"""Videos as people have them: each clip gets the frames of its time, or its file is named."""

from pathlib import Path

import pytest

from tests import videos

REPORTS = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "reports"
needs_reports = pytest.mark.skipif(not REPORTS.is_dir(), reason="the reported files are not here")
ALL = list(videos.combinations())


@pytest.mark.parametrize("made", ALL[:: len(ALL) // 30], ids=str)
def test_a_frame_asked_for_by_its_time_comes_from_every_container(made, tmp_path):
    videos.check(tmp_path / f"a.{made.ending}", made)
