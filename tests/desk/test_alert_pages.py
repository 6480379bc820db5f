"""Pages and forms of alerts: clocks, statements, hand-overs, silences, the ledger, the hand-over between shifts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from msgspec.structs import replace

from agents.desk import silence_commands
from agents.desk.accounts import Role
from agents.desk.commands import Order
from agents.store import lines, schema
from pipeline import codec
from pipeline.model import AlertStatus, Close, Comment, EventClocks, EventHead, HandOver, Silence, Statement
from pipeline.notify import pace
from pipeline.rulebook.schema import HOUR, MINUTE, Quiet, Route, Step
from tests.desk import seed, seed_alerts
from tests.desk.conftest import Stand, csrf_of, make_stand
from tests.desk.seed import NOW

PAGES = ("/", "/events/E-0317", "/events/E-0318", "/events/E-0322", "/events/E-0324", "/events/D-0004",
         "/silences", "/silences?event=E-0317", "/deliveries",
         "/deliveries?status=dead&channel=wecom-duty&event=E-0317", "/handover", "/drills")


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Stand]:
    made = make_stand(tmp_path, book=seed_alerts.book())
    seed_alerts.night(made.engine)
    seed_alerts.ledger(made.engine, made.desk.real.now())
    yield made
    made.engine.dispose()


def words(page: str) -> str:
    """What a person reads: without tags, blanks folded."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def posted(client: httpx.AsyncClient, path: str, **form: str) -> httpx.Response:
    csrf = csrf_of((await client.get("/events")).text)
    return await client.post(path, data={"csrf": csrf, **form})


T = TypeVar("T")


def command(stand: Stand, kind: type[T]) -> T:
    """The one command of a kind that was accepted."""
    name = next(name for name, each in codec.TYPES.items() if each is kind)
    row, = (row for row in stand.rows(schema.commands) if row.type == name)
    return codec.decode_as(kind, row.record.encode())


# ---------------------------------------------------------------- duty and event


async def test_the_duty_page_says_how_each_alert_stands_and_what_is_owed(night: Stand) -> None:
    async with await night.signed_in() as client:
        page = words((await client.get("/")).text)
    for said in ("3 个事件待确认", "首次权威回应 快到期 还剩 12 分钟", "情况报告 已过半 还剩 54 分钟", "答复 计时中",
                 "无人应答 ：应通知的都通知过了", "已超时 超时 6 分钟", "已转交，待确认",
                 "已转交给 领导小组 ，等待确认",
                 "静默到 05:12", "没有发消息：静默（供水检修，已公告，负责人 值班组）", "静默结束，通知 值班组",
                 "安静时段到 07:12", "没有发消息：安静时段",
                 "首次权威回应：已完成，用时 2 小时 50 分钟（李敏 登记了官方回应）",
                 "官方已回应 1 次", "官方来源有 1 条相关内容，待确认是不是回应"):
        assert said in page, said


async def test_drills_are_marked_stand_below_the_live_events_and_count_for_nothing(night: Stand) -> None:
    async with await night.signed_in() as client:
        page = (await client.get("/")).text
        plain, drills = [(await client.get(path)).text for path in ("/events", "/events?drill=1")]
    assert page.index("E-0319") < page.index("演练中") < page.index("D-0004")
    assert '<span class="chip drill">演练</span>' in page and "7 个事件处置中" in page
    assert "D-0004" not in plain and ">D-0004<" in drills and ">E-0317<" not in drills


async def test_who_is_on_duty_stands_on_the_duty_page_with_a_gap_in_red(night: Stand) -> None:
    async with await night.signed_in() as client:
        page = (await client.get("/")).text
    assert "值班组 现在 夜班值班员 08:00 起 带班领导" in words(page), "an override is next"
    assert '<span class="bad-line">无人值班，消息会发给 带班领导</span>' in page


@pytest.mark.parametrize(("role", "external", "says"), [
    (Role.ADMIN, "", "没有设置 WENXUN_EXTERNAL_URL"), (Role.ADMIN, "http://127.0.0.1:8000", "只有这台机器自己打得开"),
    (Role.ADMIN, "https://wenxun.example.cn", ""), (Role.DUTY, "", "")])
