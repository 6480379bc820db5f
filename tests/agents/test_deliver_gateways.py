"""SMS, calls and templated gateways, against servers that check every signature and answer as documented."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents import outbound
from agents.deliverer.cloud import Cloud
from agents.deliverer.http_gateway import HttpGateway
from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import Secrets
from agents.settings import Settings
from pipeline.notify.render import Setting, render
from pipeline.rulebook.schema import Channel, ChannelType, Person
from tests.builders import book
from tests.delivery_fakes import RESET, Server
from tests.gateway_servers import KEY_ID, KEY_SECRET, Aliyun, Provider, Tencent
from tests.messages import head, page

NOW = 1_795_402_800_000
NUMBER = "138 0000 0000"
ALIYUN = {"template": "SMS_123456789", "sign": "石桥镇选举办"}
TENCENT = {"template": "1110", "sign": "石桥镇选举办", "app": "1400006666"}
KINDS: list[tuple[ChannelType, type[Provider], dict[str, Any]]] = [
    (ChannelType.ALIYUN_SMS, Aliyun, ALIYUN),
    (ChannelType.ALIYUN_VOICE, Aliyun, {"template": "TTS_123456789", "caller": "057112345678"}),
    (ChannelType.TENCENT_SMS, Tencent, TENCENT), (ChannelType.TENCENT_VOICE, Tencent, TENCENT)]


def letter(mobile: str = NUMBER, **changes: Any) -> Letter:
    record = page(**changes)
    person = Person(id="duty-a", name="甲", channels=("c",), mobile=mobile, mail="a@mail.example")
    return Letter("d" * 20, person, record, render(record, Setting(book(), Settings().zone)))


@asynccontextmanager
async def sending(server: Server, path: Path, sender: type[Cloud] | type[HttpGateway] = Cloud) -> AsyncIterator[Any]:
    async with outbound.client(Settings(allow_private=(f"127.0.0.1:{server.port}",))) as client:
        yield sender(client, Secrets(path), lambda: NOW)


async def send(
    server: Provider, path: Path, kind: ChannelType, fields: dict[str, Any], given: Letter | None = None,
    secret: str = KEY_SECRET,
) -> Outcome:
    (path / "id").write_text(f"{KEY_ID}\n")
    (path / "key").write_text(f"{secret}\n")
    made = Channel(id="sms", type=kind, url=f"http://127.0.0.1:{server.port}", key_file="id", secret_file="key",
                   params=("number", "level", "title"), **fields)
    async with sending(server, path) as cloud:
        outcome: Outcome = await cloud(made, given or letter())
    return outcome


@pytest.mark.parametrize(("kind", "fake", "fields"), KINDS)
async def test_a_signed_request_is_taken(kind: ChannelType, fake: type[Provider], fields: dict[str, Any],
                                         tmp_path: Path) -> None:
    async with fake() as server:
        assert await send(server, tmp_path, kind, fields) == Sent()
    asked = json.dumps(server.asked, ensure_ascii=False)
    assert "0317" in asked and "较大" in asked and "投票站三点关门的说法" in asked
    number = server.asked[0].get("PhoneNumbers") or server.asked[0].get("CalledNumber") or (
        server.asked[0]["PhoneNumberSet"][0])
    assert number == ("13800000000" if fake is Aliyun else "+8613800000000")


async def test_each_service_is_asked_in_its_own_words(tmp_path: Path) -> None:
    async with Aliyun() as sms, Aliyun() as call, Tencent() as other:
        await send(sms, tmp_path, *(KINDS[0][0], ALIYUN))
        await send(call, tmp_path, KINDS[1][0], KINDS[1][2])
        await send(other, tmp_path, KINDS[2][0], TENCENT)
        await send(other, tmp_path, KINDS[3][0], TENCENT)
    assert sms.asked[0]["SignName"] == "石桥镇选举办" and sms.asked[0]["TemplateCode"] == "SMS_123456789"
    assert json.loads(sms.asked[0]["TemplateParam"]) == {
        "number": "E-0317", "level": "较大", "title": "投票站三点关门的说法"}
    assert json.loads(call.asked[0]["TtsParam"])["number"] == "E 0317"
    assert (call.asked[0]["CalledShowNumber"], call.asked[0]["OutId"]) == ("057112345678", "d" * 15)
    assert other.asked[0]["TemplateParamSet"] == ["E-0317", "较大", "投票站三点关门的说法"]
    assert other.asked[1]["VoiceSdkAppid"] == other.asked[0]["SmsSdkAppId"] == "1400006666"
    assert other.got[0].headers["x-tc-version"] == "2021-01-11" and other.got[1].headers["x-tc-version"] == "2020-09-02"


@pytest.mark.parametrize(("kind", "fake", "fields"), KINDS)
async def test_no_two_requests_have_one_nonce_and_no_error_has_a_secret_or_a_number(
    kind: ChannelType, fake: type[Provider], fields: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    async with fake() as server:
        wrong = await send(server, tmp_path, kind, fields, secret="canary-other-secret")
        again = await send(server, tmp_path, kind, fields)
    assert isinstance(wrong, Refused) and "核对 key_file" in wrong.error and "138****0000" in wrong.error
    assert again == Sent()
    assert len({got.headers.get("x-acs-signature-nonce", str(n)) for n, got in enumerate(server.got)}) == 2
    said = wrong.error + caplog.text
    assert "canary" not in said and "13800000000" not in said


@pytest.mark.parametrize(("kind", "fake", "fields"), KINDS)
async def test_what_is_not_an_answer_is_tried_again(kind: ChannelType, fake: type[Provider], fields: dict[str, Any],
                                                   tmp_path: Path) -> None:
    async with fake("<html>请登录</html>", 503, 200, (502, {"Code": "OK"}), RESET) as server:
        for _ in range(5):
            assert isinstance(await send(server, tmp_path, kind, fields), Retry)
        assert len(server.got) == 5


async def test_too_long_a_value_is_cut_until_it_fits(tmp_path: Path) -> None:
    long = letter(head=head(title="投票站三点关门的说法" * 5))
    refused = {"Response": {"SendStatusSet": [{"Code": "InvalidParameterValue.TemplateParameterLengthLimit"}]}}
    async with Tencent(refused) as server:
        assert await send(server, tmp_path, ChannelType.TENCENT_SMS, TENCENT, long) == Sent()
    assert [len(asked["TemplateParamSet"][2]) for asked in server.asked] == [35, 15]
    async with Aliyun(*[{"Code": "isv.PARAM_LENGTH_LIMIT"}] * 3) as server:
        given_up = await send(server, tmp_path, ChannelType.ALIYUN_SMS, ALIYUN, long)
    assert isinstance(given_up, Refused) and len(server.asked) == 3 and "变量长度" in given_up.error


@pytest.mark.parametrize("mobile", ["", "白班", "1380000"])
async def test_who_has_no_number_is_not_called(mobile: str, tmp_path: Path) -> None:
    async with Aliyun() as server:
        outcome = await send(server, tmp_path, ChannelType.ALIYUN_SMS, ALIYUN, letter(mobile))
    assert isinstance(outcome, Refused) and "duty-a" in outcome.error and "mobile" in outcome.error and not server.got


async def test_a_missing_key_file_is_named_and_can_be_mended(tmp_path: Path) -> None:
    async with Aliyun() as server, sending(server, tmp_path) as cloud:
        outcome = await cloud(Channel(id="sms", type=ChannelType.ALIYUN_SMS, key_file="nothing", secret_file="key",
                                      url=f"http://127.0.0.1:{server.port}", **ALIYUN), letter())
    assert isinstance(outcome, Retry) and "nothing" in outcome.error and not server.got


async def test_a_drill_says_so_in_every_place(tmp_path: Path) -> None:
    async with Aliyun() as server:
        await send(server, tmp_path, ChannelType.ALIYUN_SMS, ALIYUN, letter(head=head(subject="!d1")))
    assert all(text.startswith("演练") for text in json.loads(server.asked[0]["TemplateParam"]).values())


# ---------------------------------------------------------------- any gateway


class Gate(Provider):
    """Takes anything."""

    usual = {"code": 0}

    def read(self, got: Any) -> dict[str, Any]:
        return {"line": got.line, "headers": got.headers, "body": got.body.decode()}


async def gate(server: Gate, path: Path, given: Letter | None = None, **fields: Any) -> Outcome:
    (path / "secret").write_text("canary-key\n")
    made = Channel(**{"id": "gate", "type": ChannelType.HTTP, "url": f"http://127.0.0.1:{server.port}/send",
                      "body": '{"to": "{mobile}", "text": "{text}"}', **fields})
    async with sending(server, path, HttpGateway) as sender:
        outcome: Outcome = await sender(made, given or letter())
    return outcome


async def test_a_template_is_filled_and_sent(tmp_path: Path) -> None:
    async with Gate() as server:
        signed = {"Authorization": "Bearer {secret}"}
        assert await gate(server, tmp_path, headers=signed, secret_file="secret") == Sent()
    asked = server.asked[0]
    assert asked["line"].startswith("POST /send") and asked["headers"]["authorization"] == "Bearer canary-key"
    assert asked["headers"]["content-type"].startswith("application/json")
    assert json.loads(asked["body"])["to"] == "13800000000" and "E-0317" in json.loads(asked["body"])["text"]
    assert asked["headers"]["idempotency-key"] == "d" * 20


async def test_a_get_has_its_places_in_the_query(tmp_path: Path) -> None:
    async with Gate() as server:
        url = f"http://127.0.0.1:{server.port}/send?to={{mobile}}&t={{title}}&key={{secret}}"
        assert await gate(server, tmp_path, method="GET", url=url, body="", secret_file="secret") == Sent()
    line = server.asked[0]["line"]
    assert line.startswith("GET /send?to=13800000000&t=%E6%8A%95") and "key=canary-key" in line
    assert server.asked[0]["body"] == ""


@pytest.mark.parametrize(("answer", "kind"), [
    ({"code": 0}, Sent), ({"code": 7, "msg": "余额不足 canary-key"}, Retry), ({}, Retry), ("<html>", Retry),
    ({"code": "0"}, Retry), ('{"code":' * 8000, Retry), ((500, {"code": 0}), Retry), ((403, {"code": 0}), Refused),
    ((429, {}), Retry)])
async def test_the_answer_is_held_against_what_was_expected(answer: Any, kind: type, tmp_path: Path) -> None:
    async with Gate(answer) as server:
        outcome = await gate(server, tmp_path, expect="code == `0`")
    assert isinstance(outcome, kind) and "canary" not in str(outcome) and "127.0.0.1" not in str(outcome)


async def test_without_an_expectation_the_status_counts(tmp_path: Path) -> None:
    async with Gate({"code": 7}, 204) as server:
        assert await gate(server, tmp_path) == Sent() and await gate(server, tmp_path) == Sent()


async def test_who_lacks_what_the_template_names_is_refused(tmp_path: Path) -> None:
    async with Gate() as server:
        outcome = await gate(server, tmp_path, letter(mobile=""))
        nobody = replace(letter(), person=Person(id="duty-a", name="甲", channels=("c",)))
        other = await gate(server, tmp_path, nobody, body="to={mail}")
        assert await gate(server, tmp_path, nobody, body="text={text}") == Sent()
    assert isinstance(outcome, Refused) and "mobile" in outcome.error
    assert isinstance(other, Refused) and "mail" in other.error and len(server.got) == 1
