"""Rows of the contract suite for gateways: SMS, calls, HTTP, Alertmanager."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apprise.plugins.discord import NotifyDiscord

from agents.deliverer.letter import Refused, Retry
from pipeline.rulebook.schema import ChannelType
from tests.channel_rows import Row, Wanted, bodies, http_faults, spoilt, write
from tests.channel_servers import strings
from tests.delivery_fakes import Got, Hook
from tests.gateway_servers import KEY_ID, KEY_SECRET, Aliyun, Provider, Tencent

Fields = Callable[[int, Path], dict[str, Any]]
Answers = tuple[tuple[Any, Wanted], ...]


class _Taking(Provider):
    """taken: what a request asked that met no fault."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[dict[str, Any]] = []

    def read(self, got: Got) -> dict[str, Any] | None:
        asked = super().read(got)
        if asked is not None and not self.script:
            self.taken.append(asked)
        return asked


class TakingAliyun(_Taking, Aliyun):
    pass


class TakingTencent(_Taking, Tencent):
    pass


class _Any(Provider):
    usual = {"code": 0}

    def read(self, got: Got) -> dict[str, Any] | None:
        return json.loads(got.body) if got.headers["authorization"] == "Bearer canary-gate" else None

    def wrong(self) -> Any:
        return 401, {"error": "canary"}


class TakingGate(_Taking, _Any):
    pass


# ---------------------------------------------------------------- SMS and calls


def _cloud(**more: Any) -> Fields:
    return lambda port, path: {
        **write(path, id=KEY_ID, key=KEY_SECRET), "url": f"http://127.0.0.1:{port}", "key_file": "id",
        "secret_file": "key", "params": ("number", "level", "title"), **more}


def _signed(kind: ChannelType, server: Callable[[], Any], answers: Answers, **more: Any) -> Row:
    return Row(kind=kind, server=server, fields=_cloud(**more), secrets=(KEY_SECRET,), files=("id", "key"),
               spoil=spoilt(key="canary-wrong"), faults=http_faults(), stamp=lambda one: one.taken, link=False,
               answers=answers)


_ALIYUN: Answers = (
    ({"Code": "isv.BUSINESS_LIMIT_CONTROL", "Message": "触发分钟级流控Permits:1"}, (Retry, 60_000)),
    ({"Code": "isv.AMOUNT_NOT_ENOUGH", "Message": "canary"}, (Refused, None)),
    ({"Code": "canary-9", "Message": "canary"}, (Retry, None)), ("[]", (Retry, None)))
_TENCENT: Answers = (
    ({"Response": {"Error": {"Code": "AuthFailure.SecretIdNotFound", "Message": "canary"}}}, (Refused, None)),
    ({"Response": {"SendStatusSet": [{"Code": "LimitExceeded.PhoneNumberThirtySecondLimit"}]}}, (Retry, 30_000)),
    ({"Response": {}}, (Retry, None)), ("[]", (Retry, None)))
_APP = {"app": "1400006666", "template": "1110"}

# ---------------------------------------------------------------- HTTP and Alertmanager


def _alert(posted: dict[str, Any]) -> str:
    """What a person reads, then the labels."""
    return "\n".join((*strings(posted["annotations"]), *strings(posted["labels"])))


HTTP = Row(
    kind=ChannelType.HTTP, server=TakingGate, secrets=("canary-gate",), files=("secret",),
    fields=lambda port, path: {
        **write(path, secret="canary-gate"), "url": f"http://127.0.0.1:{port}/send", "secret_file": "secret",
        "headers": {"Authorization": "Bearer {secret}"}, "expect": "code == `0`",
        "body": '{"text": "{text}", "title": "{title}", "link": "{link}", "id": "{id}"}'},
    spoil=spoilt(secret="canary-wrong"), faults=http_faults(), stamp=lambda one: one.taken,
    answers=(({"code": 7, "msg": "canary"}, (Retry, None)), ({}, (Retry, None)), ("[]", (Retry, None))))

ALERTMANAGER = Row(
    kind=ChannelType.ALERTMANAGER, server=Hook, secrets=("canary-token",), files=("secret",), link=False,
    fields=lambda port, path: {
        **write(path, secret="canary-token"), "url": f"http://127.0.0.1:{port}", "secret_file": "secret"},
    faults={name: fault for name, fault in http_faults().items() if name != "html"},   # only the status counts
    shown=lambda server: [_alert(json.loads(got.body)[0]) for got in server.got], stamp=bodies)



def _said_at(posted: dict[str, Any]) -> str:
    """The text of a Discord message, without what Apprise says of itself."""
    return str(posted["content"])


class DiscordHook(Hook):
    """What Apprise calls in the place of Discord while it is open."""

    async def __aenter__(self) -> DiscordHook:
        await super().__aenter__()
        self._real = NotifyDiscord.notify_url
        NotifyDiscord.notify_url = f"http://127.0.0.1:{self.port}/api/webhooks"
        return self

    async def __aexit__(self, *exc: object) -> None:
        NotifyDiscord.notify_url = self._real
        await super().__aexit__(*exc)


APPRISE = Row(
    kind=ChannelType.APPRISE, server=DiscordHook, secrets=("canary-token",), files=("url",), redirect=Retry,
    fields=lambda port, path: {**write(path, url="discord://4174216298/canary-token"), "url_file": "url"},
    faults={name: fault for name, fault in http_faults().items() if name != "html"},   # best effort: the status alone
    shown=lambda server: [_said_at(json.loads(got.body)) for got in server.got])

ROWS: tuple[Row, ...] = (
    _signed(ChannelType.ALIYUN_SMS, TakingAliyun, _ALIYUN, template="SMS_123456789", sign="石桥镇选举办"),
    _signed(ChannelType.ALIYUN_VOICE, TakingAliyun, _ALIYUN, template="TTS_123456789"),
    _signed(ChannelType.TENCENT_SMS, TakingTencent, _TENCENT, **_APP, sign="石桥镇选举办"),
    _signed(ChannelType.TENCENT_VOICE, TakingTencent, _TENCENT, **_APP),
    HTTP, ALERTMANAGER, APPRISE)
