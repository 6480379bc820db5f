"""Links that carry who may answer which alert, signed: HMAC-SHA256 over the claim, base64url, no state anywhere."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

import msgspec

from pipeline.errors import WenxunError
from pipeline.model import Millis

LIFE: Millis = 72 * 3_600_000
"""From the message on. An alert that nobody answered for so long is answered on the desk."""
MIN_KEY = 32
MAX_TOKEN = 512
_PURPOSE = b"wenxun.link.v1\0"
_TAG = 16
"""Bytes of the tag: 128 bits, which nobody guesses, and a link that fits into a text message."""
_CHANGED = "链接不完整或被改动过。请回到消息里重新点开，或登录值班台处理。"
_EXPIRED = "链接已过期。请用最新一条消息里的链接，或登录值班台处理。"


class LinkError(WenxunError):
    """A link that is not ours (`changed`) or too old (`expired`). The text is for the person; no token is in it."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Claim(msgspec.Struct, frozen=True):
    """What a link says. person: of the roster, who alone got it; empty: a group did, so it names nobody."""

    event_id: str
    alert_id: str
    person: str
    expires_at: Millis


_Wire = tuple[Any, Any, str, Millis]
"""event, alert, person, until: ids that are hexadecimal travel as half as many bytes."""


def sign(key: bytes, claim: Claim) -> str:
    """The token of a claim. The same key and claim give the same token."""
    wire: _Wire = (_pack(claim.event_id), _pack(claim.alert_id), claim.person, claim.expires_at)
    payload = msgspec.msgpack.encode(wire)
    return _text(_tag(key, payload) + payload)


def verify(key: bytes, token: str, now: Millis) -> Claim:
    """The claim of a token that this key signed and that has not expired; else LinkError."""
    payload = _checked(key, token)
    event, alert, person, until = msgspec.msgpack.decode(payload, type=_Wire)
    claim = Claim(_unpack(event), _unpack(alert), person, until)
    if now >= claim.expires_at:
        raise LinkError("expired", _EXPIRED)
    return claim


def _checked(key: bytes, token: str) -> bytes:
    """What was signed. A token is taken only in the one form that `sign` writes it in."""
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4)) if len(token) <= MAX_TOKEN else b""
    except ValueError:
        raw = b""
    tag, payload = raw[:_TAG], raw[_TAG:]
    right = hmac.compare_digest(tag, _tag(key, payload))
    if not right or not hmac.compare_digest(_text(raw).encode(), token.encode("utf-8", "replace")):
        raise LinkError("changed", _CHANGED)
    return payload


def _tag(key: bytes, payload: bytes) -> bytes:
    if len(key) < MIN_KEY:
        raise ValueError(f"a key of at least {MIN_KEY} bytes")
    return hmac.new(key, _PURPOSE + payload, sha256).digest()[:_TAG]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _pack(ident: str) -> bytes | str:
    try:
        packed = bytes.fromhex(ident)
    except ValueError:
        return ident
    return packed if packed.hex() == ident and ident else ident


def _unpack(ident: bytes | str) -> str:
    return ident.hex() if isinstance(ident, bytes) else ident


def bind(key: bytes, *parts: str) -> str:
    """A mark that ties these together for a form: nobody makes another pair of them without the key."""
    return hmac.new(key, b"\0".join((b"wenxun.form.v1", *(each.encode() for each in parts))), sha256).hexdigest()
