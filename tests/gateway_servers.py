"""Providers of SMS and calls as documented: they check the signature of every request, and answer as they are told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qsl, unquote

from tests.delivery_fakes import HANG, RESET, Got, Server

KEY_ID, KEY_SECRET = "LTAI-canary-id", "canary-cloud-secret"
Answer = dict[str, Any] | int | str | tuple[int, dict[str, Any]]


class Provider(Server):
    """script: what each request meets: a JSON object, a status, (status, object), HANG, RESET, or text as it stands;
    then `usual`. asked: the parameters of each request whose signature was right; got: the requests as they came."""

    usual: dict[str, Any] = {}

    def __init__(self, *script: Answer) -> None:
        super().__init__()
        self.script = list(script)
        self.got: list[Got] = []
        self.asked: list[dict[str, Any]] = []

    def wrong(self) -> Answer:
        """What a request with a wrong signature gets."""
        raise NotImplementedError

    def read(self, got: Got) -> dict[str, Any] | None:
        """The parameters, None if the signature is wrong."""
        raise NotImplementedError

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        top = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in top[1:] if row)}
        got = Got(top[0], headers, await reader.readexactly(int(headers.get("content-length", "0"))))
        self.got.append(got)
        asked = self.read(got)
        if asked is not None:
            self.asked.append(asked)
        step: Answer = self.wrong() if asked is None else self.script.pop(0) if self.script else self.usual
        if step == HANG:
            await asyncio.sleep(3600)
        if step == RESET:
            writer.transport.abort()
            return
        status, body = step if isinstance(step, tuple) else (step, "") if isinstance(step, int) else (200, step)
        text = (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text)
        await writer.drain()


class Tencent(Provider):
    """SendSms and SendTts, by the X-TC-Action of the request."""

    def read(self, got: Got) -> dict[str, Any] | None:
        action, seconds = got.headers["x-tc-action"], got.headers["x-tc-timestamp"]
        service = {"SendSms": "sms", "SendTts": "vms"}[action]
        self.usual = ({"Response": {"SendStatusSet": [{"Code": "Ok", "Message": "send success"}], "RequestId": "r"}}
                      if service == "sms" else {"Response": {"SendStatus": {"CallId": "c1"}, "RequestId": "r"}})
        names = "content-type;host;x-tc-action"
        canonical = "\n".join((
            "POST", "/", "", f"content-type:{got.headers['content-type']}\nhost:{got.headers['host']}\n"
            f"x-tc-action:{action.lower()}\n", names, hashlib.sha256(got.body).hexdigest()))
        date, _, _ = got.headers["authorization"].partition("Credential=")[2].partition("/")[2].partition("/")
        text = f"TC3-HMAC-SHA256\n{seconds}\n{date}/{service}/tc3_request\n{_hash(canonical)}"
        key = f"TC3{KEY_SECRET}".encode()
        for part in (date, service, "tc3_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        wanted = (f"TC3-HMAC-SHA256 Credential={KEY_ID}/{date}/{service}/tc3_request, SignedHeaders={names}, "
                  f"Signature={hmac.digest(key, text.encode(), 'sha256').hex()}")
        return json.loads(got.body) if got.headers["authorization"] == wanted else None

    def wrong(self) -> Answer:
        return {"Response": {"Error": {"Code": "AuthFailure.SignatureFailure", "Message": "no"}, "RequestId": "r"}}


class Aliyun(Provider):
    """SendSms and SingleCallByTts."""

    usual = {"Code": "OK", "Message": "OK", "RequestId": "r"}

    def read(self, got: Got) -> dict[str, Any] | None:
        query = got.line.split(" ")[1].partition("?")[2]
        names = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version"
        canonical = "\n".join((
            "POST", "/", query, "".join(f"{name}:{got.headers[name]}\n" for name in names.split(";")), names,
            hashlib.sha256(got.body).hexdigest()))
        made = hmac.digest(KEY_SECRET.encode(), f"ACS3-HMAC-SHA256\n{_hash(canonical)}".encode(), "sha256").hex()
        wanted = f"ACS3-HMAC-SHA256 Credential={KEY_ID},SignedHeaders={names},Signature={made}"
        if got.headers["authorization"] != wanted or "+" in query:
            return None
        return {name: unquote(value) for name, value in parse_qsl(query)}

    def wrong(self) -> Answer:
        return 400, {"Code": "SignatureDoesNotMatch", "Message": f"server string to sign is {KEY_SECRET}"}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
