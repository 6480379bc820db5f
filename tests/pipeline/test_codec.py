"""Bytes and headers: round trips, CloudEvents, versions before and after ours, and fixtures that decode for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event

from pipeline import codec
from pipeline.errors import CodecError
from pipeline.model import RawBatch, Tick
from pipeline.rulebook.schema import HOUR, RuleBook, Threshold
from tests.builders import NOON, book, raw_batch, raw_item

WIRE = Path(__file__).parent.parent / "fixtures" / "wire"
FIXTURES = sorted(WIRE.glob("v*/*.json"))


def headers(name: str, version: int = codec.SCHEMA_VERSION) -> dict[str, bytes]:
    return {"ce_type": f"wenxun.{name}".encode(), "ce_schemaversion": str(version).encode()}


def test_a_record_comes_back_as_it_was() -> None:
    batch = raw_batch(raw_item())
    made = codec.encode_headers(batch, source="collect", at=NOON, ident="x")
    assert codec.decode(codec.encode(batch), made) == batch


def test_a_rule_book_comes_back_as_it_was() -> None:
    assert codec.decode(codec.encode(book()), headers("rules")) == book()


def test_a_cloudevents_reader_understands_the_envelope() -> None:
    made = dict(codec.encode_headers(Tick(at=NOON), source="tick", at=NOON, ident="t-1"))
    event = from_binary_event(KafkaMessage(headers=made, key=None, value=codec.encode(Tick(at=NOON))))
    assert (event.get_type(), event.get_id(), event.get_source()) == ("wenxun.tick", "t-1", "/wenxun/tick")
    assert event.get_time() is not None and int(event.get_time().timestamp() * 1000) == NOON


def test_members_of_a_newer_writer_survive_an_older_worker() -> None:
    wire = json.loads(codec.encode(raw_batch(raw_item())))
    wire["likes"] = 3
    wire["items"][0]["mood"] = {"x": [1]}
    batch = codec.decode(json.dumps(wire).encode(), headers("items.raw", codec.SCHEMA_VERSION + 1))
    assert isinstance(batch, RawBatch) and batch.extra == {"likes": 3} and batch.items[0].extra == {"mood": {"x": [1]}}
    passed_on = codec.decode(codec.encode(batch), headers("items.raw"))
    assert passed_on == batch


def test_what_an_older_worker_kept_is_lifted_by_a_newer_reader() -> None:
    wire = json.loads(codec.encode(raw_batch(raw_item())))
    del wire["items"][0]["url"]
    wire["items"][0]["extra"] = {"url": "http://kept.example/"}
    batch = codec.decode(json.dumps(wire).encode(), headers("items.raw", 0))
    assert batch.items[0].url == "http://kept.example/" and batch.items[0].extra is None


@pytest.mark.parametrize(("value", "known", "says"), [
    (b"{not json", headers("items.raw"), "items.raw"),
    (b"", headers("items.raw"), "items.raw"),
    (b"\xff\xfe", headers("items.raw"), "items.raw"),
    (b"[]", headers("items.raw"), "items.raw"),
    (b"{}", headers("items.raw"), "missing required field"),
    (b"[" * 100_000, headers("items.raw"), "items.raw"),
    (b"{}", {}, "unknown ce_type"),
    (b"{}", headers("nonsense"), "unknown ce_type 'nonsense'"),
    (b"[]", headers("items.raw", 9), "not a JSON object"),
    (b"{}", {"ce_type": b"wenxun.tick", "ce_schemaversion": b"x"}, "tick"),
    (None, headers("tick"), "tombstone"),
])
def test_bytes_that_are_no_record_say_so(value: bytes | None, known: dict[str, bytes], says: str) -> None:
    with pytest.raises(CodecError, match=says):
        codec.decode(value, known)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_records_of_every_released_version_decode(path: Path) -> None:
    record = codec.decode(path.read_bytes(), headers(path.stem, int(path.parent.name[1:].partition("-")[0])))
    again = codec.decode(codec.encode(record), headers(path.stem))
    assert again == record and codec.type_name(record) == path.stem


def test_every_record_type_has_a_fixture_of_this_version() -> None:
    current = {path.stem for path in (WIRE / f"v{codec.SCHEMA_VERSION}").glob("*.json")}
    assert current == set(codec.TYPES)


def test_a_book_of_before_the_rules_language_means_what_it_meant() -> None:
    wire = json.loads((WIRE / "v1" / "rules.json").read_bytes())
    wire["subjects"][0]["exclude"] = ["打榜"]
    wire["levels"]["ladder"][1]["enter"] |= {"growth": 500, "growth_sources": 2}
    wire["levels"]["overrides"][0]["enter"]["一般"] |= {"growth": 40}
    for found in (codec.decode(json.dumps(wire).encode(), headers("rules")),
                  codec.decode(json.dumps(wire).encode(), headers("rules", 1)),
                  codec.decode_as(RuleBook, json.dumps(wire).encode())):
        assert [each.name for each in found.subjects[0].exclude] == ["打榜"]
        assert [each.enter for each in found.levels.ladder[:2]] == [
            (Threshold(items=3, sources=2, window=HOUR),),
            (Threshold(items=10, sources=4, window=2 * HOUR),
             Threshold(growth=500, growth_sources=2, window=2 * HOUR))]
        assert found.levels.overrides[0].enter["一般"][1] == Threshold(growth=40, window=2 * HOUR)


@pytest.mark.parametrize("wrong", [{"levels": 3}, {"levels": {"ladder": 3}}, {"subjects": [3]}, {"subjects": None}])
def test_a_book_of_no_version_is_no_book(wrong: dict[str, object]) -> None:
    wire = json.loads((WIRE / "v1" / "rules.json").read_bytes()) | wrong
    with pytest.raises(CodecError, match="rules"):
        codec.decode(json.dumps(wire).encode(), headers("rules"))
    with pytest.raises(CodecError, match="rules"):
        codec.decode_as(RuleBook, json.dumps(wire).encode())
