"""Records <-> bytes and headers: JSON by msgspec, CloudEvents 1.0 attributes as Kafka headers (binary mode).

`ce_type` says which record it is, `ce_schemaversion` which version wrote it. A record of another version is read on a
slower path that keeps what this version does not know in `extra`, and lifts out of `extra` what it does know, so a
worker between a newer writer and a newer reader loses nothing. That works only where the number grows with the fields:
tests/test_wire.py holds it, and says what to do when a value changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec
import msgspec.inspect

from pipeline import model
from pipeline.errors import CodecError
from pipeline.rulebook.older import as_now
from pipeline.rulebook.schema import RuleBook
from pipeline.times import rfc3339

SCHEMA_VERSION = 2
"""1: everything up to response clocks, whose workers read it as their own and drop fields that they do not know.
2: the control room; workers of version 1 keep what they do not know."""
CONTENT_TYPE = "application/json"
_PREFIX = "wenxun."

TYPES: dict[str, type[Any]] = {
    "items.raw": model.RawBatch,
    "counts": model.CountsBatch,
    "poll": model.PollRequest,
    "collector.state": model.SourceState,
    "items.scored": model.ScoredBatch,
    "event.head": model.EventHead,
    "event.close": model.Close,
    "event.warm": model.WarmEvent,
    "tick": model.Tick,
    "alert.ack": model.Ack,
    "alert.snooze": model.Snooze,
    "alert.handover": model.HandOver,
    "alert.silence": model.Silence,
    "alert.state": model.AlertState,
    "event.comment": model.Comment,
    "event.statement": model.Statement,
    "event.clocks": model.EventClocks,
    "heartbeat": model.Heartbeat,
    "alert.warm": model.WarmAlert,
    "escalation": model.Escalation,
    "delivery": model.Delivery,
    "dead": model.DeadLetter,
    "rules": RuleBook,
    "rules.state": model.RulesState,
    "rules.answer": model.RulesAnswer,
    "rules.worker": model.Worker,
    "verdict": model.Verdict,
}
_NAMES = {cls: name for name, cls in TYPES.items()}
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {name: msgspec.json.Decoder(cls) for name, cls in TYPES.items()}
_ENCODER = msgspec.json.Encoder()

Headers = list[tuple[str, bytes]]
Value = model.Record | RuleBook


def type_name(value: Value) -> str:
    """The `ce_type` of a record, without its prefix."""
    return _NAMES[type(value)]


def encode(value: Value) -> bytes:
    return _ENCODER.encode(value)


def encode_headers(
    value: Value, *, source: str, at: model.Millis, ident: str, version: int = SCHEMA_VERSION
) -> Headers:
    """CloudEvents headers. source: the role that writes; at: its clock; ident: stable for the same record."""
    name = type_name(value)
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", ident.encode()),
        ("ce_source", f"/wenxun/{source}".encode()),
        ("ce_type", (_PREFIX + name).encode()),
        ("ce_time", rfc3339(at).encode()),
        ("ce_schemaversion", str(version).encode()),
        ("content-type", CONTENT_TYPE.encode()),
    ]


def decode(value: bytes | None, headers: Iterable[tuple[str, bytes]] | dict[str, bytes] | None) -> Any:
    """The record in these bytes; CodecError if there is none. Unknown members survive in `extra`."""
    known = dict(headers or ())
    if value is None:
        raise CodecError("record has no value (a tombstone?)")
    name = (known.get("ce_type") or b"").decode("utf-8", "replace").removeprefix(_PREFIX)
    if name not in TYPES:
        raise CodecError(f"unknown ce_type {name!r}: expected one of {', '.join(sorted(TYPES))}")
    try:
        version = int(known.get("ce_schemaversion") or b"1")
        if version != SCHEMA_VERSION:
            return _decode_other_version(value, name)
        return _decode(value, name)
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CodecError(f"{name}: {error}") from error


def decode_as(cls: type[Any], value: bytes) -> Any:
    """A record whose type is known from its place (a table row, an archived column)."""
    try:
        return _decode(value, _NAMES[cls])
    except (msgspec.MsgspecError, TypeError, AttributeError, RecursionError) as error:
        raise CodecError(f"{_NAMES[cls]}: {error}") from error


def _decode(value: bytes, name: str) -> Any:
    """A rule book may be of an earlier shape: the topic and the archive keep those that were in force then."""
    try:
        return _DECODERS[name].decode(value)
    except msgspec.ValidationError:
        if name != "rules":
            raise
    return msgspec.convert(as_now(msgspec.json.decode(value)), RuleBook)


def _decode_other_version(value: bytes, name: str) -> Any:
    if name == "rules":                     # a book has no `extra`: it is read, and sent on by nobody
        return _decode(value, name)
    loose, cls = msgspec.json.decode(value), TYPES[name]
    if not isinstance(loose, dict):
        raise CodecError("not a JSON object")
    return msgspec.convert(_keep_unknown(loose, cls), cls, builtin_types=())


def _keep_unknown(loose: dict[str, Any], cls: Any) -> dict[str, Any]:
    """Unknown members into `extra`, known ones out of it, all the way down."""
    fields = _fields(cls)
    extra = loose.get("extra") or {}
    if not isinstance(extra, dict):
        raise CodecError("`extra` is not a JSON object")
    merged = {**extra, **{k: v for k, v in loose.items() if k != "extra"}}
    kept = {name: _descend(member, fields[name]) for name, member in merged.items() if name in fields}
    unknown = {name: member for name, member in merged.items() if name not in fields}
    if unknown and "extra" in fields:
        kept["extra"] = unknown
    return kept


def _descend(member: Any, nested: type[Any] | None) -> Any:
    if nested is None:
        return member
    if isinstance(member, dict):
        return _keep_unknown(member, nested)
    if isinstance(member, list):
        return [_keep_unknown(one, nested) if isinstance(one, dict) else one for one in member]
    return member


@cache
def _fields(cls: Any) -> dict[str, type[Any] | None]:
    """Field name -> the record type nested in it, if it holds one (or many of one)."""
    found: dict[str, type[Any] | None] = {}
    info = msgspec.inspect.type_info(cls)
    assert isinstance(info, msgspec.inspect.StructType)
    for each in info.fields:
        found[each.name] = _struct_in(each.type)
    return found


def _struct_in(kind: Any) -> type[Any] | None:
    if isinstance(kind, msgspec.inspect.StructType):
        return None if kind.array_like else kind.cls
    for inner in (getattr(kind, "item_type", None), *getattr(kind, "types", ())):
        if inner is not None and (found := _struct_in(inner)) is not None:
            return found
    return None
