"""解释: a text typed in, an item, an event; bounded, braked, and never kept."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agents.clock import Clock
from agents.desk import explains
from agents.desk.accounts import Role
from agents.desk.explains import KEPT, MAX_CHARACTERS, PER_MINUTE, Explains
from agents.desk.limits import Busy
from agents.store import schema
from pipeline.rulebook.schema import Active, Near, Status, Term
from tests import builders
from tests.desk import seed, seed_rules
from tests.desk.conftest import Stand, make_stand
from tests.desk.test_commands import post

ALWAYS = msgspec.structs.replace(seed_rules.CLOSING, active=Active())
BOOK = seed_rules.book(subjects=(seed.book().subjects[0], ALWAYS, seed_rules.TRYING))


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[Stand]:
    made = make_stand(tmp_path, book=BOOK)
    yield made
    made.engine.dispose()


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))


async def test_a_text_shows_which_rules_match_where_and_why_others_do_not(ruled: Stand) -> None:
    async with await ruled.signed_in(role=Role.VIEWER) as client:
        empty = (await client.get("/rules/explain")).text
        answer = await post(client, "/rules/explain", title="城西投票站三点关门？", source="luntan")
        excluded = await post(client, "/rules/explain", title="打榜投票站三点关门", source="gonggao")
    assert "不会保存" in empty and "青禾论坛（论坛）" in empty
    words = plain(answer.text)
    assert answer.status_code == 200 and "2 条规则命中" in words and "权重合计 4.3，门槛 1.5" in words
    assert "投票场所" in re.findall('<mark title="命中：([^"]+)">', answer.text)[0] and "找到 “三点关门”" in words
    assert "看作提问" in words or "不是提问" in words
    words = plain(excluded.text)
    assert "没有命中 投票站关门时间" in words and "来源分组是“政务”" in words and "出现了排除词“打榜”" in words


async def test_words_that_are_not_near_each_other_say_why(tmp_path: Path) -> None:
    words = Term(near=Near(words=("接送车", "停开"), ordered=True))
    stand = make_stand(tmp_path, book=seed_rules.book(subjects=(
        msgspec.structs.replace(seed.book().subjects[0], terms=(words,), match=None, threshold=1.0),)))
    async with await stand.signed_in() as client:
        shown = plain((await post(client, "/rules/explain", text="停开的是食堂，接送车照常")).text)
    stand.engine.dispose()
    assert shown.count("“接送车…停开”的词都出现了，但先后不对") == 2 and "没有出现的" not in shown


async def test_a_rule_in_shadow_is_marked_and_a_book_beside_is_asked_by_a_box(tmp_path: Path) -> None:
    other = msgspec.structs.replace(seed_rules.TRYING, id="beside", title="只在影子书里", status=Status.LIVE)
    stand = make_stand(tmp_path, book=msgspec.structs.replace(BOOK, shadow=seed_rules.book(
        hash="7" * 16, subjects=(other,))))
    async with await stand.signed_in() as client:
        live = plain((await post(client, "/rules/explain", text="排队两小时，轮椅进不去")).text)
        beside = plain((await post(client, "/rules/explain", text="排队两小时，轮椅进不去", beside="yes")).text)
    assert "命中 排队和轮椅通道 影子" in live and "只在影子书里" not in live
    assert "命中 只在影子书里" in beside and "排队和轮椅通道" not in beside
    stand.engine.dispose()


@pytest.mark.parametrize(("form", "words"), [
    ({}, "请写上标题或正文"), ({"title": "   "}, "请写上标题或正文"),
    ({"title": "x", "source": "gone"}, "没有来源“gone”"),
    ({"text": "字" * (MAX_CHARACTERS + 1)}, f"最多 {MAX_CHARACTERS} 字，现在是 {MAX_CHARACTERS + 1} 字")])
async def test_what_cannot_be_explained_is_said_and_stays_in_the_form(
        ruled: Stand, form: dict[str, str], words: str) -> None:
    async with await ruled.signed_in() as client:
        answer = await post(client, "/rules/explain", **form)
    assert answer.status_code == 400 and words in answer.text and form.get("text", "") in answer.text


async def test_the_longest_text_that_is_allowed_is_explained(ruled: Stand) -> None:
    async with await ruled.signed_in() as client:
        answer = await post(client, "/rules/explain", text="投票站关门" * (MAX_CHARACTERS // 5))
    assert answer.status_code == 200 and "条规则命中" in answer.text


async def test_a_typed_text_is_kept_nowhere(ruled: Stand) -> None:
    async with await ruled.signed_in() as client:
        await post(client, "/rules/explain", title="秘密的投票站")
    assert ("李敏", "rules.explain", "文字") in ruled.audit()
    for table in (schema.items, schema.scored, schema.commands):
        assert ruled.rows(table) == []
    assert "秘密" not in str(ruled.rows(schema.audit))


async def test_typed_markup_stays_text(ruled: Stand) -> None:
    async with await ruled.signed_in() as client:
        answer = await post(client, "/rules/explain", title=f"投票站{seed.XSS}", text=seed.XSS)
    assert "<script>alert" not in answer.text and "<img" not in answer.text.split("<main", 1)[1]


async def test_before_any_book_the_box_says_so(tmp_path: Path) -> None:
    stand = make_stand(tmp_path)
    async with await stand.signed_in() as client:
        assert "还没有规则书" in (await post(client, "/rules/explain", title="x")).text
    stand.engine.dispose()


async def test_a_text_that_every_rule_matches_is_shown_with_the_heaviest_ones(tmp_path: Path) -> None:
    many = tuple(msgspec.structs.replace(seed_rules.TRYING, id=f"s{number:03d}", status=Status.LIVE)
                 for number in range(80))
    near = tuple(msgspec.structs.replace(seed_rules.TRYING, id=f"n{number:03d}", status=Status.LIVE, threshold=9.0)
                 for number in range(80))
    stand = make_stand(tmp_path, book=seed_rules.book(subjects=(*many, *near)))
    async with await stand.signed_in() as client:
        words = plain((await post(client, "/rules/explain", title="排队")).text)
    assert "80 条规则命中" in words and "另有 30 条也命中" in words and words.count("权重合计") == 50 + 20
    assert "沾边但没有命中的 80" in words and "另有 60 条差得更远" in words
    stand.engine.dispose()


# ---------------------------------------------------------------- the archive


async def test_an_item_is_explained_by_the_book_that_judged_it_and_by_the_present_one(ruled: Stand) -> None:
    then = seed_rules.book(hash="0f3c2a11d4e59b70", subjects=(seed.book().subjects[0],))
    seed.put_book(ruled.engine, then)
    one = seed.put_event(ruled.engine, seed.head())
    item = seed.put_item(ruled.engine, one, 1, "城东投票站三点关门", terms=("投票站",)).item.id
    with ruled.engine.begin() as connection:
        connection.execute(schema.scored.update().values(book=then.hash))
    async with await ruled.signed_in() as client:
        judged = plain((await client.get(f"/rules/explain?item={item}")).text)
        present = plain((await client.get(f"/rules/explain?item={item}&book=now")).text)
    assert "0f3c2a11 解释，那是判定它时用的" in judged and "投票站关门时间" not in judged
    assert "8c41f0d2 解释，就是现在用的" in present and "命中 投票站关门时间" in present
    assert ("李敏", "item.read", item) in ruled.audit()


async def test_an_item_that_is_gone_is_not_explained(ruled: Stand) -> None:
    one = seed.put_event(ruled.engine, seed.head())
    item = seed.put_item(ruled.engine, one, 1, "城东投票站三点关门").item.id
    with ruled.engine.begin() as connection:
        connection.execute(schema.items.update().values(title="", text="", expired=True))
    async with await ruled.signed_in() as client:
        expired, missing = [await client.get(f"/rules/explain?item={each}") for each in (item, "0" * 20)]
    assert expired.status_code == missing.status_code == 404
    assert "文字已过保存期" in expired.text and "没有这个条目" in missing.text


async def test_an_event_shows_each_factor_of_each_level_and_what_is_missing(ruled: Stand) -> None:
    one = seed.put_event(ruled.engine, seed.head(400, 1))
    for number in range(12):
        where = ("luntan", "xinwen", "ribao")[number % 3]
        seed.put_item(ruled.engine, one, number, "城东投票站三点关门", source_id=where, minutes_ago=5 + number)
    async with await ruled.signed_in() as client:
        shown = plain((await client.get("/rules/explain?event=E-0400")).text)
        decided = plain((await client.get("/rules/explain?event=E-0400&at=decision")).text)
        missing = await client.get("/rules/explain?event=E-9999")
    assert "离较大：2 小时内独立来源还差 1 个" in shown and "条数12 / 10" in shown
    assert "条件满足 现在的级别" in shown and "还差 18 条" in shown
    assert "最近一次判定" in decided and "条数0 / 3" in decided, "its items came after that"
    assert missing.status_code == 404 and ("李敏", "event.read", "E-0400") in ruled.audit()


async def test_a_level_that_a_subject_cannot_reach_is_said(ruled: Stand) -> None:
    seed.put_event(ruled.engine, seed.head(401, 1, subject="*", key="*/3"))
    async with await ruled.signed_in() as client:
        assert "这个主题没有这一级" in (await client.get("/rules/explain?event=E-0401")).text


# ---------------------------------------------------------------- brakes


async def test_nobody_asks_more_often_than_allowed(ruled: Stand) -> None:
    ruled.desk.explains = Explains(Clock(seed.NOW, 0, 0.0))
    async with await ruled.signed_in() as client, await ruled.signed_in("王强") as other:
        codes = [(await post(client, "/rules/explain", title="投票站")).status_code for _ in range(PER_MINUTE + 1)]
        assert codes == [200] * PER_MINUTE + [429]
        seed.put_event(ruled.engine, seed.head(402, 1, subject="*", key="*/3"))
        assert (await client.get("/rules/explain?event=E-0402")).status_code == 429, "events cost as much"
        assert (await post(other, "/rules/explain", title="投票站")).status_code == 200, "another account may"
        ruled.desk.explains.brakes.real = Clock(seed.NOW + 60_000, 0, 0.0)
        assert (await post(client, "/rules/explain", title="投票站")).status_code == 200


def test_a_book_is_compiled_once_and_only_the_last_ones_are_kept() -> None:
    made = Explains(Clock())
    first = made.scorer(BOOK)
    assert made.scorer(msgspec.structs.replace(BOOK)) is first, "the hash says which"
    for number in range(KEPT):
        made.scorer(msgspec.structs.replace(BOOK, hash=f"{number:016x}"))
    assert made.scorer(BOOK) is not first


def test_who_asks_twice_at_once_or_while_all_places_are_taken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explains, "WAIT_SECONDS", 0.05)
    made, item = Explains(Clock()), builders.raw_item()
    held, go = threading.Barrier(3), threading.Event()

    def hold(account: str) -> None:
        with made.hold(account):
            held.wait()
            go.wait(10)

    threads = [threading.Thread(target=hold, args=(name,)) for name in ("甲", "乙")]
    for each in threads:
        each.start()
    held.wait()
    with pytest.raises(Busy, match="您还有一个解释正在进行"):
        made.text("甲", BOOK, item)
    with pytest.raises(Busy, match="请过几秒再试"):
        made.text("丙", BOOK, item)
    go.set()
    for each in threads:
        each.join()
    assert made.text("丙", BOOK, item).rules, "a place is free again"

