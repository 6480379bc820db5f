"""What every channel type keeps, against a service that behaves as documented. A type that is registered has a row."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents import outbound
from agents.deliverer import dingtalk, feishu, post, smtp, wecom, wecom_token
from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Send, Sent
from agents.deliverer.senders import senders
from agents.deliverer.writer import BUNDLE_BYTES
from agents.settings import Settings
from pipeline.model import Escalation
from pipeline.notify import pace
from pipeline.notify.digest import render_bundle
from pipeline.notify.render import Facts, Setting, render
from pipeline.rulebook.schema import Channel, ChannelType, Person
from tests.builders import book
from tests.channel_rows import DINGTALK_BOT, FEISHU_BOT, WECOM_APP, WECOM_BOT, Row
from tests.channel_rows import ROWS as OWN
from tests.channel_servers import HOUR, NOW, DingTalkRobot, FeishuRobot, WecomApi
from tests.gateway_rows import ROWS as GATEWAYS
from tests.messages import excerpt, head, page

ROWS = (*OWN, *GATEWAYS)
LINK = "https://desk.example/a/dGhpcyBpcyBhIHRva2Vu"
DAY = Person(id="duty-day", name="白班值班员", channels=("c",), wecom="zhiban", dingtalk="zhiban", feishu="zhiban",
             mobile="138 0000 0000", mail="day@office.example")
LEAD = Person(id="lead", name="带班领导", channels=("c",), wecom="lingdao", dingtalk="lingdao", feishu="lingdao",
              mobile="139 0000 0000", mail="lead@office.example")


def rows(fits: Callable[[Row], Any] = lambda row: True) -> pytest.MarkDecorator:
    """The rows that have what a test is about."""
    return pytest.mark.parametrize("row", [row for row in ROWS if fits(row)], ids=lambda row: row.name)


def letter(record: Escalation | None = None, ident: str = "d1e2f3a4b5c6", *people: Person) -> Letter:
    told = record or page()
    message = render(told, Setting(book(), Settings().zone, "https://desk.example"), Facts(link=LINK))
    return Letter(ident, (people or (DAY,))[0], told, message, people or (DAY,))


@dataclass
class Wire:
    """A sender before its service."""

    row: Row
    server: Any
    send: Send
    channel: Channel

    async def __call__(self, given: Letter | None = None) -> Outcome:
        return await self.send(self.channel, given or letter())


@asynccontextmanager
async def wired(
    row: Row, path: Path, server: Any = None, *, allow: bool = True, gone: bool = False
) -> AsyncIterator[Wire]:
    """allow: inner addresses. gone: the service is not there any more."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(server or row.server())
        channel = Channel(id="c", type=row.kind, **row.fields(service.port, path))
        allowed = (f"127.0.0.1:{service.port}",) if allow and service.port else ()
        if gone:
            await stack.aclose()
        settings = Settings(rules_dir=path, allow_private=allowed)
        async with outbound.client(settings) as client:
            yield Wire(row, service, senders(settings, client, lambda: NOW)[row.kind], channel)


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that says nothing is given up on after half a second."""
    monkeypatch.setattr(post, "SECONDS", 0.5)
    monkeypatch.setattr(smtp, "TIMEOUT", 0.5)


async def test_every_registered_type_has_one_row() -> None:
    settings = Settings()
    async with outbound.client(settings) as client:
        registered = set(senders(settings, client))
    assert registered == {row.kind for row in ROWS} and len(ROWS) == len({row.kind for row in ROWS})


@rows()
async def test_a_message_arrives(row: Row, tmp_path: Path) -> None:
    async with wired(row, tmp_path) as wire:
        assert await wire() == Sent()
        shown = "\n".join(row.shown(wire.server))
    assert "0317" in shown and "较大" in shown
    assert not row.link or LINK in shown


@rows()
async def test_every_attempt_says_which_message_it_is(row: Row, tmp_path: Path) -> None:
    async with wired(row, tmp_path) as wire:
        assert [await wire(), await wire()] == [Sent(), Sent()]
        stamps = row.stamp(wire.server)
        half = len(stamps) // 2
    assert half and stamps[:half] == stamps[half:]


@rows(lambda row: row.answers)
async def test_only_what_the_service_calls_success_is_one(row: Row, tmp_path: Path) -> None:
    for answer, (kind, wait) in row.answers:
        async with wired(row, tmp_path) as wire:
            wire.server.script.append(answer)
            outcome = await wire()
            assert row.shown(wire.server) == []
        assert isinstance(outcome, kind), (answer, outcome)
        assert "canary" not in outcome.error and len(outcome.error) > 10
        assert wait is None or (isinstance(outcome, Retry) and outcome.after == wait), (answer, outcome)


@rows(lambda row: "html" in row.faults)
async def test_an_error_page_with_200_is_tried_again(row: Row, tmp_path: Path) -> None:
    async with wired(row, tmp_path) as wire:
        row.faults["html"](wire.server)
        outcome = await wire()
    assert isinstance(outcome, Retry) and "html" not in outcome.error


@rows(lambda row: "busy" in row.faults)
async def test_a_service_that_is_busy_is_tried_again(row: Row, tmp_path: Path) -> None:
    async with wired(row, tmp_path) as wire:
        row.faults["busy"](wire.server)
        assert isinstance(await wire(), Retry)


@rows(lambda row: "reset" in row.faults)
async def test_a_connection_that_breaks_is_tried_again(row: Row, tmp_path: Path) -> None:
    async with wired(row, tmp_path) as wire:
        row.faults["reset"](wire.server)
        assert isinstance(await wire(), Retry)
    async with wired(row, tmp_path, gone=True) as wire:
        assert isinstance(await wire(), Retry)


@pytest.mark.usefixtures("short_patience")
@rows(lambda row: "hang" in row.faults)
async def test_a_service_that_hangs_is_given_up_on_and_tried_again(row: Row, tmp_path: Path) -> None:
    async with wired(row, tmp_path) as wire:
        row.faults["hang"](wire.server)
        assert isinstance(await wire(), Retry)


@rows(lambda row: "redirect" in row.faults)
async def test_a_redirect_is_not_followed(row: Row, tmp_path: Path) -> None:
    async with wired(row, tmp_path) as wire:
        row.faults["redirect"](wire.server)
        assert isinstance(await wire(), row.redirect)
        assert len(wire.server.got) == 1


@rows(lambda row: row.kind not in (ChannelType.CONSOLE, ChannelType.APPRISE))      # Apprise calls its own addresses
async def test_an_inner_address_is_not_called_unless_it_is_allowed(row: Row, tmp_path: Path) -> None:
    async with wired(row, tmp_path, allow=False) as wire:
        assert isinstance(await wire(), Refused)
        assert row.shown(wire.server) == [] and not getattr(wire.server, "got", [])


@rows(lambda row: row.limit)
async def test_over_the_limit_the_service_says_how_long_to_wait(row: Row, tmp_path: Path) -> None:
    assert row.limit is not None
    count, wait = row.limit
    async with wired(row, tmp_path) as wire:
        for turn in range(count):
            outcome = await wire(letter(ident=f"{turn:08x}"))
            if outcome != Sent():
                break
        assert len(row.shown(wire.server)) >= count - 1, "a message of two calls may be cut in half"
        for turn in range(2):
            outcome = await wire(letter(ident=f"e{turn:07x}"))
            assert isinstance(outcome, Retry) and (outcome.after or 0) >= wait


@rows(lambda row: row.spoil)
async def test_a_wrong_secret_needs_a_person_and_is_not_shown(row: Row, tmp_path: Path) -> None:
    async with wired(row, tmp_path) as wire:
        assert row.spoil is not None
        row.spoil(tmp_path)
        outcome = await wire()
        assert isinstance(outcome, Refused) and "canary" not in outcome.error, outcome
        assert row.shown(wire.server) == []


@rows(lambda row: row.files)
async def test_a_missing_secret_file_is_named_and_nothing_is_sent(row: Row, tmp_path: Path) -> None:
    for name in row.files:
        async with wired(row, tmp_path) as wire:
            (tmp_path / name).unlink()
            outcome = await wire()
            assert isinstance(outcome, Retry) and str(tmp_path / name) in outcome.error and "通道 c" in outcome.error
            assert row.shown(wire.server) == []
            row.fields(wire.server.port, tmp_path)
            assert await wire() == Sent(), "a file that is put there is used at once"


@pytest.mark.usefixtures("short_patience")
@rows(lambda row: row.secrets)
async def test_no_secret_is_in_an_outcome_a_log_or_a_repr(
    row: Row, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    for fault in (None, *row.faults.values()):
        async with wired(row, tmp_path) as wire:
            if fault:
                fault(wire.server)
            seen += [repr(await wire()), repr(wire.send), str(wire.channel)]
    async with wired(row, tmp_path, gone=True) as wire:
        seen.append(repr(await wire()))
    text = "\n".join((*seen, caplog.text))
    assert [secret for secret in row.secrets if secret in text] == []


@rows(lambda row: "url" in row.files)
async def test_an_address_that_is_none_is_refused_without_being_shown(
    row: Row, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with wired(row, tmp_path) as wire:
        for address in ("canary-key", "ftp://canary-key/x", "http://u:canary@a.example/", "http://a:canary/", "网址"):
            (tmp_path / "url").write_text(address, "utf-8")
            outcome = await wire()
            assert isinstance(outcome, Refused) and "canary" not in outcome.error, address
    assert "canary" not in caplog.text


HOSTILE = ("@all @所有人 <@all> <at id=all></at> <at user_id=\"all\">所有人</at> [点](http://evil.example/x) "
           "![](http://evil.example/y.png) <a href=\"http://evil.example\">z</a> `x` **粗**")


@rows()
async def test_text_of_a_feed_is_nothing_but_text(row: Row, tmp_path: Path) -> None:
    record = page(head=head(title=f"标题{HOSTILE}", excerpts=(
        excerpt("a1", title=HOSTILE, text=f"\r\n# 假标题\n\n- x\n{HOSTILE}", source_name=f"源{HOSTILE}"),)))
    async with wired(row, tmp_path) as wire:
        assert await wire(letter(record)) == Sent()
        shown = "\n".join(row.shown(wire.server))
    assert "标题" in shown
    for mark in ("@all", "@所有人", "<@", "<at id=all", "<at user_id", "](http://e", "<a href=\"http://e", "`", "**粗"):
        assert mark not in shown, mark
    assert not any(one.startswith(("# 假", "#假")) for one in shown.splitlines())


@rows()
async def test_what_is_too_long_is_cut_and_keeps_its_link(row: Row, tmp_path: Path) -> None:
    long = "很长的🙂文字\"" * 3000
    record = page(head=head(title=long, excerpts=tuple(
        excerpt(f"a{n}", title=long, text=long, source_name=long[:400]) for n in range(3))))
    async with wired(row, tmp_path) as wire:
        assert await wire(letter(record, "d1e2f3a4b5c6", *(
            Person(id=f"p{n}", name="名" * 100, channels=("c",), wecom="zhiban", mail=DAY.mail, mobile=DAY.mobile)
            for n in range(30)))) == Sent()
        shown = "\n".join(row.shown(wire.server))
    assert "0317" in shown and (not row.link or LINK in shown)


@rows()
async def test_a_drill_says_so_before_anything_else(row: Row, tmp_path: Path) -> None:
    async with wired(row, tmp_path) as wire:
        assert await wire(letter(page(head=head(subject="!polling")))) == Sent()
        shown = "\n".join(row.shown(wire.server))
    assert 0 <= shown.find("演练") < shown.index("0317")


@rows(lambda row: row.mentions)
async def test_one_message_to_a_group_mentions_all_its_people(row: Row, tmp_path: Path) -> None:
    async with wired(row, tmp_path) as wire:
        assert await wire(letter(None, "d1e2f3a4b5c6", DAY, LEAD)) == Sent()
        assert row.mentions is not None
        assert row.mentions(wire.server) == {"zhiban", "lingdao"}


@rows(lambda row: row.kind not in pace.SINGLY)
async def test_every_number_of_a_bundle_arrives(row: Row, tmp_path: Path) -> None:
    held = [page(f"p{n}", head=head(f"e{n}", number=n)) for n in range(1000, 1400)]
    setting = Setting(book(), Settings().zone, "https://desk.example", short_bytes=BUNDLE_BYTES)
    bundles = render_bundle(held, setting)
    async with wired(row, tmp_path) as wire:
        for turn, one in enumerate(bundles):
            given = Letter(f"{turn:08x}", DAY, one.escalations[0], one.message, (DAY, LEAD), bundle=True)
            assert await wire(given) == Sent()
        shown = "\n".join(row.shown(wire.server))
    assert len(bundles) < 6 and [n for n in range(1000, 1400) if f"E-{n}" not in shown] == []


# ---------------------------------------------------------------- what only one type has


async def test_wecom_mentions_first_and_does_not_repeat_it_when_the_card_fails(tmp_path: Path) -> None:
    async with wired(WECOM_BOT, tmp_path) as wire:
        wire.server.script += [{"errcode": 0, "errmsg": "ok"}, {"errcode": 45009, "errmsg": "freq"}, 503]
        assert await wire() == Retry("通道 c：企业微信限制每个机器人每分钟 20 条（错误码 45009）", 60_000)
        assert await wire() == Retry("HTTP 503")
        assert await wire() == Sent()
        kinds = [b"mentioned_list" in got.body for got in wire.server.got]
        assert kinds == [True, False, False, False]
        assert await wire(letter(ident="another")) == Sent()
    assert [one["msgtype"] for one in wire.server.taken] == ["markdown", "text", "markdown"]


async def test_wecom_does_not_send_the_card_of_a_mention_that_failed(tmp_path: Path) -> None:
    async with wired(WECOM_BOT, tmp_path) as wire:
        wire.server.script.append({"errcode": 45009, "errmsg": "freq"})
        assert isinstance(await wire(), Retry) and len(wire.server.got) == 1
        assert await wire() == Sent()
    assert [one["msgtype"] for one in wire.server.taken] == ["text", "markdown"]


async def test_nobody_to_mention_is_one_call(tmp_path: Path) -> None:
    async with wired(WECOM_BOT, tmp_path) as wire:
        assert await wire(letter(None, "d1", Person(id="p", name="甲", channels=("c",)))) == Sent()
    assert [one["msgtype"] for one in wire.server.taken] == ["markdown"]


async def test_an_app_token_is_kept_and_fetched_once_for_many(tmp_path: Path) -> None:
    async with wired(WECOM_APP, tmp_path) as wire:
        outcomes = await asyncio.gather(*(wire(letter(ident=f"{n:08x}")) for n in range(12)))
        assert outcomes == [Sent()] * 12 and wire.server.fetched == 1
        wire.server.expire()
        outcomes = await asyncio.gather(*(wire(letter(ident=f"e{n:07x}")) for n in range(12)))
        assert outcomes == [Sent()] * 12 and wire.server.fetched == 2
        wire.server.tokens.clear()
        assert await wire(letter(ident="f00000000000")) == Sent() and wire.server.fetched == 3
    assert len(wire.server.taken) == 25


async def test_an_app_token_is_not_used_after_its_time(tmp_path: Path) -> None:
    now = [NOW]
    async with WecomApi(clock=lambda: now[0]) as server:
        settings = Settings(rules_dir=tmp_path, allow_private=(f"127.0.0.1:{server.port}",))
        channel = Channel(id="c", type=ChannelType.WECOM_APP, **WECOM_APP.fields(server.port, tmp_path))
        async with outbound.client(settings) as client:
            send = senders(settings, client, lambda: now[0])[ChannelType.WECOM_APP]
            for later, fetched in ((0, 1), (6_800_000, 1), (200_000, 2)):
                now[0] += later
                assert await send(channel, letter(ident=f"{later:08x}")) == Sent() and server.fetched == fetched


async def test_a_token_that_is_never_accepted_is_asked_for_twice_and_no_more(tmp_path: Path) -> None:
    async with wired(WECOM_APP, tmp_path) as wire:
        good = {"errcode": 0, "access_token": "canary", "expires_in": 7200}
        bad = {"errcode": 42001, "errmsg": "expired"}
        wire.server.script += [good, bad, good, bad]
        outcome = await wire()
        assert isinstance(outcome, Retry) and "42001" in outcome.error and len(wire.server.got) == 4


async def test_a_new_secret_file_of_an_app_is_used_at_once(tmp_path: Path) -> None:
    async with wired(WECOM_APP, tmp_path) as wire:
        (tmp_path / "secret").write_text("canary-wrong")
        assert isinstance(await wire(), Refused)
        (tmp_path / "secret").write_text(WecomApi.SECRET)
        assert await wire() == Sent()


@pytest.mark.parametrize(("wecom", "word"), [
    ("", "roster.yml"), ("@all", "roster.yml"), ("zhiban|lingdao", "roster.yml"), ("nobody", "可见范围")])
async def test_an_app_message_goes_to_one_account_that_the_app_sees(tmp_path: Path, wecom: str, word: str) -> None:
    async with wired(WECOM_APP, tmp_path) as wire:
        outcome = await wire(letter(None, "d1", Person(id="p", name="甲", channels=("c",), wecom=wecom)))
        assert isinstance(outcome, Refused) and word in outcome.error
        assert wire.server.taken == []


async def test_an_accepted_app_message_that_reaches_nobody_is_no_success(tmp_path: Path) -> None:
    for missed in ({"invaliduser": "ZHIBAN"}, {"unlicenseduser": "zhiban|x"}):
        async with wired(WECOM_APP, tmp_path) as wire:
            wire.server.script += [{"errcode": 0, "access_token": "t", "expires_in": 7200}, {"errcode": 0, **missed}]
            assert isinstance(await wire(), Refused)


async def test_a_repeated_app_message_is_shown_once(tmp_path: Path) -> None:
    async with wired(WECOM_APP, tmp_path) as wire:
        for ident in ("d1e2f3a4b5c6", "d1e2f3a4b5c6", "e1e2f3a4b5c6"):
            assert await wire(letter(ident=ident)) == Sent()
    assert (len(wire.server.taken), wire.server.repeats) == (2, 1)


@pytest.mark.parametrize(("row", "robot"), [(DINGTALK_BOT, DingTalkRobot), (FEISHU_BOT, FeishuRobot)])
async def test_a_clock_that_is_hours_off_is_said(row: Row, robot: Any, tmp_path: Path) -> None:
    async with wired(row, tmp_path, robot(clock=lambda: NOW + 2 * HOUR)) as wire:
        outcome = await wire()
    assert isinstance(outcome, Refused) and "本机时钟" in outcome.error


@pytest.mark.parametrize(("row", "code", "errmsg", "word"), [
    (DINGTALK_BOT, 310000, "sign not match", "加签"), (DINGTALK_BOT, 310000, "keywords not in content", "关键词"),
    (DINGTALK_BOT, 310000, "ip 1.2.3.4 not in whitelist", "白名单"), (DINGTALK_BOT, 310000, "something", "安全设置"),
    (DINGTALK_BOT, 300005, "token is not exist", "url_file"), (WECOM_BOT, 93000, "invalid webhook url", "url_file"),
    (WECOM_BOT, 60020, "not allow to access from your ip", "可信IP"), (WECOM_APP, 40001, "x", "secret_file"),
    (WECOM_APP, 40013, "x", "corp")])
async def test_a_refusal_says_what_to_mend(row: Row, code: int, errmsg: str, word: str, tmp_path: Path) -> None:
    async with wired(row, tmp_path) as wire:
        wire.server.script.append({"errcode": code, "errmsg": errmsg})
        outcome = await wire()
    assert isinstance(outcome, Refused) and word in outcome.error and str(code) in outcome.error


async def test_a_robot_without_a_secret_is_called_unsigned(tmp_path: Path) -> None:
    for row in (DINGTALK_BOT, FEISHU_BOT):
        async with wired(row, tmp_path) as wire:
            wire.channel = Channel(id="c", type=row.kind, url_file="url")
            outcome = await wire()
            assert isinstance(outcome, Refused), "the service of these tests wants a signature"
            assert b"sign" not in wire.server.got[0].body and "sign=" not in wire.server.got[0].line


@pytest.mark.parametrize("status", [400, 429])
async def test_feishu_may_say_its_code_with_another_status(status: int, tmp_path: Path) -> None:
    async with wired(FEISHU_BOT, tmp_path) as wire:
        wire.server.script.append((status, "X-Ogw-Ratelimit-Reset: 12"))
        outcome = await wire()
    assert outcome == (Retry("HTTP 429", 12_000) if status == 429 else Refused("HTTP 400"))


@pytest.mark.parametrize("module", [wecom, wecom_token, dingtalk, feishu], ids=lambda module: module.__name__)
def test_every_code_that_has_its_own_words_is_in_the_documentation(module: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "channels.md").read_text("utf-8")
    tables = [table for name, table in vars(module).items() if name in ("_KNOWN", "_ROBOT", "_APP", "SHARED")]
    codes = {str(code) for table in tables for code in table} - {"0"}
    assert len(codes) > 1
    assert [code for code in codes if not re.search(rf"(?<!\d){re.escape(code)}(?!\d)", text)] == []


@pytest.mark.parametrize("row", [WECOM_BOT, WECOM_APP, DINGTALK_BOT, FEISHU_BOT], ids=lambda row: row.name)
async def test_the_rate_that_a_type_has_unasked_is_one_its_service_takes(row: Row, tmp_path: Path) -> None:
    async with wired(row, tmp_path) as wire:
        rate = pace.rate_of(wire.channel)
        assert [await wire(letter(ident=f"{turn:08x}")) for turn in range(rate)] == [Sent()] * rate
        assert rate >= 9 and getattr(wire.server, "dropped", 0) == 0
        assert pace.rate_of(Channel(id="c", type=row.kind, rate=1)) == 1
