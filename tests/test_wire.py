"""An old worker beside a new one: who reads whose records, and what a change to a value has to do so that it stays so.

What old code makes of today's records was noted by running that code (tests/wire.py); here the notes are held to be of
today's records, and to be what the docs promise: kept whole or set aside as a dead letter, and what is left out named.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import codec
from pipeline.rulebook.older import as_now
from tests import wire, wire_samples

RELEASES = sorted(wire.WIRE.glob("v*-*"))
GOLDEN = [path for folder in RELEASES for path in sorted(folder.glob("*.json"))]
NOW = f"v{codec.SCHEMA_VERSION}"


def version_of(folder: Path) -> str:
    return folder.name.removeprefix("v").partition("-")[0]


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def headers(name: str, version: str) -> dict[str, bytes]:
    return {"ce_type": f"wenxun.{name}".encode(), "ce_schemaversion": version.encode()}


def test_what_values_look_like_is_what_the_snapshot_of_this_version_says() -> None:
    held = wire.SCHEMAS / f"{NOW}.json"
    assert held.exists() and read(held) == wire.schema(), (
        f"values of pipeline/model differ from {held}. {wire.WHAT_TO_DO}")


@pytest.mark.parametrize("number", range(1, codec.SCHEMA_VERSION))
def test_no_version_takes_away_what_the_one_before_wrote(number: int) -> None:
    before, after = (read(wire.SCHEMAS / f"v{each}.json") for each in (number, number + 1))
    assert wire.broken(before, after) == []


@pytest.mark.parametrize(("change", "says"), [
    (lambda s: s["structs"]["RawItem"]["fields"].pop("url"), "RawItem.url is gone"),
    (lambda s: s["structs"]["RawItem"]["fields"].update(url="int"), "RawItem.url was str and is int"),
    (lambda s: s["structs"]["Tick"]["fields"].update(speed="int"), "Tick.speed is new and has no default"),
    (lambda s: s["structs"]["Span"].update(fields={"new": "int = default"} | s["structs"]["Span"]["fields"]),
     "Span is an array: new fields go to its end"),
    (lambda s: s["structs"]["Span"].update(array=False), "Span is an array in one version"),
    (lambda s: s["enums"]["Why"].remove("calmed"), "Why: the value 'calmed' is gone"),
    (lambda s: s["types"].pop("tick"), "record type tick is gone"),
])
def test_a_change_that_breaks_old_records_is_named(change: Any, says: str) -> None:
    after = copy.deepcopy(wire.schema())
    change(after)
    assert [each for each in wire.broken(wire.schema(), after) if says in each]
    assert wire.broken(wire.schema(), after) and not wire.broken(wire.schema(), wire.schema())


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_nothing_that_a_release_wrote_is_lost_on_todays_reader(path: Path) -> None:
    record = codec.decode(path.read_bytes(), headers(path.stem, version_of(path.parent)))
    written = as_now(read(path)) if path.stem == "rules" else read(path)
    assert wire.lost(written, msgspec.json.decode(codec.encode(record))) == []


def test_each_release_is_kept_with_all_its_types_and_later_ones_have_them_too() -> None:
    found = [{path.stem for path in folder.glob("*.json")} for folder in RELEASES]
    assert len(found) >= 4 and all(15 <= len(names) and names <= set(codec.TYPES) for names in found)
    assert {path.stem for path in (wire.WIRE / NOW).glob("*.json")} == set(codec.TYPES)


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
def test_what_an_old_worker_makes_of_todays_records_was_seen(folder: Path) -> None:
    note = read(wire.READS / f"{folder.name.partition('-')[2]}.json")
    assert note["of"] == wire.digest(), f"today's records are others than the old code was shown. {wire.WHAT_TO_DO}"
    assert set(note["types"]) == set(codec.TYPES)
    for name, seen in note["types"].items():
        lost = [each for each in seen.get("loses", ()) if name != "rules"]
        assert [each for each in lost if not within_a_part_without_extra(each)] == [], (
            f"an old worker that passes {name} on loses {lost}: raise codec.SCHEMA_VERSION")
        assert all("unknown ce_type" in why or "Invalid enum value" in why or name == "rules"
                   for why in seen.get("sets aside", ()))


def within_a_part_without_extra(path: str) -> bool:
    """Members of a decision and of rows: small values that carry nothing unknown (and are of whoever decides)."""
    return ".decision." in path or path.endswith("[][]")


def test_the_last_release_reads_all_of_todays_records_whole() -> None:
    assert not any(read(wire.READS / "74fe6d5.json")["types"].values())


def test_a_sample_has_every_field_of_its_type() -> None:
    for name, cls in codec.TYPES.items():
        if name != "rules":
            value = wire_samples.sample(cls)
            fields = {each for each in value.__struct_fields__ if each != "extra"}
            assert set(msgspec.json.decode(codec.encode(value))) == fields