async def test_an_admin_is_told_why_messages_carry_no_link(
        tmp_path: Path, role: Role, external: str, says: str) -> None:
    stand = make_stand(tmp_path, book=seed.book(), external_url=external)
    seed.morning(stand.engine)
    async with await stand.signed_in(role=role) as client:
        for path in ("/", "/events/E-0317"):
            page = (await client.get(path)).text
            assert ("消息里没有链接" in page) == bool(says) and says in page, path
    stand.engine.dispose()


async def test_the_event_page_says_who_stopped_a_clock_and_what_was_answered(night: Stand) -> None:
    async with await night.signed_in() as client:
        page = words((await client.get("/events/E-0318")).text)
    for said in ("首次权威回应 已完成 用时 2 小时 50 分钟 11-21 23:52 起 · 04:52 到期 · 02:42 停止",
                 "李敏 登记了官方回应",
                 "李敏 确认 03:09 · 停止计时：首次权威回应", "各投票站均开放至晚上八点"):
        assert said in page, said


async def test_an_early_time_that_was_typed_in_later_shows_when_it_was_registered(night: Stand) -> None:
    one = seed.put_event(night.engine, seed.head(333))
    done = seed.clock(minutes_ago=200, stopped_at=NOW - 60 * MINUTE, stopped_by="李敏", stopped_why="statement",
                      ref="st", registered_at=NOW - 20 * MINUTE)
    seed.put_clocks(night.engine, one, done)
    with night.engine.begin() as connection:
        for each in lines.of_clocks(EventClocks(event_id=one.id, revision=1, clocks=(done,))):
            connection.execute(schema.timeline.insert().values(**each))
    async with await night.signed_in() as client:
        event, duty = [words((await client.get(path)).text) for path in ("/events/E-0333", "/")]
    assert "02:12 停止 李敏 登记了官方回应，登记于 02:52" in event
    assert "停止计时：首次权威回应 李敏 登记了官方回应 ，登记于 02:52" in event, "in the timeline"
    assert "（李敏 登记了官方回应，登记于 02:52" in duty


async def test_the_duty_page_says_how_many_silences_hold_pages_back(night: Stand) -> None:
    async with await night.signed_in() as client:
        before = (await client.get("/")).text
        assert re.search(r'<a href="/silences">静默 \d+ 个生效', before)
        silence_commands.add(night.engine, seed_alerts.book(), Order("", "李敏", NOW, NOW), silence_commands.Wanted(
            60 * MINUTE, "检修", "值班组", subjects=("polling",)), even_highest=True)
        after = (await client.get("/")).text
    assert re.search(r'<a href="/silences">静默 \d+ 个生效（含重大）</a>', after)


async def test_the_event_page_says_why_there_is_no_message(night: Stand) -> None:
    async with await night.signed_in() as client:
        page = words((await client.get("/events/E-0324")).text)
        other = words((await client.get("/events/E-0322")).text)
    for said in ("没有通知 值班组 静默（供水检修，已公告，负责人 值班组）", "没有发 告警 值班组",
                 "王强 静默了这个事件 2 小时 10 分钟",
                 "李敏 已确认，不再发送"):
        assert said in page, said
    assert "正在静默" not in page, "said once"
    assert "李敏 转交给 领导小组 我在去现场的路上" in other and "李敏 备注 选举办说名单以公告为准" in other


async def test_a_silence_that_matches_is_told_before_it_holds_anything_back(night: Stand) -> None:
    one = seed.put_event(night.engine, seed.head(330, 1, groups=("论坛",)))
    async with await night.signed_in() as client:
        page = words((await client.get(f"/events/{one.short}")).text)
    assert "正在静默：主题 投票时间地点 · 来源分组 论坛，到 09:12" in page and "这期间不发消息" in page


# ---------------------------------------------------------------- forms


async def test_an_alert_is_handed_over_with_a_note(night: Stand) -> None:
    one = seed.head(317, 3)
    async with await night.signed_in() as client:
        page = (await client.get("/events/E-0317")).text
        assert '<optgroup label="班组">' in page and '<option value="leader">带班领导</option>' in page
        done = await posted(client, f"/events/{one.id}/handover", alert=seed.alert(one).alert_id, to="leader",
                            note="我在去现场的路上")
        assert done.headers["location"] == f"/events/{one.id}?done=handover"
        page = words((await client.get("/events/E-0317")).text)
    over = command(night, HandOver)
    assert (over.to, over.note, over.by, over.event_id) == ("leader", "我在去现场的路上", "李敏", one.id)
    assert "李敏 已提交转交给 带班领导，正在发出（消息总线若不通，恢复后发出）" in page and "已提交" in page


