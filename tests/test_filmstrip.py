"""What a run keeps for pictures and cost: stored clips as they decode after each task, seconds of rehearsal apart."""

import numpy as np
import pytest

from harness.training.loop import Run
from tests.tiny import config, done, new_folder


def strip(folder) -> dict[str, np.ndarray]:
    with np.load(folder / "filmstrip.npz") as file:
        return dict(file)


def test_a_filmstrip_shows_the_same_stored_clips_after_each_task() -> None:
    _, folder = done("cram", "log.filmstrip=3")
    kept = strip(folder)
    assert kept["original"].shape == (3, 32, 32, 3)
    assert kept["decoded"].shape == (2, 3, 32, 32, 3)
    assert kept["stored"].all()  # of the first task, and the buffer holds every clip
    assert len(set(kept["sample_id"])) == 3
    assert not (done("er", "log.filmstrip=3")[1] / "filmstrip.npz").exists()  # stores no codes
    # A stop between the experiences changes nothing, and what was decoded then is not decoded again.
    half = Run(config("cram", "log.filmstrip=3"), new_folder())
    half.next_experience()
    other = Run(half.config, half.folder)
    other.to_the_end()
    for name, values in strip(half.folder).items():
        assert np.array_equal(values, kept[name]), name
    # Codes of the first task, by the decoder of the first task: what is shown is what the method would see.
    buffer, compressor = half.method.buffer, half.method.compressor
    slot = int(np.flatnonzero(np.asarray(buffer.sample_id[: len(buffer)]) == int(half.filmstrip.rows[0]))[0])
    frame = compressor.decode(buffer.take(np.array([slot])).codes)[0, 4]
    assert np.array_equal((frame * 255).round().byte().numpy(), kept["decoded"][0, 0])


@pytest.mark.parametrize(("method", "rehearses"), [("cram", True), ("refresh_only", False)])
def test_seconds_of_rehearsal_stand_apart_from_the_compressor(method: str, rehearses: bool) -> None:
    record, folder = done(method, "log.filmstrip=3")
    seconds = record["seconds"]
    assert ("rehearsal" in seconds["by_phase"]) == rehearses
    assert min(seconds["by_phase"].values()) >= 0
    assert sum(seconds["by_phase"].values()) + seconds["evaluate"] + seconds["drift"] == pytest.approx(seconds["total"])
    assert "rehearsal" not in (folder / "steps.jsonl").read_text()
    assert "rehearsal" not in record["work"]["steps"]
