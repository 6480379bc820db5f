from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from agents import outbound
from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.post import judge, wait_of
from agents.deliverer.secrets import SecretError, Secrets
from agents.deliverer.webhook import Webhook, signature, signing_key
from agents.settings import Settings
from pipeline.model import Escalation
from pipeline.notify.render import Setting, render
from pipeline.rulebook.schema import Channel, ChannelType, Person
from tests.builders import book
from tests.delivery_fakes import RESET, Hook
from tests.messages import page

NOW = 1_614_265_330_000


def letter(escalation: Escalation | None = None, ident: str = "msg_1") -> Letter:
    record = escalation or page()
    setting = Setting(book(), Settings().zone)
    return Letter(ident, Person(id="duty-a", name="甲", channels=("hook",)), record, render(record, setting))


async def post(server: Hook, path: Path, *, allow: bool = True, **channel: Any) -> Outcome:
    settings = Settings(allow_private=(f"127.0.0.1:{server.port}",) if allow else ())
    where = {"url": f"http://127.0.0.1:{server.port}/hook?key=canary-key", **channel}
    async with outbound.client(settings) as client:
        return await Webhook(client, Secrets(path), lambda: NOW)(
            Channel(id="hook", type=ChannelType.WEBHOOK, **where), letter())


def test_the_signature_is_that_of_standard_webhooks() -> None:
    key = signing_key("hook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}') == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")


def test_a_secret_of_another_form_is_the_key_itself_and_a_broken_one_is_named() -> None:
    assert signing_key("hook", "plain 密") == "plain 密".encode()
    with pytest.raises(SecretError, match="通道 hook：.*whsec_") as caught:
        signing_key("hook", "whsec_***")
    assert "***" not in str(caught.value)


async def test_a_post_is_signed_identified_and_json(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    async with Hook() as server:
        assert await post(server, tmp_path, secret_file="secret") == Sent()
    got = server.got[0]
    key = signing_key("hook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert got.line.startswith("POST /hook?key=canary-key")
    assert got.headers["webhook-id"] == got.headers["idempotency-key"] == "msg_1"
    assert got.headers["webhook-signature"] == signature(key, "msg_1", int(got.headers["webhook-timestamp"]), got.body)
    body = json.loads(got.body)
    assert (body["id"], body["receiver"], body["type"]) == ("msg_1", "duty-a", "wenxun.page")
    assert body["data"]["event"]["number"] == "E-0317"


async def test_while_keys_change_every_one_of_them_signs(tmp_path: Path) -> None:
    """The new key first: a receiver that knows either takes it, as the specification says of several signatures."""
    (tmp_path / "secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n\n plain-old-key \n")
    async with Hook() as server:
        assert await post(server, tmp_path, secret_file="secret") == Sent()
    got = server.got[0]
    made = got.headers["webhook-signature"].split(" ")
    seconds = int(got.headers["webhook-timestamp"])
    assert made == [signature(signing_key("hook", key), "msg_1", seconds, got.body)
                    for key in ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plain-old-key")]


@pytest.mark.parametrize(("status", "kind"), [
    (200, Sent), (204, Sent), (301, Refused), (302, Refused), (400, Refused), (401, Refused), (403, Refused),
    (404, Refused), (410, Refused), (408, Retry), (425, Retry), (429, Retry), (500, Retry), (502, Retry), (503, Retry)])
def test_the_status_says_whether_trying_again_helps(status: int, kind: type) -> None:
    assert isinstance(judge(status, "", NOW), kind)


@pytest.mark.parametrize(("header", "wait"), [
    ("2", 2000), ("0", 0), ("999999999999", 86_400_000), ("Thu, 25 Feb 2021 15:02:20 GMT", 10_000),
    ("Thu, 25 Feb 2021 15:00:00 GMT", 0), ("", None), ("soon", None), ("-5", None)])
def test_retry_after_is_seconds_or_a_date(header: str, wait: int | None) -> None:
    assert wait_of(header, NOW) == wait


async def test_retry_after_is_honoured_on_429_and_503(tmp_path: Path) -> None:
    async with Hook((429, "Retry-After: 7"), (503, "Retry-After: 9")) as server:
        assert await post(server, tmp_path) == Retry("HTTP 429", 7000)
        assert await post(server, tmp_path) == Retry("HTTP 503", 9000)


async def test_a_connection_that_breaks_is_tried_again_without_naming_the_url(tmp_path: Path) -> None:
    async with Hook(RESET) as server:
        outcome = await post(server, tmp_path)
    assert isinstance(outcome, Retry) and "canary" not in outcome.error
    gone = await post(server, tmp_path)
    assert isinstance(gone, Retry) and "canary" not in gone.error


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with Hook() as other, Hook((307, f"Location: http://127.0.0.1:{other.port}/")) as server:
        outcome = await post(server, tmp_path)
    assert isinstance(outcome, Refused) and "跳转" in outcome.error and other.got == []


async def test_an_inner_address_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    async with Hook() as server:
        outcome = await post(server, tmp_path, allow=False)
    assert isinstance(outcome, Refused) and "WENXUN_FEED_ALLOW_PRIVATE_CIDRS" in outcome.error
    assert server.got == [] and "canary" not in outcome.error


async def test_secrets_are_read_at_each_sending(tmp_path: Path) -> None:
    async with Hook() as first, Hook() as second:
        for server in (first, second):
            (tmp_path / "url").write_text(f"http://127.0.0.1:{server.port}/canary-key\n")
            assert await post(server, tmp_path, url="", url_file="url") == Sent()
    assert len(first.got) == len(second.got) == 1


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"x" * 20_000])
async def test_a_secret_file_that_cannot_be_used_is_named_and_tried_again(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "url").write_bytes(content)
    async with Hook() as server:
        outcome = await post(server, tmp_path, url="", url_file="url")
    assert isinstance(outcome, Retry) and "通道 hook" in outcome.error and str(tmp_path / "url") in outcome.error
    assert "xxx" not in outcome.error


async def test_a_url_that_is_none_is_refused_without_being_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Hook() as server:
        for url in ("canary-key", "ftp://canary-key/x", "http://u:canary-key@a.example/"):
            outcome = await post(server, tmp_path, url=url)
            assert isinstance(outcome, Refused), url
            assert "canary" not in outcome.error