async def test_an_answered_alert_can_be_handed_over_and_what_arrived_is_no_longer_under_way(night: Stand) -> None:
    one = seed.head(318, 2)
    async with await night.signed_in() as client:
        await posted(client, f"/events/{one.id}/handover", alert=seed.alert(one).alert_id, to="leaders")
        before = words((await client.get("/events/E-0318")).text)
        over = command(night, HandOver)
        with night.engine.begin() as connection:
            connection.execute(schema.timeline.insert().values(**lines.of_command(over)))
        after = words((await client.get("/events/E-0318")).text)
    assert "李敏 已提交转交给 领导小组" in before
    assert "已提交" not in after and "李敏 转交给 领导小组" in after


async def test_a_note_is_kept_and_shown_as_under_way(night: Stand) -> None:
    one = seed.head(317, 3)
    async with await night.signed_in() as client:
        await posted(client, f"/events/{one.id}/comment", text="已致电 13800138321\n等回复")
        page = words((await client.get("/events/E-0317")).text)
    assert command(night, Comment).text.endswith("等回复") and "13800138321" not in command(night, Comment).text
    assert "李敏 已提交备注" in page and night.audit()[-2][1] == "event.comment"


def official(stand: Stand) -> tuple[EventHead, str]:
    """The event with a proposal, and the proposal's item."""
    return seed.head(317, 3), "f" * 20


async def test_a_proposal_is_confirmed_with_the_clocks_that_were_ticked(night: Stand) -> None:
    one, item = official(night)
    async with await night.signed_in() as client:
        page = words((await client.get("/events/E-0317")).text)
        assert "待确认：这是对事件的回应吗？" in page
        await posted(client, f"/events/{one.id}/statement", item=item, answer="yes", **{
            "clock-answer": "yes", "clock-reply": "yes"})
        after = words((await client.get("/events/E-0317")).text)
    said = command(night, Statement)
    assert (said.item_id, said.clocks, said.rejected, said.by) == (item, ("answer", "reply"), False, "李敏")
    assert "李敏 已提交官方回应" in after and "待确认：这是对事件的回应吗？" not in after


async def test_a_proposal_is_rejected_and_stops_nothing(night: Stand) -> None:
    one, item = official(night)
    async with await night.signed_in() as client:
        await posted(client, f"/events/{one.id}/statement", item=item, answer="no", **{"clock-answer": "yes"})
    said = command(night, Statement)
    assert said.rejected and said.clocks == ()
    seed.put_statement(night.engine, said)
    seed.put_line(night.engine, one, "rejected", 1, said)
    async with await night.signed_in("王强") as client:
        page = words((await client.get("/events/E-0317")).text)
    assert "李敏 认为不是官方回应" in page and "待确认：这是" not in page
    assert "官方来源发布的相关内容会自动列在这里" in page


async def test_a_statement_is_attached_by_hand_with_its_time(night: Stand) -> None:
    one = seed.head(317, 3)
    async with await night.signed_in() as client:
        await posted(client, f"/events/{one.id}/statement", url="https://gonggao.example/n/90", title="说明", text="",
                     at="2026-11-22T03:05", **{"clock-answer": "yes"})
        said = command(night, Statement)
        assert (said.url, said.title, said.clocks) == ("https://gonggao.example/n/90", "说明", ("answer",))
        assert said.published_at == NOW - 7 * MINUTE, "in the desk's zone"
        for form, status in (({"url": "javascript:alert(1)"}, 400), ({}, 400), ({"title": "x", "at": "soon"}, 400)):
            assert (await posted(client, f"/events/{one.id}/statement", **form)).status_code == status, form
    assert len(night.rows(schema.commands)) == 1, "what was refused left nothing"


@pytest.mark.parametrize(("path", "form", "status", "says"), [
    ("handover", {"alert": "gone", "to": "leader"}, 409, "新的提醒"),
    ("handover", {"to": "nobody"}, 400, "可以转交给"), ("comment", {"text": "  "}, 400, "请写备注的内容"),
    ("statement", {"item": "0" * 20, "answer": "yes"}, 409, "不在这个事件里"),
    ("statement", {"title": "x", "clock-none": "yes"}, 400, "没有时限")])
