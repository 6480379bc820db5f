"""The pages: what stands on them, what they say when there is nothing, and that reading them is written down."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sql_event

from agents.desk.accounts import Role
from agents.store import schema
from pipeline.model import AlertStatus, EventStatus
from pipeline.rulebook.schema import MINUTE
from tests.desk import seed
from tests.desk.conftest import Stand, csrf_of, make_stand

PAGES = ("/", "/events", "/events/E-0317", "/sources", "/rules", "/deliveries", "/audit")


async def test_the_duty_page_shows_what_waits_by_level_with_its_reason_and_who_is_next(stand: Stand) -> None:
    seed.morning(stand.engine)
    async with await stand.signed_in() as client:
        page = (await client.get("/")).text
    assert page.index("E-0317") < page.index("E-0318") < page.index("E-0319")
    for words in ("个事件待确认", "3 小时内 34 条、9 个独立来源，达到重大（30 条、8 个来源）。",
                  "已通知 <strong>值班组</strong>", "03:14", "通知 领导小组", "李敏 已确认", "有 1 条消息未能送达",
                  "官方来源有 1 条相关内容，待确认是不是回应",
                  "3 个来源正常", "1 个异常", "一天内平息和关闭的", "E-0311",
                  "<title>(1) 值班 · 闻讯</title>"):
        assert words in page, words


async def test_an_acked_event_stands_below_one_that_waits_on_the_same_level(stand: Stand) -> None:
    one, other = (seed.put_event(stand.engine, seed.head(number, last_item_at=seed.NOW - number)) for number in (1, 2))
    seed.put_alert(stand.engine, seed.alert(one, AlertStatus.ACKED, acked_by="王强", acked_at=seed.NOW))
    seed.put_alert(stand.engine, seed.alert(other))
    async with await stand.signed_in() as client:
        page = (await client.get("/")).text
    assert page.index("E-0002") < page.index("E-0001")


async def test_a_step_that_is_due_is_not_said_to_lie_in_the_past(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    seed.put_alert(stand.engine, seed.alert(one, due_at=seed.NOW - 2000))
    async with await stand.signed_in() as client:
        page = (await client.get("/")).text
    assert '<span class="nums">即将</span> 通知 领导小组' in page


async def test_what_waits_for_a_digest_or_was_put_off_is_no_alarm(stand: Stand) -> None:
    one, other = (seed.put_event(stand.engine, seed.head(number, 1)) for number in (1, 2))
    seed.put_alert(stand.engine, seed.alert(one, AlertStatus.PENDING, told=()))
    seed.put_alert(stand.engine, seed.alert(other, AlertStatus.SNOOZED, snoozed_until=seed.NOW + 30 * MINUTE))
    async with await stand.signed_in() as client:
        page = (await client.get("/")).text
    assert "没有急需确认的事件" in page and "<title>值班" in page
    assert page.count(">确认</button>") == 2, "but they can be answered"


async def test_without_sources_the_duty_page_says_what_to_write(bare: Stand) -> None:
    async with await bare.signed_in() as client:
        duty, sources = (await client.get("/")).text, (await client.get("/sources")).text
    for page in (duty, sources):
        assert "尚未配置来源" in page and "sources.yml" in page and "- id: county-news" in page


async def test_the_lines_that_the_page_tells_to_write_are_accepted(bare: Stand, tmp_path: Path) -> None:
    from agents import cli

    async with await bare.signed_in() as client:
        pages = [(await client.get(path)).text for path in ("/", "/sources")]
    assert cli.main(["init", str(tmp_path / "rules")]) == 0
    for page in pages:
        found = re.search(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)
        assert found is not None
        (tmp_path / "rules" / "sources.yml").write_text(html.unescape(found[1]) + "\n", encoding="utf-8")
        assert cli.main(["rules", "check", str(tmp_path / "rules")]) == 0


async def test_without_events_the_duty_page_says_that_the_sources_work(stand: Stand) -> None:
    for ident in ("xinwen", "luntan", "ribao", "gonggao"):
        seed.put_source(stand.engine, ident)
    async with await stand.signed_in() as client:
        page = (await client.get("/")).text
    assert "暂无事件" in page and "4 个来源正常 · 最近采集" in page and "03:11" in page


async def test_no_events_while_every_source_fails_is_not_called_calm(stand: Stand) -> None:
    for ident in ("xinwen", "luntan", "ribao", "gonggao"):
        seed.put_source(stand.engine, ident, failures=3, error="超时")
    async with await stand.signed_in() as client:
        page = (await client.get("/")).text
    assert "暂无事件" not in page and "不代表没有事情发生" in page


async def test_empty_pages_say_what_will_be_there(stand: Stand) -> None:
    async with await stand.signed_in(role=Role.ADMIN) as client:
        for path, words in (("/events", "没有符合条件的事件"), ("/deliveries", "还没有发送过消息"),
                            ("/sources", "等待首次采集"),
                            ("/deliveries?status=dead", "没有这种投递"), ("/audit?account=nobody", "没有记录")):
            assert words in (await client.get(path)).text, path


async def test_before_any_rule_book_arrives_every_page_still_answers(tmp_path: Path) -> None:
    stand = make_stand(tmp_path)
    seed.put_event(stand.engine, seed.head())
    async with await stand.signed_in(role=Role.ADMIN) as client:
        for path in PAGES:
            assert (await client.get(path)).status_code == 200, path
        assert "wenxun init" in (await client.get("/rules")).text
    stand.engine.dispose()


async def test_a_desk_that_just_started_uses_the_archives_newest_book(tmp_path: Path) -> None:
    stand = make_stand(tmp_path)
    seed.put_book(stand.engine, seed.book())
    async with await stand.signed_in() as client:
        assert "青禾日报" in (await client.get("/sources")).text
    stand.engine.dispose()


async def test_the_event_page_shows_evidence_reasons_history_and_deliveries(stand: Stand) -> None:
    seed.morning(stand.engine)
    async with await stand.signed_in() as client:
        page = (await client.get("/events/E-0317")).text
    for words in ("为什么是重大", "34</strong> / 30", "已是最高一级", '<mark title="命中：投票站">投票站</mark>',
                  "青禾论坛",
                  "luntan.example 5", "关于投票时间的说明", "升级：较大 → 重大", "通知 值班组", "SMTP 550：邮箱不存在",
                  "试了 6 次", 'rel="noreferrer nofollow noopener external"', "1 / 3", "确认并接手",
                  "不相关"):
        assert words in page, words


async def test_an_event_is_found_by_any_way_to_write_its_number(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    async with await stand.signed_in() as client:
        for ref in ("317", "E-317", "e0317", one.id):
            answer = await client.get(f"/events/{ref}")
            assert answer.headers["location"] == "/events/E-0317", ref
        missing = await client.get("/events/E-9999")
    assert missing.status_code == 404 and "找不到“E-9999”" in missing.text


async def test_what_the_next_level_lacks_is_said(stand: Stand) -> None:
    seed.put_event(stand.engine, seed.head(level=2))
    async with await stand.signed_in() as client:
        page = (await client.get("/events/E-0317")).text
    assert "到<strong>重大</strong>（3 小时内 30 条、8 个独立来源）" in page


async def test_hostile_feed_text_is_shown_and_never_run(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head(title=seed.XSS))
    seed.put_alert(stand.engine, seed.alert(one, acked_by=seed.XSS))
    seed.put_item(stand.engine, one, 1, seed.XSS, seed.XSS * 10, terms=("<script>",), url="javascript:alert(3)")
    seed.put_delivery(stand.engine, one, seed.XSS, "dead", error=seed.XSS)
    seed.put_source(stand.engine, "xinwen", failures=2, error=seed.XSS)
    seed.put_line(stand.engine, one, "close", 1, {"by": seed.XSS, "reason": seed.XSS})
    seed.put_notice(stand.engine, "规则" + seed.XSS, seed.XSS)
    async with await stand.signed_in(role=Role.ADMIN) as client:
        for path in (*PAGES, "/events?q=%3Cscript%3E&status=%22%3E", "/events/%3Cscript%3Ealert(1)"):
            page = (await client.get(path)).text
            assert "<script>alert" not in page and "<img src=x" not in page, path
            assert 'href="javascript:' not in page, path
        shown = (await client.get("/events/E-0317")).text
    assert "&lt;img src=x onerror=alert(2)&gt;" in shown and "链接不是网页地址" in shown


async def test_an_expired_text_is_not_missed_its_figures_stay(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    seed.put_item(stand.engine, one, 1, "会过期的标题", "会过期的内容")
    with stand.engine.begin() as connection:
        connection.execute(schema.events.update().values(expired=True))
        connection.execute(schema.items.update().values(expired=True, title="", text=""))
        connection.execute(schema.scored.update().values(expired=True, detail=""))
    async with await stand.signed_in() as client:
        page = (await client.get("/events/E-0317")).text
    assert "文字已按保存期限删除" in page and "会过期的" not in page and "（文字已过保存期）" in page


async def test_the_list_filters_by_status_level_subject_and_words(stand: Stand) -> None:
    seed.morning(stand.engine)
    wanted = {"": 4, "status=calm": 1, "status=open&level=2": 2, "level=3": 1, "subject=polling": 4, "subject=none": 0,
              "q=排队": 1, "q=E-0311": 1, "q=%25": 0, "status=nonsense&level=x&page=-3": 4}
    async with await stand.signed_in() as client:
        for query, count in wanted.items():
            page = (await client.get(f"/events?{query}")).text
            assert f'<p class="faint nums">{count} 个</p>' in page, query


async def test_the_banner_stands_on_every_page(tmp_path: Path) -> None:
    stand = make_stand(tmp_path, book=seed.book(), banner="演示")
    seed.morning(stand.engine)
    async with await stand.signed_in(role=Role.ADMIN) as client:
        for path in (*PAGES, "/nowhere"):
            assert '<div class="banner" role="note">演示</div>' in (await client.get(path)).text, path
        client.cookies.clear()
        assert "演示" in (await client.get("/login")).text
    stand.engine.dispose()


async def test_the_audit_is_for_admins(stand: Stand) -> None:
    for name, role, status in (("看客", Role.VIEWER, 403), ("李敏", Role.DUTY, 403), ("局长", Role.ADMIN, 200)):
        async with await stand.signed_in(name, role) as client:
            assert (await client.get("/audit")).status_code == status


async def test_every_reading_of_an_event_by_a_person_is_written_down(stand: Stand) -> None:
    seed.put_event(stand.engine, seed.head())
    async with await stand.signed_in() as client:
        for _ in range(2):
            await client.get("/events/E-0317")
    assert stand.audit() == [("李敏", "event.read", "E-0317")] * 2


async def test_an_open_page_that_refreshes_itself_is_one_reading(stand: Stand) -> None:
    seed.put_event(stand.engine, seed.head())
    live = {"x-wenxun-live": "1"}
    async with await stand.signed_in() as client:
        await client.get("/events/E-0317")
        for _ in range(3):
            await client.get("/events/E-0317", headers=live)
    assert stand.audit() == [("李敏", "event.read", "E-0317")]


async def test_claiming_to_refresh_does_not_hide_a_first_reading(stand: Stand) -> None:
    seed.put_event(stand.engine, seed.head())
    async with await stand.signed_in() as client:
        await client.get("/events/E-0317", headers={"x-wenxun-live": "1"})
    assert stand.audit() == [("李敏", "event.read", "E-0317")]


async def test_a_refresh_without_news_is_a_short_answer(stand: Stand) -> None:
    seed.morning(stand.engine)
    async with await stand.signed_in() as client:
        first = await client.get("/", headers={"x-wenxun-live": "1"})
        again = await client.get("/", headers={"x-wenxun-live": "1", "if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        seed.put_event(stand.engine, seed.head(400, 1, first_item_at=seed.NOW - 5 * MINUTE))
        news = await client.get("/", headers={"x-wenxun-live": "1", "if-none-match": first.headers["etag"]})
    assert news.status_code == 200 and "E-0400" in news.text


async def test_unknown_pages_and_methods_are_answered_in_chinese(stand: Stand) -> None:
    async with await stand.signed_in() as client:
        missing, wrong = await client.get("/nowhere"), await client.get("/logout")
        assert missing.status_code == 404 and "没有这个页面" in missing.text
        assert wrong.status_code == 405
        client.cookies.clear()
        assert (await client.get("/static/../app.py")).status_code == 404


async def test_a_failing_page_says_so_and_tells_nothing_of_the_inside(
        stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    one = seed.put_event(stand.engine, seed.head())
    async with await stand.signed_in() as client:
        with stand.engine.begin() as connection:
            connection.execute(schema.events.update().values(head="{broken"))
        page = await client.get("/")
        form = await client.post(f"/events/{one.id}/close", data={
            "csrf": csrf_of((await client.get("/sources")).text), "version": "1", "reason": "重复"})
    assert page.status_code == 500 and "错误已写入日志" in page.text and "broken" not in page.text + form.text
    assert form.status_code == 500 and form.text.startswith("没有提交成功")
    assert "CodecError" in caplog.text


@pytest.mark.sqlite
async def test_a_store_that_cannot_be_written_refuses_with_what_to_do_and_heals_by_itself(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    state = seed.put_alert(stand.engine, seed.alert(one))
    async with await stand.signed_in() as client:
        csrf = csrf_of((await client.get("/")).text)
        stand.engine.dispose()
        sql_event.listen(stand.engine, "connect", _read_only)
        page = await client.get("/events/E-0317")
        form = await client.post(f"/events/{one.id}/ack", data={"csrf": csrf, "alert": state.alert_id})
        assert (page.status_code, form.status_code) == (503, 503)
        assert "请检查磁盘空间" in page.text and form.text.startswith("没有提交")
        assert stand.rows(schema.commands) == [], "nothing is half accepted"
        assert (await client.get("/sources")).status_code == 200, "what shows no item is still shown"
        stand.engine.dispose()
        sql_event.remove(stand.engine, "connect", _read_only)
        assert (await client.get("/events/E-0317")).status_code == 200


def _read_only(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA query_only=ON")


async def test_probes(stand: Stand) -> None:
    async with stand.client() as client:
        assert (await client.get("/livez")).text == "ok\n"
        ready = (await client.get("/readyz")).json()
        assert ready == {"ready": True, "store": True, "broker": False, "commands_waiting": 0}
        with stand.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE commands")
        assert (await client.get("/readyz")).status_code == 503


def test_a_closed_event_never_waits(stand: Stand) -> None:
    from agents.desk.desk_events import DeskEvent
    from agents.store.readmodel import EventCard

    one = seed.head(status=EventStatus.CLOSED)
    assert not DeskEvent(EventCard(one, seed.alert(one), False)).waits
