"""One subject, what runs in shadow, and verdicts by form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agents.desk.accounts import Role
from agents.store import schema
from pipeline import topics
from pipeline.ids import digest
from pipeline.model import Close, EventHead, EventStatus, Verdict, VerdictKind
from pipeline.rulebook.schema import Status
from tests.desk import seed, seed_rules
from tests.desk.conftest import Stand, make_stand
from tests.desk.test_commands import post, sent


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[Stand]:
    made = make_stand(tmp_path, book=seed_rules.book())
    seed_rules.fill(made.engine)
    yield made
    made.engine.dispose()


async def test_a_subject_is_shown_whole(ruled: Stand) -> None:
    async with await ruled.signed_in() as client:
        shown = (await client.get("/rules/subjects/closing-time")).text
    for words in ("投票站关门时间", "网传提前关门会让人错过投票", "2026-12-01 到期，还有 9 天", "第[0-9]+届歌会",
                  "[0-9一二三]+点(关门|截止)", "相隔不超过 10 字、在同一句里、按这个先后", "投票场所", "至少出现一个",
                  "一个都不能出现",
                  "只看来源分组 论坛、新闻", "2026-11-01 至 2026-12-31，周一、周二、周三、周四、周五，06:00-22:00",
                  "区分：繁体和简体、词中夹的标点和空格", "4 级（1 到 5）", "打榜、应援、年度歌手", "38%</strong>",
                  "E-0330", "只有一家在说，到不了一般", "是歌手打榜"):
        assert words in shown, words
    assert '<mark title="命中：投票站">投票站</mark>' in shown and "/rules/explain?item=" in shown
    assert ("李敏", "rule.read", "closing-time") in ruled.audit()


async def test_a_subject_in_shadow_says_that_nobody_is_told_and_stands_beside_the_live_ones(ruled: Stand) -> None:
    async with await ruled.signed_in() as client:
        plain = (await client.get("/rules/subjects/queue")).text
        named = (await client.get("/rules/subjects/~queue")).text
        listed = (await client.get("/rules/shadow")).text
    for shown in (plain, named, listed):
        assert "不会通知任何人" in shown and "S-0004" in shown and "两边都有的事件" in shown
    assert "wenxun rules promote queue" in plain and "轮椅推不进去" not in listed
    assert '<mark title="命中：轮椅">轮椅</mark>' in plain


async def test_events_in_shadow_are_in_no_normal_list_and_marked_on_their_own_page(ruled: Stand) -> None:
    async with await ruled.signed_in() as client:
        for path in ("/", "/events"):
            assert "S-0004" not in (await client.get(path)).text, path
        shown = (await client.get("/events/S-0004")).text
    assert "影子事件，不会通知任何人" in shown and "影子，不通知" in shown
    assert "关闭事件" not in shown and 'id="h-alert"' not in shown
    assert "/verdict" in shown, "it can be judged all the same"


async def test_a_whole_book_in_shadow_is_listed_and_its_own_wording_shown(tmp_path: Path) -> None:
    other = msgspec.structs.replace(
        seed_rules.CLOSING, title="关门时间（新写法）", status=Status.LIVE, terms=seed_rules.TRYING.terms)
    beside = seed_rules.book(hash="7" * 16, subjects=(other,))
    stand = make_stand(tmp_path, book=seed_rules.book(shadow=beside))
    async with await stand.signed_in() as client:
        listed = (await client.get("/rules/shadow")).text
        live = (await client.get("/rules/subjects/closing-time")).text
        shadow = (await client.get("/rules/subjects/~closing-time")).text
    assert "关门时间（新写法）" in listed and "排队和轮椅通道" in listed and "77777777" in listed
    assert "影子规则书里也有这个主题" in live and "[0-9一二三]+点" in live
    assert "关门时间（新写法）" in shadow and "[0-9一二三]+点" not in shadow and "影子规则书里的写法" in shadow
    stand.engine.dispose()


async def test_pages_of_rules_that_are_not_there_say_so(ruled: Stand, tmp_path: Path) -> None:
    async with await ruled.signed_in() as client:
        for path in ("/rules/subjects/nothing", "/rules/subjects/~*", "/rules/subjects/%3Cscript%3E"):
            answer = await client.get(path)
            assert answer.status_code == 404 and "没有这个主题" in answer.text and "<script>" not in answer.text
    bare = make_stand(tmp_path / "bare")
    async with await bare.signed_in() as client:
        assert "没有规则在影子里跑" in (await client.get("/rules/shadow")).text
    bare.engine.dispose()


async def test_a_match_whose_texts_are_past_their_time_keeps_its_figures(ruled: Stand) -> None:
    with ruled.engine.begin() as connection:
        connection.execute(schema.scored.update().values(detail="", expired=True))
    async with await ruled.signed_in() as client:
        shown = (await client.get("/rules/subjects/closing-time")).text
    assert "文字已按保存期限删除" in shown and "城西投票站是不是三点关门" not in shown


# ---------------------------------------------------------------- verdicts


def live(stand: Stand) -> EventHead:
    return seed.head(330, 1, subject="closing-time", title="城西投票站提前关门？")


@pytest.mark.parametrize("kind", list(VerdictKind))
async def test_a_verdict_on_an_event_is_a_command_and_closes_nothing_unasked(ruled: Stand, kind: VerdictKind) -> None:
    one = live(ruled)
    async with await ruled.signed_in() as client:
        answer = await post(client, f"/events/{one.id}/verdict", kind=kind.value, note=" 只有\n一家 ", version="14")
        again = await post(client, f"/events/{one.id}/verdict", kind=kind.value, note="只有 一家", version="14")
        shown = (await client.get(f"/events/{one.id}?done=verdict", follow_redirects=True)).text
    assert answer.headers["location"] == f"/events/{one.id}?done=verdict"
    assert again.headers["location"].endswith("done=verdict-again")
    (topic, key, record), = await sent(ruled, 1)
    assert (topic, key) == (topics.EVENTS, one.id) and isinstance(record, Verdict)
    assert (record.kind, record.subject, record.note, record.by) == (kind, "closing-time", "只有 一家", "李敏")
    assert "已记下评价" in shown and ("李敏", "event.verdict", "E-0330") in ruled.audit()


@pytest.mark.parametrize(("kind", "reason"), [("not_relevant", "不相关：是演练"), ("duplicate", "重复：是演练")])
async def test_not_relevant_and_duplicate_close_the_event_for_good_when_asked(
        ruled: Stand, kind: str, reason: str) -> None:
    one = live(ruled)
    async with await ruled.signed_in() as client:
        answer = await post(client, f"/events/{one.id}/verdict", kind=kind, note="是演练", close="yes", version="14")
    assert answer.headers["location"].endswith("done=verdict-close")
    records = [record for _, _, record in await sent(ruled, 2)]
    closed = next(each for each in records if isinstance(each, Close))
    assert closed.reason == reason and any(isinstance(each, Verdict) for each in records)


async def test_relevant_closes_nothing_even_with_the_box_ticked(ruled: Stand) -> None:
    async with await ruled.signed_in() as client:
        await post(client, f"/events/{live(ruled).id}/verdict", kind="relevant", close="yes", version="14")
    assert [row.type for row in ruled.rows(schema.commands)] == ["verdict"]


async def test_a_verdict_on_an_event_that_is_closed_counts_all_the_same(ruled: Stand) -> None:
    one = msgspec.structs.replace(live(ruled), status=EventStatus.CLOSED, closed_by="王强")
    with ruled.engine.begin() as connection:
        connection.execute(schema.events.delete().where(schema.events.c.id == one.id))
    seed.put_event(ruled.engine, one)
    async with await ruled.signed_in() as client:
        answer = await post(client, f"/events/{one.id}/verdict", kind="duplicate", close="yes", version="14")
    assert answer.headers["location"].endswith("done=verdict")
    assert [row.type for row in ruled.rows(schema.commands)] == ["verdict"]


async def test_a_verdict_on_a_match_comes_back_to_where_it_was_given(ruled: Stand) -> None:
    item = digest("item", live(ruled).id, 0)
    async with await ruled.signed_in() as client:
        path = "/rules/subjects/closing-time/verdict"
        first = await post(client, path, item=item, kind="not_relevant", note="说的是别处")
        second = await post(client, path, item=item, kind="relevant", **{"from": "item"})
        wrong = await post(client, path, item=item, kind="wrong_level")
        missing = await post(client, path, item="0" * 20, kind="relevant")
        other = await post(client, "/rules/subjects/polling/verdict", item=item, kind="relevant")
    assert first.headers["location"] == f"/rules/subjects/closing-time?done=verdict#match-{item}"
    assert second.headers["location"] == f"/items/{item}?done=verdict"
    assert (wrong.status_code, missing.status_code, other.status_code) == (400, 404, 404)
    assert len(ruled.rows(schema.commands)) == 2


async def test_an_item_shows_which_rules_matched_and_what_was_said(ruled: Stand) -> None:
    item = digest("item", live(ruled).id, 2)
    async with await ruled.signed_in() as client:
        shown = (await client.get(f"/items/{item}?done=verdict")).text
    for words in ("命中的规则", "/rules/subjects/closing-time", "是歌手打榜", "已记下评价",
                  f"/rules/explain?item={item}"):
        assert words in shown, words


async def test_a_viewer_sees_verdicts_and_gives_none(ruled: Stand) -> None:
    item = digest("item", live(ruled).id, 0)
    async with await ruled.signed_in("看客", Role.VIEWER) as client:
        for path in (f"/items/{item}", "/rules/subjects/closing-time", "/events/E-0330"):
            shown = (await client.get(path)).text
            assert "/verdict" not in shown and ("评价" in shown or "命中的规则" in shown), path
        for path, form in ((f"/events/{live(ruled).id}/verdict", {"kind": "relevant"}),
                           ("/rules/subjects/closing-time/verdict", {"item": item, "kind": "relevant"})):
            assert (await post(client, path, **form)).status_code == 403
    assert ruled.rows(schema.commands) == []


async def test_notes_and_titles_that_look_like_markup_stay_text(ruled: Stand) -> None:
    seed_rules.put_verdict(ruled.engine, "closing-time", "relevant", event_id=live(ruled).id, by=seed.XSS,
                           note=seed.XSS, minutes_ago=1)
    async with await ruled.signed_in() as client:
        for path in ("/rules/subjects/closing-time", "/events/E-0330"):
            shown = (await client.get(path)).text
            assert "<script>alert" not in shown and "&lt;script&gt;alert" in shown, path