async def test_a_form_that_makes_no_sense_says_what_to_do(
        night: Stand, path: str, form: dict[str, str], status: int, says: str) -> None:
    async with await night.signed_in() as client:
        answer = await posted(client, f"/events/{seed.head(317, 3).id}/{path}", **form)
    assert answer.status_code == status
    assert says in answer.text and night.rows(schema.commands) == []


async def test_a_form_about_an_event_that_is_not_there_leads_to_the_list(night: Stand) -> None:
    async with await night.signed_in() as client:
        answer = await posted(client, "/events/nowhere/comment", text="x")
    assert answer.status_code == 404 and 'href="/events"' in answer.text


FORMS = tuple(f"/events/{seed.head(317, 3).id}/{what}" for what in ("handover", "comment", "statement")) + (
    "/silences", "/silences/x/expire")


@pytest.mark.parametrize("path", FORMS)
async def test_every_form_asks_for_the_token_and_the_role(night: Stand, path: str) -> None:
    form = {"text": "x", "to": "leader", "title": "x", "event": "E-0317", "reason": "x", "owner": "x", "minutes": "30"}
    async with await night.signed_in() as client:
        assert (await client.post(path, data=form)).status_code == 403
        crossed = await client.post(path, data={**form, "csrf": csrf_of((await client.get("/events")).text)},
                                    headers={"origin": "https://elsewhere.example"})
        assert crossed.status_code == 403
    async with await night.signed_in("看客", Role.VIEWER) as client:
        assert (await posted(client, path, **form)).status_code == 403
    async with night.client() as stranger:
        assert (await stranger.post(path, data=form)).headers["location"] == "/login"
    assert night.rows(schema.commands) == []


async def test_a_viewer_sees_everything_and_is_offered_no_form(night: Stand) -> None:
    async with await night.signed_in("看客", Role.VIEWER) as client:
        for path in ("/events/E-0317", "/silences", "/handover", "/deliveries"):
            page = (await client.get(path)).text
            assert re.findall(r'<form method="post" action="([^"]+)"', page) == ["/logout"], path
    async with await night.signed_in("热线", Role.REPORTER) as client:
        for path in ("/silences", "/handover", "/deliveries"):
            assert (await client.get(path)).status_code == 403, path


# ---------------------------------------------------------------- silences


async def test_the_silences_say_what_they_hold_back_who_answers_for_them_and_until_when(night: Stand) -> None:
    async with await night.signed_in() as client:
        page = words((await client.get("/silences")).text)
    for said in ("生效中 2", "事件 E-0324 · 级别 一般、较大", "负责人 值班组 · 王强 添加 · 03:02 至 05:12",
                 "还有 2 小时",
                 "主题 投票时间地点 · 来源分组 论坛 含重大", "<b>论坛</b>升级", "提前结束 级别 一般"):
        assert said in page, said


async def test_a_silence_is_added_and_shows_at_once(night: Stand) -> None:
    async with await night.signed_in() as client:
        form = (await client.get("/silences?event=E-0317")).text
        assert 'value="E-0317"' in form and form.count("checked") == 2, "every level but the highest"
        done = await posted(client, "/silences", event="E-0317", reason="核实过", owner="值班组", minutes="120",
                            **{"level-1": "yes", "level-2": "yes"})
        assert done.headers["location"] == "/silences?done=silence"
        page = words((await client.get("/silences")).text)
    made = command(night, Silence)
    assert (made.event_id, made.levels, made.owner) == (seed.head(317, 3).id, ("一般", "较大"), "值班组")
    assert made.ends_at - made.starts_at == 2 * HOUR and "事件 E-0317 · 级别 一般、较大" in page and "生效中 3" in page


async def test_a_silence_of_the_highest_level_has_to_be_confirmed(night: Stand) -> None:
    wanted = {"subject": "polling", "reason": "测试", "owner": "李敏", "minutes": "60"}
    async with await night.signed_in() as client:
        asked = await posted(client, "/silences", **wanted)
        assert asked.status_code == 409 and "这会压住重大" in asked.text and 'name="top"' in asked.text
        assert 'value="测试"' in asked.text, "what was typed stays"
        assert night.rows(schema.commands) == []
        done = await posted(client, "/silences", **wanted, top="yes")
    assert done.status_code == 303 and command(night, Silence).subjects == ("polling",)


