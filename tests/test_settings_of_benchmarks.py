"""What the benchmarks declare: every setting, which of them decide pixels, and the names of caches that exist."""

from dataclasses import dataclass, fields
from types import SimpleNamespace

import pytest

import benchmarks
from benchmarks import protocols
from benchmarks.moving_digits import folder_name
from benchmarks.recorded import cache_name
from benchmarks.settings import BUILT_IN, KineticsSettings, RecordedSettings
from harness.common.settings import declared, setting

CLIPS = SimpleNamespace(hash="abc")


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_setting_is_declared_and_the_source_has_the_same(name):
    assert benchmarks.BENCHMARKS.get(name).Settings is benchmarks.SETTINGS[name] is BUILT_IN[name]
    for entry in fields(BUILT_IN[name]):
        assert declared(entry).help
        assert declared(entry).kind in ("value", "pixels", "path", "machine")


def test_caches_that_exist_are_found_again():
    def recorded(name: str, *more, **options):
        return cache_name(name, CLIPS, benchmarks.parse(name, options), *more)

    assert folder_name(benchmarks.parse("moving_digits", {})) == "moving-digits-884dfc3db584"
    assert folder_name(benchmarks.parse("moving_digits", {"leak": 0, "limit": 3})) == "moving-digits-884dfc3db584"
    assert folder_name(benchmarks.parse("moving_digits", {"leak": 0.2, "actions": 20})) == "moving-digits-e4c1641b2c55"
    assert recorded("kinetics") == recorded("kinetics", flip="all", patience=3, videos="/a") == "kinetics-f00938fe3904"
    assert recorded("kinetics", "skip", ["a"]) == "kinetics-5871e3c11110"
    assert recorded("epic_kitchens", size=64, candidates=3) == "epic-kitchens-185cfeacbfc4"
    assert recorded("video_csv", codec="raw", margin=4) == "video-csv-7dbca0725ccf"


def test_a_new_setting_of_pixels_is_part_of_the_name_but_at_its_default():
    @dataclass(frozen=True)
    class Later(RecordedSettings):
        sharp: bool = setting(False, "sharpened frames", kind="pixels", since="3")

    plain = cache_name("kinetics", CLIPS, KineticsSettings())
    assert cache_name("kinetics", CLIPS, Later()) == plain
    assert cache_name("kinetics", CLIPS, Later(sharp=True)) != plain


def test_the_hashes_of_protocols_stay():
    digest = {name: rule.hash("x") for name, rule in protocols.PROTOCOLS.items()}
    assert digest["moving-digits-10/v1"] == "350d96d8dddf"
    assert digest["ek100-noun-10/v1"] == "caa9b904542d"
    assert digest["vclimb-activitynet-20/v1"] == "19d52b3f9d6f"
    plain = {name.partition("-")[0] for name, rule in protocols.PROTOCOLS.items() if not rule.pretrains}
    assert plain == {"k700", "vclimb", "tcd"}


def test_of_two_protocols_the_one_that_says_more_is_named():
    given = {"dataset": "activitynet", "frames": 14, "size": 224}
    assert protocols.identify("vclimb", "action", 10, given) == "vclimb-activitynet-10/v1"
    assert (
        protocols.identify("vclimb", "action", 10, {**given, "untrimmed": True}) == "vclimb-activitynet-untrimmed-10/v1"
    )
    with pytest.raises(ValueError, match=r"untrimmed=true is for benchmark\.dataset=activitynet"):
        protocols.identify("vclimb", "action", 10, {"untrimmed": True})
