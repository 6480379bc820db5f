"""What ops read when something is wrong: where it is, what to do; once, and nothing else stops for it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from agents.commands.rules import starter_dir
from agents.rule_files import load_book
from pipeline import topics
from pipeline.model import EscalationKind
from pipeline.notify.safe import line
from pipeline.rulebook.schema import Channel, ChannelType
from tests.agents.test_deliver_couriers import delivering, hook
from tests.agents.test_rule_watch import ZONE, rules, until, watching
from tests.delivery_fakes import Hook, MailServer, delivery_book, delivery_deps, ledger_with, parcel, rows, store
from tests.delivery_fakes import until as delivered

__all__ = ["rules"]                                     # a fixture


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    engine = store(tmp_path)
    yield engine
    engine.dispose()


# ---------------------------------------------------------------- rule files


@pytest.mark.parametrize(("name", "old", "new", "said"), [
    ("roster.yml", "fallback: leader", "fallback: leader\nfallback: leader", ("重复", "只留一处")),
    ("levels.yml", "hold:", "holt:", ("没有名为 holt 的字段", "是不是 hold")),
    ("roster.yml", "    name: 值班组\n", "   name: 值班组\n", ("缩进不齐", "左边对齐")),
], ids=["duplicate-key", "unknown-field", "bad-indentation"])
async def test_a_rule_file_with_a_fault_is_a_notice_with_the_place_and_the_mend(
    rules: Path, name: str, old: str, new: str, said: tuple[str, ...]
) -> None:
    good = (rules / name).read_text("utf-8")
    assert old in good, "the starter file has what this test breaks"
    bad = good.replace(old, new, 1)
    async with watching(rules) as (_, bus):
        await until(lambda: bus.books)
        (rules / name).write_text(bad, "utf-8")
        await until(lambda: bus.notices)
        (rules / name).write_text(good.replace("fallback: leader ", "fallback: leader-backup ")
                                  .replace("hold: 30m", "hold: 31m"), "utf-8")
        await until(lambda: len(bus.books) == 2)
        assert bus.books == [load_book(starter_dir(), ZONE), load_book(rules, ZONE)], "the bad one was never in force"
        [notice] = bus.notices
    kept, problem, mend = notice.text.splitlines()
    file, row, column, _ = problem.split(":", 3)
    assert file == name and int(column) >= 1
    broken = next(n for n, text in enumerate(bad.splitlines(), 1) if text != (good.splitlines() + [""] * 9)[n - 1])
    assert abs(int(row) - broken) <= 1, "at the line or beside it"
    assert all(words in problem for words in said) and "仍在用上一份规则" in kept
    assert f"wenxun rules check {rules}" in mend and "不用重启" in mend


# ---------------------------------------------------------------- channels


async def test_a_mail_server_that_refuses_is_a_dead_letter_and_a_notice_and_other_channels_go_on(
    engine: Any, tmp_path: Path
) -> None:
    async with Hook() as server, MailServer(replies={"RCPT": ["550 no such user"]}) as mail:
        deps = delivery_deps(tmp_path, delivery_book(hook(server), post(mail.port)), server, mail)
        async with delivering(deps, ledger_with(engine, parcel("m1", channel="office-mail"), parcel("h1"))) as bus:
            await delivered(lambda: all(row.reported for row in rows(engine)))
    assert {row.channel: row.status for row in rows(engine)} == {"hook": "confirmed", "office-mail": "dead"}
    [notice], [letter] = bus.on(topics.ESCALATIONS), bus.on(topics.DEAD_LETTERS)
    assert (notice.kind, notice.tell, notice.event_id) == (EscalationKind.SYSTEM, ("ops",), "")
    assert "office-mail" in notice.title and "550" in notice.text and "wenxun dlq replay" in notice.text
    assert letter.topic == topics.ESCALATIONS and "office-mail" in letter.error


async def test_a_mail_server_that_is_down_is_tried_again_and_told_to_ops(engine: Any, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))                   # bound and not listening: every connection is refused
        port = closed.getsockname()[1]
        deps = delivery_deps(tmp_path, delivery_book(post(port)), type("", (), {"port": port})())
        async with delivering(deps, ledger_with(engine, parcel("m1", channel="office-mail"))) as bus:
            await delivered(lambda: bus.on(topics.ESCALATIONS))
    [notice] = bus.on(topics.ESCALATIONS)
    assert notice.kind is EscalationKind.SYSTEM and notice.title == "通道 office-mail 连续发送失败"
    assert "连接邮件服务器 127.0.0.1 失败" in notice.text and "channels.yml" in notice.text
    assert rows(engine)[0].status == "pending", "nothing is given up"


def post(port: int) -> Channel:
    return Channel(id="office-mail", type=ChannelType.SMTP, host="127.0.0.1", port=port, tls="none",
                   sender="a@office.example")


# ---------------------------------------------------------------- how it is shown


def test_names_of_settings_and_files_can_be_copied_from_a_message() -> None:
    said = "请在 WENXUN_FEED_ALLOW_PRIVATE_CIDRS 中加入，或检查 password_file"
    assert line(said) == said
    assert line("_强调_ 和 __main__") == "＿强调＿ 和 ＿＿main＿＿", "what starts markup still does not"