@pytest.mark.parametrize(("form", "says"), [
    ({}, "至少写一个条件"), ({"event": "E-9999"}, "没有事件 E-9999"),
    ({"level-1": "yes", "reason": ""}, "请写静默的原因"),
    ({"level-1": "yes", "owner": " "}, "请写负责人"), ({"level-1": "yes", "minutes": "x"}, "静默的时长"),
    ({"level-1": "yes", "group": "没有的"}, "没有来源分组")])
async def test_a_silence_that_is_not_whole_comes_back_with_the_reason(
        night: Stand, form: dict[str, str], says: str) -> None:
    whole = {"reason": "检修", "owner": "李敏", "minutes": "60", "top": "yes", **form}
    async with await night.signed_in() as client:
        answer = await posted(client, "/silences", **whole)
    assert answer.status_code == 400 and says in answer.text and night.rows(schema.commands) == []


async def test_a_silence_is_ended_once(night: Stand) -> None:
    one = seed.silence("s2", subjects=("polling",))
    async with await night.signed_in() as client:
        done = await posted(client, f"/silences/{one.id}/expire")
        again = await posted(client, f"/silences/{one.id}/expire")
        missing = await posted(client, "/silences/nothing/expire")
        page = words((await client.get("/silences")).text)
    assert done.headers["location"] == "/silences?done=expire" and command(night, Silence).expired_at == NOW
    assert (again.status_code, missing.status_code) == (409, 404) and "已经结束" in again.text
    assert "生效中 1" in page and "提前结束 主题" in page


# ---------------------------------------------------------------- deliveries, hand-over


async def test_the_ledger_says_what_became_of_every_message(night: Stand) -> None:
    async with await night.signed_in() as client:
        page = words((await client.get("/deliveries")).text)
    for said in ("全部 9 待送达 1 已送达 5 未能送达 1 已抑制 2", "没有发：静默（供水检修，已公告，负责人 值班组）",
                 "没有发：李敏 已确认",
                 "已改由 duty-sms（短信，阿里云） 发送", "与别的提醒合并成一条发出，共 3 个", "2 次尝试 · 1 分钟后再试",
                 "errcode 93000：机器人已被移除", "D-0004"):
        assert said in page, said


async def test_each_channel_says_how_it_stands(night: Stand) -> None:
    async with await night.signed_in() as client:
        page = words((await client.get("/deliveries")).text)
        with night.engine.begin() as connection:
            connection.execute(schema.outbox.update().values(channel="old-robot"))
        later = words((await client.get("/deliveries")).text)
    assert "duty-sms（短信，阿里云） 断开 连续失败 4 次，2 分钟后再试 1 条 不限 连接超时" in page
    rate = pace.rate_of(seed_alerts.book().channels[0])
    assert f"wecom-duty（企业微信群） 正常 0 3 次 每分钟最多 {rate} 次" in page
    assert "old-robot 规则里已没有 正常 1 条" in later


@pytest.mark.parametrize(("query", "count"), [
    ("status=dead", 1), ("status=suppressed", 2), ("channel=duty-sms", 2), ("event=E-0317", 4), ("event=D-0004", 1),
    ("event=E-0317&status=confirmed", 1), ("status=nonsense", 9), ("page=7", 9)])
async def test_the_ledger_is_filtered(night: Stand, query: str, count: int) -> None:
    async with await night.signed_in() as client:
        page = (await client.get(f"/deliveries?{query}")).text
    listed = page[page.index('<ul class="rows card ledger">'):page.index("系统通知")]
    assert listed.count("<li>") == count


async def test_an_event_that_is_not_there_and_a_filter_without_rows_say_so(night: Stand) -> None:
    async with await night.signed_in() as client:
        assert "找不到“E-9999”" in (await client.get("/deliveries?event=E-9999")).text
        assert "没有这种投递" in (await client.get("/deliveries?channel=none")).text


async def test_what_nobody_accounts_for_is_named_in_red(night: Stand) -> None:
    async with await night.signed_in() as client:
        page = (await client.get("/deliveries")).text
        assert "已决定 2 = 送达 0 + 待送 0 + 失败 0 + 抑制 0 + 去向不明 2" in words(page)
        assert '<strong class="bad-line">+ 去向不明 2</strong>' in page and "wenxun deliveries audit" in page
        with night.engine.begin() as connection:
            for row in connection.execute(schema.escalations.select()).all():
                connection.execute(schema.outbox.update().where(schema.outbox.c.status == "suppressed")
                                   .values(escalation_id=row.id))
                break
        account = words((await client.get("/deliveries")).text)
        polled = (await client.get("/deliveries", headers={"x-wenxun-live": "1"})).text
    assert "抑制 1 + 去向不明 1" in account
    assert "已决定" not in polled and 'id="channels" data-live' in polled, "not a day of the ledger every moment"


