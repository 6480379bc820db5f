"""Signatures of requests to Tencent Cloud (TC3-HMAC-SHA256) and Alibaba Cloud (ACS3-HMAC-SHA256), as published.

Both sign a canonical text of method, path, query, some headers and the body's hash. Each function returns the headers
to send, all of them: what is signed must be sent byte for byte.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

TC3 = "TC3-HMAC-SHA256"
ACS3 = "ACS3-HMAC-SHA256"
JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Key:
    """An access key. Its secret is in no text of it."""

    ident: str
    secret: str

    def __repr__(self) -> str:
        return "Key(…)"


def tencent(
    key: Key, *, host: str, service: str, action: str, version: str, region: str, body: bytes, seconds: int,
) -> dict[str, str]:
    """Headers of a POST of JSON to `https://host/`. seconds: now; the provider accepts five minutes of difference."""
    signed = {"content-type": JSON, "host": host, "x-tc-action": action.lower()}
    date = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
    scope = f"{date}/{service}/tc3_request"
    text = "\n".join((TC3, str(seconds), scope, _sha256(_canonical("", signed, body).encode())))
    secret = f"TC3{key.secret}".encode()
    for part in (date, service, "tc3_request"):
        secret = _hmac(secret, part)
    return {
        "Content-Type": JSON, "Host": host, "X-TC-Action": action, "X-TC-Version": version,
        "X-TC-Timestamp": str(seconds), **({"X-TC-Region": region} if region else {}),
        "Authorization": f"{TC3} Credential={key.ident}/{scope}, SignedHeaders={';'.join(sorted(signed))}, "
                         f"Signature={_hmac(secret, text).hex()}"}


def aliyun(
    key: Key, *, host: str, action: str, version: str, query: str, seconds: int, nonce: str, body: bytes = b"",
) -> dict[str, str]:
    """Headers of a POST to `https://host/?query`; query as `query_of` made it. nonce: another one at every request."""
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    signed = {"host": host, "x-acs-action": action, "x-acs-content-sha256": _sha256(body), "x-acs-date": moment,
              "x-acs-signature-nonce": nonce, "x-acs-version": version}
    text = "\n".join((ACS3, _sha256(_canonical(query, signed, body).encode())))
    return {**signed, "Authorization": f"{ACS3} Credential={key.ident},SignedHeaders={';'.join(sorted(signed))},"
                                       f"Signature={_hmac(key.secret.encode(), text).hex()}"}


def query_of(params: Mapping[str, str]) -> str:
    """Sorted and percent-encoded as RFC 3986 says: the same bytes are signed and sent."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(params[name], safe='-_.~')}" for name in sorted(params))


def _canonical(query: str, headers: Mapping[str, str], body: bytes) -> str:
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    return "\n".join(("POST", "/", query, lines, ";".join(names), _sha256(body)))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
