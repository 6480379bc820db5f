"""`wenxun deliveries`, and the account behind it: decided = confirmed + pending + dead + suppressed, or named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, select, update

from agents.cli import main
from agents.clock import Clock
from agents.deadletter import Reason, dead_letter
from agents.deliverer import budget
from agents.deliverer.ledger import Ledger
from agents.deliverer.office import Office
from agents.deliverer.parcel import parcels_of
from agents.deliverer.suppress import Placed
from agents.deliverer.watch import Watch
from agents.deps import Deps, RuleStore
from agents.metrics import Metrics
from agents.settings import Settings
from agents.store import account_reads
from agents.store.schema import audit, outbox
from pipeline import codec, topics
from pipeline.model import AlertState, AlertStatus, Escalation, EscalationKind, Receiver
from pipeline.rulebook.schema import Level, Levels, Subject
from tests.agents import store_fakes as fakes
from tests.builders import NOON, book
from tests.delivery_fakes import claim
from tests.messages import head, page, system

TOLD = (Receiver("duty-a", "robot"), Receiver("duty-b", "robot"))
LATER = NOON + 600_000
DAY = 86_400_000
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("WENXUN_DATABASE_URL", raising=False)
    monkeypatch.setenv("WENXUN_CLOCK", f"{LATER}/{Clock().now()}/1")
    engine = fakes.new_store(tmp_path)
    yield engine
    engine.dispose()


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        said = capsys.readouterr()
        return code, said.out, said.err
    return run


def decided(store: Engine, *records: Escalation, known: bool = True) -> None:
    """On the topic: the archive has them; in the ledger if deliver has met them."""
    fakes.put(store, *records)
    if known:
        Ledger(store).take([one for each in records for one in parcels_of(each, TOLD, 5)], (), 0)


def five_fates(store: Engine) -> None:
    """Of each status one message, and one in a shadow rule that nobody was to be told."""
    ledger = Ledger(store)
    decided(store, page("confirmed"))
    for one in claim(ledger, "robot", group=True):
        ledger.confirm([one], NOON + 1000)
    decided(store, page("dead", event_id="e2"))
    for one in claim(ledger, "robot", group=True):
        ledger.bury([one], "HTTP 404", 0)
    decided(store, page("acked", event_id="e3", alert_id="al3"), page("held", suppressed_by="silence:s1"))
    ledger.take([Placed(AlertState(
        event_id="e3", alert_id="al3", event_version=1, revision=2, level=2, status=AlertStatus.ACKED,
        raised_at=NOON, acked_by="白班", acked_at=NOON), 9)], (), 0)
    decided(store, page("waiting", event_id="e4"))
    decided(store, page("shadow", shadow=True), known=False)


def account(store: Engine, before: int = LATER) -> account_reads.Account:
    with store.connect() as connection:
        return account_reads.account(connection, 0, before)


def test_every_decided_message_is_one_of_four_and_the_sum_is_right(store: Engine, say: Say) -> None:
    five_fates(store)
    found = account(store)
    assert found.messages == {"confirmed": 1, "pending": 1, "dead": 1, "suppressed": 2} and found.missing == ()
    assert found.decided == sum(found.messages.values()) == 5
    assert found.rows == {"confirmed": 2, "pending": 2, "dead": 2, "suppressed": 4}
    code, out, _ = say("deliveries", "audit")
    assert code == 0 and "已决定 5 = 已送达 1 + 待送达 1 + 未能送达 1 + 已抑制 2" in out and "账目相符" in out


def test_what_nobody_accounts_for_is_named_and_the_exit_code_says_so(store: Engine, say: Say) -> None:
    five_fates(store)
    decided(store, page("lost", event_id="e9"), known=False)
    code, out, _ = say("deliveries", "audit")
    assert code == 1 and "去向不明 1" in out and "lost" in out and "事件 e9" in out
    code, out, _ = say("deliveries", "audit", "--format", "json")
    found = json.loads(out)
    assert code == 1 and found["balanced"] is False and [each["id"] for each in found["missing"]] == ["lost"]
    assert found["decided"] == sum(found["messages"].values()) + 1


def test_what_was_decided_just_now_may_still_be_on_its_way(store: Engine, say: Say) -> None:
    decided(store, page("new", at=LATER - 60_000), known=False)
    assert say("deliveries", "audit")[0] == 0 and account(store, LATER).missing != ()


def test_what_was_set_aside_before_it_had_a_row_is_dead_and_accounted_for(store: Engine) -> None:
    nobody = page("ab" * 10)
    decided(store, nobody, known=False)
    assert [each.id for each in account(store).missing] == [nobody.id]
    fakes.put(store, dead_letter(
        topics.ESCALATIONS, 0, 7, key=b"e1", value=codec.encode(nobody), headers=[], reason=Reason.REFUSED,
        error="nobody to tell", at=NOON))
    assert account(store).missing == () and account(store).messages["dead"] == 1


def test_messages_are_listed_by_what_is_asked_for(store: Engine, say: Say) -> None:
    five_fates(store)
    assert say("deliveries", "list")[1].count("robot") == 10
    code, out, _ = say("deliveries", "list", "--status", "suppressed", "--event", "e3", "--channel", "robot")
    assert code == 2 and out == ""                      # the archive has no such event
    fakes.put(store, head("e3", number=33, title="三点关门的说法"))
    code, out, _ = say("deliveries", "list", "--status", "suppressed", "--event", "E-0033", "--person", "duty-a")
    assert code == 0 and out.count("robot") == 1 and "E-0033" in out and "白班 已确认" in out and "已抑制" in out
    rows = json.loads(say("deliveries", "list", "--status", "dead", "--format", "json")[1])
    assert {(row["person"], row["error"], row["status"]) for row in rows} == {
        ("duty-a", "HTTP 404", "dead"), ("duty-b", "HTTP 404", "dead")}
    assert "没有符合条件" in say("deliveries", "list", "--since", "1m")[1]
    assert "12h、7d" in say("deliveries", "list", "--since", "gestern")[2]


def test_one_message_is_shown_whole_and_one_that_is_not_there_is_an_error(store: Engine, say: Say) -> None:
    five_fates(store)
    code, out, _ = say("deliveries", "show", "waiting")
    assert code == 0 and out.count("待送达") == 2 and "投票站三点关门的说法" in out
    ident = json.loads(say("deliveries", "list", "--status", "pending", "--format", "json")[1])[0]["id"]
    [row] = json.loads(say("deliveries", "show", ident, "--format", "json")[1])
    assert row["id"] == ident and row["escalation"]["id"] == "waiting"
    with store.connect() as connection:
        read = [tuple(row) for row in connection.execute(select(audit.c.account, audit.c.action, audit.c.object))]
    assert read == [("cli", "deliveries.read", "waiting"), ("cli", "deliveries.read", ident)], "it shows excerpts"
    code, _, err = say("deliveries", "show", "nothing")
    assert code == 2 and "没有投递 nothing" in err


def test_a_text_of_a_feed_cannot_move_the_terminal(store: Engine, say: Say) -> None:
    decided(store, page("one", head=head(title="\x1b[2J@所有人\u202e")))
    with store.begin() as connection:
        connection.execute(update(outbox).values(error="\x1b]0;x\x07", status="dead"))
    for words in (("list",), ("show", "one")):
        assert not {"\x1b", "\u202e", "\x07"} & set(say("deliveries", *words)[1])


# ---------------------------------------------------------------- what deliver says by itself


async def test_unaccounted_alerts_and_the_budget_are_watched(store: Engine, tmp_path: Path) -> None:
    rules = book(budget={"较大": 1}, levels=Levels(ladder=(Level("一般", "", ()), Level("较大", "", ()))))
    clock = Clock(start=LATER, real_start=Clock().now())
    deps = Deps(Settings(data_dir=tmp_path, rules_dir=tmp_path), clock, Metrics(), RuleStore(rules))
    office, notices = Office(deps, Ledger(store), {}, lambda: None, lambda *_: None), list[Escalation]()
    decided(store, page("lost"), known=False)
    decided(store, page("one", alert_id="al1"), page("two", alert_id="al2"))
    watch = Watch(office, notices.extend)
    for _ in range(2):
        await watch.account()
    office.close()
    sample = deps.metrics.registry.get_sample_value
    assert sample("wenxun_unaccounted_alerts") == 1.0
    assert sample("wenxun_pages_today", {"level": "较大"}) == 2 and sample("wenxun_pages_today", {"level": "一般"}) == 0
    assert sample("wenxun_page_budget", {"level": "较大"}) == 1
    assert sample("wenxun_page_budget", {"level": "一般"}) is None, "no budget is no limit of 0"
    assert [notice.title for notice in notices] == ["今天的较大告警超出预算"]


async def test_ops_hears_once_that_messages_carry_no_links(store: Engine, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, rules_dir=tmp_path, external_url="https://desk.example")
    deps = Deps(settings, Clock(start=LATER, real_start=Clock().now()), Metrics(), RuleStore(book()))
    office, notices = Office(deps, Ledger(store), {}, lambda: None, lambda *_: None), list[Escalation]()
    watch = Watch(office, notices.extend)
    await watch.account()
    assert notices == []
    settings.link_key_path.write_text("geheim")
    for _ in range(2):
        await watch.account()
    office.close()
    [said] = notices
    assert (said.title, said.tell) == ("消息里带不了链接", ("ops",)) and "link.key" in said.text
    assert "geheim" not in said.text


def over(store: Engine, now: int = LATER, **changes: Any) -> list[str]:
    values: dict[str, Any] = {
        "budget": {"较大": 2}, "subjects": (Subject("polling", "投票站", "o", "r", "2099-12-31"),
                                          Subject("roads", "道路", "o", "r", "2099-12-31")),
        "levels": Levels(ladder=(Level("一般", "", ()), Level("较大", "", ()), Level("重大", "", ()))), **changes}
    return [f"{each.id} {each.title} {each.text}" for each in budget.notices(store, book(**values), now, SHANGHAI)]


def alarm(ident: str, **changes: Any) -> Escalation:
    return page(ident, alert_id=f"al-{ident}", **changes)


def test_too_many_alerts_of_a_level_are_one_notice_a_day_that_names_the_rules(store: Engine) -> None:
    roads = head(subject="roads")
    decided(store, alarm("a"), alarm("b"))
    assert over(store) == []
    decided(store, alarm("c", head=roads), alarm("d", head=roads), alarm("e", head=roads))
    [said] = over(store)
    assert "已有 5 个较大告警，预算是每天 2 个" in said and "道路 3 个、投票站 2 个" in said
    again = over(store, NOON + 8 * 3_600_000)
    assert again[0].split()[0] == said.split()[0], "the same notice all day"
    assert over(store, NOON + DAY) == [] and over(store, budget={}) == [] and over(store, budget={"较大": 5}) == []


def test_steps_repeats_drills_informs_and_what_was_held_back_cost_no_budget(store: Engine) -> None:
    decided(store, alarm("a"), alarm("b"))
    decided(store, page("a2", alert_id="al-a", step=1), alarm("low", level=1),
            alarm("drill", head=head(subject="!polling")), alarm("quiet", suppressed_by="quiet"),
            alarm("silent", suppressed_by="silence:s1"), alarm("inform", kind=EscalationKind.INFORM), system("s"),
            alarm("yesterday", at=NOON - DAY))
    assert over(store) == []