async def test_the_hand_over_tells_the_next_shift_everything(night: Stand) -> None:
    async with await night.signed_in() as client:
        page = words((await client.get("/handover")).text)
    for said in ("7 件，6 件待确认", "无人应答", "李敏 03:06 转交给领导小组：我在去现场的路上",
                 "已超时 E-0321 首次权威回应",
                 "2 个生效", "1 条失败，1 条待送", "失联 青禾日报", "已平息 11-21 22:12", "没有到期或快到期的规则",
                 "谁在值班",
                 "交接班 2026-11-22 03:12，含 11-21 15:12 以来"):
        assert said in page, said
    assert ("李敏", "handover.read", "handover") in night.audit()


@pytest.mark.parametrize(("query", "status", "says"), [
    ("since=3d", 200, "含 11-19 03:12 以来"), ("at=2026-11-22T01:00", 200, "含 01:00 以来"),
    ("since=soon", 400, "起始时间写作"), ("at=2027-01-01T00:00", 400, "不能晚于现在")])
async def test_since_when_is_chosen(night: Stand, query: str, status: int, says: str) -> None:
    async with await night.signed_in() as client:
        page = await client.get(f"/handover?{query}")
    assert page.status_code == status and says in words(page.text)


async def test_the_page_of_rules_says_who_is_told_how_until_when_and_what_is_owed(tmp_path: Path) -> None:
    route = Route(id="town", levels=("重大",), regions=("石桥镇",), teams=("duty",), lead="leaders", repeat=10 * MINUTE,
                  until=24 * HOUR, steps=(Step(tell=("duty",), channels=("wecom-duty", "duty-sms")),
                                          Step(tell=("leaders",), after=5 * MINUTE)))
    whole = replace(seed_alerts.book(), routes=(route,), quiet=(Quiet(levels=("一般",), hours="22:00-07:00"),),
                    budget={"重大": 5})
    stand = make_stand(tmp_path, book=whole)
    async with await stand.signed_in() as client:
        page = words((await client.get("/rules")).text)
    for said in ("石桥镇 · 归口 值班组 · 逐级通知 · 每 10 分钟重来一轮，直到确认 · 最多 1 天 · 领导小组牵头",
                 "立即 值班组 经 wecom-duty，不通再经 duty-sms", "安静时段 22:00-07:00 ：一般的提醒等结束后再发",
                 "重大 5 个", "首次权威回应 5 小时", "达到较大或加急上报时开始；已过 50%提醒 已通知的人", "已超时提醒"):
        assert said in page, said
    stand.engine.dispose()


# ---------------------------------------------------------------- drills


async def test_a_drill_has_a_score_sheet_that_says_what_was_met(night: Stand) -> None:
    run = seed_alerts.played(night.engine)
    async with await night.signed_in() as client:
        listed = words((await client.get("/drills")).text)
        sheet = words((await client.get(f"/drills/{run.id}")).text)
        missing = await client.get("/drills/nothing")
    assert "进行中 投票提前截止的谣言 目标 5 项，做到 3 项， 没做到 1 项" in listed and "D-0004" in listed
    for said in ("首条到形成事件 ✓ 做到 2 分钟 3 分钟内", "达级到通知送达 ✓ 做到 1 分钟 1 分钟内",
                 "送达到确认 ✗ 超过 7 分钟 5 分钟内", "首条到权威回应 … 还没有 无 30 分钟内"):
        assert said in sheet, said
    assert missing.status_code == 404 and "没有这次演练" in missing.text


