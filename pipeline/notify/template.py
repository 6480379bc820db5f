"""Templates of `http` channels: places in braces, each value escaped for the format that it stands in, so that what a
stranger wrote can add no field, no header and no parameter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote
from xml.sax.saxutils import escape as xml_escape

import msgspec

from pipeline.notify import gateway
from pipeline.notify.safe import ELLIPSIS
from pipeline.rulebook.schema import Channel, Person
from pipeline.rulebook.schema.channels import PLACES

_PLACE = re.compile(r"\{(" + "|".join(PLACES) + r")\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
LONGEST = 2000
"""Characters of a value."""

Escape = Callable[[str], str]


def values(fields: Mapping[str, str], person: Person, ident: str, drill: bool, secret: str) -> dict[str, str]:
    """What stands in the places. fields: of the message."""
    number = gateway.mobile(person.mobile)
    return {**{name: _short(_CONTROL.sub(" ", text)) for name, text in fields.items()},
            "person": person.id, "name": person.name, "mail": person.mail, "id": ident,
            "mobile": number.removeprefix("+86"), "drill": "演练" if drill else "", "secret": secret}


def content_type(channel: Channel) -> str:
    """As its headers say; else by how the body begins."""
    written = next((text for name, text in channel.headers.items() if name.lower() == "content-type"), "")
    if written or not channel.body:
        return written
    begins = channel.body.lstrip()[:1]
    if begins in ("{", "[") and not _PLACE.match(channel.body.lstrip()):
        return "application/json; charset=utf-8"
    return "text/xml; charset=utf-8" if begins == "<" else "application/x-www-form-urlencoded; charset=utf-8"


def url(template: str, told: Mapping[str, str]) -> str:
    return _fill(template, told, _percent)


def body(channel: Channel, told: Mapping[str, str]) -> bytes:
    return _fill(channel.body, told, _escape_of(content_type(channel))).encode()


def headers(channel: Channel, told: Mapping[str, str]) -> dict[str, str]:
    """A header holds ASCII alone: other text goes percent-encoded; the secret as it is written."""
    made = {name: _fill(text, told, _header) for name, text in channel.headers.items()}
    kind = content_type(channel)
    return made if not kind or any(name.lower() == "content-type" for name in made) else {**made, "Content-Type": kind}


def _fill(template: str, told: Mapping[str, str], escape: Escape) -> str:
    return _PLACE.sub(lambda found: escape(told.get(found[1], "")), template)


def _escape_of(kind: str) -> Escape:
    if "json" in kind:
        return _json
    if "xml" in kind:
        return _xml
    return _percent if "urlencoded" in kind else str


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]


def _xml(text: str) -> str:
    return xml_escape(text, {'"': "&quot;", "'": "&apos;"})


def _percent(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _header(text: str) -> str:
    plain = _CONTROL.sub(" ", text)
    return plain if plain.isascii() else quote(plain, safe=" ", errors="replace")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + ELLIPSIS