async def test_a_drill_is_ended_by_who_may_act(night: Stand) -> None:
    run = seed_alerts.played(night.engine)
    async with await night.signed_in("看客", Role.VIEWER) as client:
        assert (await posted(client, f"/drills/{run.id}/end")).status_code == 403
        assert "结束演练" not in (await client.get(f"/drills/{run.id}")).text
    async with await night.signed_in() as client:
        assert (await client.post(f"/drills/{run.id}/end")).status_code == 403, "no token"
        done = await posted(client, f"/drills/{run.id}/end")
        page = words((await client.get(f"/drills/{run.id}")).text)
    assert done.headers["location"] == f"/drills/{run.id}?done=drill-end"
    assert command(night, Close).event_id == seed.head(seed_alerts.DRILL).id and "没有全做到" in page
    assert ("李敏", "drill.end", run.id) in night.audit() and ("李敏", "drills.read", run.id) in night.audit()


async def test_without_drills_the_page_says_how_to_play_one(night: Stand) -> None:
    async with await night.signed_in() as client:
        page = (await client.get("/drills")).text
    assert "还没有演练过" in page and "wenxun drill run closing-time-rumour" in page


# ---------------------------------------------------------------- all of them


async def test_empty_pages_say_what_will_be_there(stand: Stand) -> None:
    seed.put_event(stand.engine, seed.head())
    expected = {
        "/silences": ("没有静默：该通知的都会通知", "还没有结束的静默"),
        "/deliveries": ("还没有发送过消息", "没有待处理的死信"),
        "/handover": ("没有正在计的时限", "没有静默", "都送到了", "没有。"),
        "/events/E-0317": ("还没有开始计时：达到“较大”或加急上报后开始",
                           "还没有为这个事件发送过消息", "也可以自己登记")}
    async with await stand.signed_in() as client:
        for path, said in expected.items():
            page = words((await client.get(path)).text)
            for each in said:
                assert each in page, (path, each)


async def test_before_any_rule_book_arrives_every_page_still_answers(tmp_path: Path) -> None:
    stand = make_stand(tmp_path)
    seed_alerts.night(stand.engine)
    with stand.engine.begin() as connection:
        connection.execute(schema.books.delete())
    async with await stand.signed_in(role=Role.ADMIN) as client:
        for path in PAGES:
            assert (await client.get(path)).status_code == 200, path
        refused = await posted(client, "/silences", event="E-0317", reason="x", owner="x", minutes="60")
    assert refused.status_code == 400 and "规则还没有读到" in refused.text
    stand.engine.dispose()


async def test_hostile_text_of_feeds_and_people_is_shown_and_never_run(night: Stand) -> None:
    engine, bad = night.engine, seed.XSS
    one = seed.put_event(engine, seed.head(901, 3, title=bad, statements=(seed.Excerpt(
        item_id="9" * 20, title=bad, text=bad, source_name=bad, url="javascript:alert(4)", at=NOW),)))
    seed.put_alert(engine, seed.alert(one, AlertStatus.NOTIFIED, handed_to=bad, told=(bad,), held_by=bad))
    seed.put_clocks(engine, one, seed.clock(stopped_at=NOW, stopped_by=bad, stopped_why="closed", ref=bad))
    seed.put_statement(engine, seed.statement(one, title=bad, text=bad, url="javascript:alert(5)", by=bad))
    seed.put_silence(engine, seed.silence("evil", event_id=one.id, reason=bad, owner=bad, by=bad, groups=(bad,)))
    seed.put_line(engine, one, "comment", 1, {"by": bad, "text": bad})
    seed.put_line(engine, one, "answered", 1, {"by": bad, "title": bad, "url": "javascript:alert(6)"})
    seed.put_line(engine, one, "suppressed", 1, {"kind": "page", "tell": [bad], "suppressed_by": bad})
    seed_alerts.put_row(engine, "evil", bad, bad, "dead", of=one, error=bad, next_channels=f'["{"x" * 3}"]')
    async with await night.signed_in(role=Role.ADMIN) as client:
        for path in (*PAGES, "/events/E-0901", "/deliveries?event=%3Cscript%3E&channel=%22%3E%3Cimg%20src=x",
                     "/silences?event=%22%3E%3Cimg%20src=x", "/handover?since=%3Cimg%20src=x"):
            page = (await client.get(path)).text
            assert "<script>alert" not in page and "<img src=x" not in page, path
            assert 'href="javascript:' not in page, path


async def test_reading_these_pages_is_written_down(night: Stand) -> None:
    async with await night.signed_in() as client:
        for path in ("/", "/silences", "/deliveries", "/handover"):
            await client.get(path)
    assert [action for _, action, _ in night.audit()] == [
        "duty.read", "silences.read", "deliveries.read", "handover.read"]
