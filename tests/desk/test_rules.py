"""规则: what stands on top, who runs which book, the table of subjects, and the answer to a change that waits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from agents.desk import rule_commands, rule_state, rule_words
from agents.desk.accounts import Role
from agents.desk.commands import Order, Refused
from agents.desk.sender import unsent
from agents.rule_history import History, Line, What
from agents.store import schema
from pipeline import topics
from pipeline.model import RulesAnswer, Worker
from pipeline.rulebook.schema import MINUTE, NEVER, Condition, Near, Pattern, RuleBook, Status, Subject
from tests.desk import seed, seed_rules
from tests.desk.conftest import Stand, csrf_of, make_stand
from tests.desk.seed import NOW
from tests.desk.test_commands import post, sent
from tests.rules.test_parse import GOOD

TODAY = dt.date(2026, 11, 22)


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[Stand]:
    """A desk whose book says everything that a book can say."""
    made = make_stand(tmp_path, book=seed_rules.book())
    seed.put_book(made.engine, seed_rules.book())
    yield made
    made.engine.dispose()


async def page(stand: Stand, path: str = "/rules", role: Role = Role.DUTY) -> str:
    async with await stand.signed_in(role.value, role) as client:
        answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


# ---------------------------------------------------------------- what stands


async def test_the_page_shows_every_file_of_the_book_in_words(ruled: Stand) -> None:
    shown = await page(ruled)
    for words in ("8c41f0d2", "3 小时内 30 条、8 个独立来源", "投票时间地点", "值班室", "2036-12-31 到期", "5 分钟后",
                  "领导小组", "一级响应", "低于进入条件的 60%，持续 30 分钟 后降级", "2 份词表：投票场所（4）",
                  "无人值班时通知 带班领导", "4 个来源，启用 4 个", "未归类话题</strong> 另有条件"):
        assert words in shown, words


async def test_faults_of_the_files_are_listed_with_their_places_while_the_last_good_book_stays(ruled: Stand) -> None:
    ruled.desk.deps.rules.state = seed_rules.broken()
    shown = await page(ruled)
    for words in ("规则文件有错，没有生效", '<code class="place">levels.yml:7:3</code>', "是不是 enter？",
                  "subjects/closing.yml:12:14", "不是 UTF-8 编码", "正在用的是上一份规则", "不用重启"):
        assert words in shown, words
    assert "投票时间地点" in shown, "the book in force is still shown"


async def test_before_any_book_faults_say_that_nothing_runs(tmp_path: Path) -> None:
    stand = make_stand(tmp_path)
    stand.desk.deps.rules.state = msgspec.structs.replace(seed_rules.broken(), in_force="")
    assert "采集和告警都没有开始" in await page(stand)
    stand.engine.dispose()


@pytest.mark.parametrize(("problem", "place", "text"), [
    ("levels.yml:7:3: ladder: 未知字段", "levels.yml:7:3", "ladder: 未知字段"),
    ("subjects/选举.yml:1:20: x: 12:30 不是时间", "subjects/选举.yml:1:20", "x: 12:30 不是时间"),
    ("没有这个规则目录。", "", "没有这个规则目录。")])
def test_a_problem_is_split_into_place_and_text(problem: str, place: str, text: str) -> None:
    assert rule_state.fault(problem) == rule_state.Fault(place, text)


# ---------------------------------------------------------------- workers


@pytest.mark.parametrize(("changes", "word", "tone"), [
    ({}, "一致", "good"), ({"scorer": seed.HASH}, "一致", "good"), ({"book": "0" * 16}, "落后", "bad"),
    ({"scorer": "0" * 16}, "打分落后", "bad"), ({"book": ""}, "还没有规则", "bad"),
    ({"at": NOW - 4 * MINUTE}, "没有消息", "wait"), ({"at": NOW - 4 * MINUTE, "book": "0" * 16}, "没有消息", "wait")])
def test_a_worker_is_judged_by_the_book_in_force(changes: dict[str, object], word: str, tone: str) -> None:
    one, = rule_state.running([seed_rules.worker("wx", "score", **changes)], seed_rules.state(), None, NOW)
    assert (one.word, one.tone) == (word, tone)


def test_a_worker_that_has_just_heard_of_a_book_is_not_behind_yet() -> None:
    fresh = seed_rules.state(at=NOW - 2_000)
    one, = rule_state.running([seed_rules.worker("wx", "score", book="0" * 16)], fresh, None, NOW)
    assert (one.word, one.tone) == ("正在换上", "wait")


def test_workers_that_stopped_or_were_silent_for_long_are_gone_and_trouble_comes_first() -> None:
    found = rule_state.running(seed_rules.workers().values(), seed_rules.state(), None, NOW)
    assert [each.worker.name for each in found] == ["wx-2:871", "wx-3:990", "wx-4:12", "wx-1:2211"]


def test_a_fast_clock_gives_workers_as_much_real_time() -> None:
    slow = seed_rules.worker("wx", "score", at=NOW - 50 * MINUTE)
    assert rule_state.running([slow], seed_rules.state(), None, NOW, 60.0)[0].tone == "good"


def test_beside_a_shadow_book_the_whole_version_counts() -> None:
    book = seed_rules.book(shadow=seed_rules.book(hash="7" * 16))
    behind: Worker = seed_rules.worker("wx", "score")
    one, = rule_state.running([behind], None, book, NOW)
    assert one.tone == "bad", "it runs the live book without the one beside it"


async def test_workers_are_shown_with_what_they_run(ruled: Stand) -> None:
    ruled.desk.deps.rules.state, ruled.desk.deps.rules.workers = seed_rules.state(), seed_rules.workers()
    shown = await page(ruled)
    assert "2 个落后" in shown and "wx-2:871" in shown and "wx-5:77" not in shown and "score、track" in shown


# ---------------------------------------------------------------- the table


async def test_subjects_stand_with_their_figures_those_that_end_first(ruled: Stand) -> None:
    seed_rules.fill(ruled.engine)
    shown = await page(ruled)
    titles = [shown.index(f">{each}</a><span class=\"under") for each in (
        "集会交通", "投票站关门时间", "投票时间地点", "排队和轮椅通道", "选民登记")]
    assert titles == sorted(titles)
    assert "38%</strong>" in shown and "（8 次评价）" in shown and "6 个词和一个条件" in shown
    assert "2 条规则已到期或将到期" in shown and "还有 9 天，选务一组" in shown


async def test_a_ratio_of_few_verdicts_is_not_shown(ruled: Stand) -> None:
    for number in range(4):
        seed_rules.put_verdict(ruled.engine, "polling", "not_relevant", event_id=f"{number:020x}", minutes_ago=number)
    shown = await page(ruled)
    assert "样本不足（4）" in shown and "100%" not in shown


async def test_the_table_is_filtered_and_paged(tmp_path: Path) -> None:
    many = tuple(msgspec.structs.replace(seed_rules.TRYING, id=f"s{number:04d}", title=f"主题{number:04d}",
                                         status=Status.LIVE) for number in range(2500))
    stand = make_stand(tmp_path, book=seed_rules.book(subjects=(*many, seed_rules.TRYING)))
    async with await stand.signed_in() as client:
        first = (await client.get("/rules")).text
        shadow = (await client.get("/rules?status=shadow")).text
        found = (await client.get("/rules?q=主题2499")).text
        last = (await client.get("/rules?page=99")).text
        none = (await client.get("/rules?q=没有的")).text
    assert "主题0000" in first and "主题0100" not in first and "1 / 26" in first
    assert "排队和轮椅通道" in shadow and "主题0000" not in shadow
    assert "主题2499" in found and "主题0000" not in found
    assert "排队和轮椅通道" in last and "没有符合条件的主题" in none
    stand.engine.dispose()


@pytest.mark.parametrize(("expires", "text", "tone"), [
    (NEVER, "长期有效", ""), ("2026-11-21", "已到期 2026-11-21", "bad"), ("2026-11-22", "今天是最后一天", "wait"),
    ("2026-12-06", "还有 14 天", "wait"), ("2026-12-07", "2026-12-07 到期", "")])
def test_expiry_is_warned_of_a_fortnight_ahead(expires: str, text: str, tone: str) -> None:
    found = rule_words.expiry(msgspec.structs.replace(seed_rules.TRYING, expires=expires), TODAY)
    assert text in found.text and found.tone == tone


# ---------------------------------------------------------------- a change that waits


async def test_a_change_that_waits_is_shown_with_what_it_would_raise_and_two_buttons(ruled: Stand) -> None:
    ruled.desk.deps.rules.state = seed_rules.waiting(120)
    shown = await page(ruled, role=Role.ADMIN)
    for words in ("规则变更待确认", "5d0e9b77", ">120</strong> 个正在处置的事件", "第301件正在观察的事情",
                  "只列出前 100 个", ">确认生效</button>", ">不生效</button>", "一般 → <strong>较大</strong>"):
        assert words in shown, words
    assert ("admin", "rules.read", seed_rules.WAITING) in ruled.audit(), "it shows titles of events"


async def test_only_an_admin_is_asked(ruled: Stand) -> None:
    ruled.desk.deps.rules.state = seed_rules.waiting()
    async with await ruled.signed_in() as client:
        shown = (await client.get("/rules")).text
        answer = await post(client, "/rules/confirm", hash=seed_rules.WAITING, answer="yes")
    assert "需要“管理员”角色" in shown and ">确认生效</button>" not in shown
    assert answer.status_code == 403 and ruled.rows(schema.commands) == []


@pytest.mark.parametrize(("answer", "agree", "action", "done"), [
    ("yes", True, "rules.confirm", "rules-yes"), ("no", False, "rules.refuse", "rules-no")])
async def test_an_answer_goes_to_the_rules_topic_once_and_is_audited(
        ruled: Stand, answer: str, agree: bool, action: str, done: str) -> None:
    ruled.desk.deps.rules.state = seed_rules.waiting()
    async with await ruled.signed_in("局长", Role.ADMIN) as client:
        form = {"csrf": csrf_of((await client.get("/rules")).text), "hash": seed_rules.WAITING, "answer": answer}
        first = await client.post("/rules/confirm", data=form)
        again = await client.post("/rules/confirm", data=form)
        shown = (await client.get("/rules")).text
    assert first.headers["location"] == f"/rules?done={done}" and again.headers["location"].endswith(f"{done}-again")
    assert "局长 已决定" in shown and ">确认生效</button>" not in shown, "one answer is enough"
    (topic, key, record), = await sent(ruled, 1)
    assert (topic, key) == (topics.RULES, "answer") and isinstance(record, RulesAnswer)
    assert (record.hash, record.accept, record.by) == (seed_rules.WAITING, agree, "局长")
    assert [line for line in ruled.audit() if line[1] == action] == [("局长", action, seed_rules.WAITING)]


async def test_an_answer_without_a_token_or_from_another_site_is_refused(ruled: Stand) -> None:
    ruled.desk.deps.rules.state = seed_rules.waiting()
    async with await ruled.signed_in("局长", Role.ADMIN) as client:
        csrf = csrf_of((await client.get("/rules")).text)
        form = {"hash": seed_rules.WAITING, "answer": "yes"}
        bare = await client.post("/rules/confirm", data=form)
        foreign = await client.post(
            "/rules/confirm", data={**form, "csrf": csrf}, headers={"origin": "https://evil.example"})
    assert (bare.status_code, foreign.status_code) == (403, 403) and ruled.rows(schema.commands) == []


def test_an_answer_to_another_book_than_waits_is_refused(ruled: Stand) -> None:
    order = Order("", "局长", NOW, NOW)
    for state, book, code in ((seed_rules.state(), seed_rules.WAITING, "not_pending"), (None, "x", "not_pending"),
                              (seed_rules.waiting(), "0" * 16, "superseded"), (seed_rules.waiting(), "", "superseded")):
        with pytest.raises(Refused) as refused:
            rule_commands.answer(ruled.engine, order, state, book, True)
        assert refused.value.code == code
    assert ruled.rows(schema.commands) == []


def test_the_same_files_saved_again_are_asked_about_again(ruled: Stand) -> None:
    first = seed_rules.waiting()
    later = msgspec.structs.replace(first, at=NOW + MINUTE, read_at=NOW + MINUTE)
    for state in (first, later):
        rule_commands.answer(ruled.engine, Order("", "局长", state.at, state.at), state, seed_rules.WAITING, False)
    assert len(unsent(ruled.engine)) == 2
    assert rule_state.answered(ruled.engine, later) is not None
    assert rule_state.answered(ruled.engine, msgspec.structs.replace(later, read_at=NOW + 2 * MINUTE)) is None


# ---------------------------------------------------------------- history


async def test_two_books_are_compared_in_words_and_keys_in_addresses_stay_hidden(ruled: Stand) -> None:
    before = seed_rules.book()
    source = msgspec.structs.replace(before.sources[0], url="https://a.example/rss?access_key=geheim&x=1")
    after = msgspec.structs.replace(
        before, hash="1" * 16, sources=(source, *before.sources[1:]),
        subjects=tuple(each for each in before.subjects if each.id != "rally"))
    seed.put_book(ruled.engine, after)
    async with await ruled.signed_in() as client:
        history = (await client.get("/rules")).text
        shown = (await client.get(f"/rules/diff?from={before.hash}&to={after.hash}")).text
        same = (await client.get(f"/rules/diff?from={before.hash}&to={before.hash}")).text
        gone = await client.get(f"/rules/diff?from=nothing&to={before.hash}")
    assert "11111111" in history and "看两份有什么不同" in history
    assert "集会交通" in shown and "删去" in shown and "access_key=…" in shown and "geheim" not in shown
    assert "没有不同" in same and gone.status_code == 404


async def test_numbers_of_duty_roles_are_not_shown_whole(ruled: Stand) -> None:
    """Every viewer may compare books."""
    first = seed_rules.book()

    def numbered(mobile: str, mark: str) -> RuleBook:
        people = (msgspec.structs.replace(first.roster.people[0], mobile=mobile), *first.roster.people[1:])
        return msgspec.structs.replace(
            first, hash=mark * 16, roster=msgspec.structs.replace(first.roster, people=people))

    books = [numbered("", "3"), numbered("13812345678", "4"), numbered("+85251234567", "5")]
    for each in books:
        seed.put_book(ruled.engine, each)
    async with await ruled.signed_in() as client:
        pages = [(await client.get(f"/rules/diff?from={one.hash}&to={other.hash}")).text
                 for one, other in pairwise(books)]
    assert "没有" in pages[0] and all("手机号" in each and "138****5678" in each for each in pages)
    assert not any("13812345678" in each or "85251234567" in each for each in pages)


async def test_the_history_says_what_each_book_changed_where_snapshots_can_be_read(ruled: Stand) -> None:
    now = msgspec.structs.replace(seed_rules.book(), hash="1" * 16)
    seed.put_book(ruled.engine, now)
    without = await page(ruled)
    history = History(ruled.desk.deps.settings.data_dir)
    history.keep(Line(NOW, seed_rules.book().hash, What.PUBLISHED), GOOD)
    history.keep(Line(NOW + MINUTE, now.hash, What.PUBLISHED), {**GOOD, "subjects/new.yml": "id: new"})
    assert "比下一份" not in without and (await page(ruled, role=Role.ADMIN)).count("比下一份：主题 新增 1<") == 1


async def test_a_book_that_waits_is_compared_with_the_one_in_force_where_its_snapshot_can_be_read(
        ruled: Stand) -> None:
    ruled.desk.deps.rules.state = seed_rules.waiting()
    path = f"/rules/diff?from={seed_rules.book().hash}&to={seed_rules.WAITING}"
    async with await ruled.signed_in() as client:
        without, unknown = (await client.get("/rules")).text, await client.get(path)
        History(ruled.desk.deps.settings.data_dir).keep(Line(NOW, seed_rules.WAITING, What.PENDING), GOOD)
        with_it, shown = (await client.get("/rules")).text, await client.get(path)
        ruled.desk.deps.rules.state = seed_rules.state()
        later = await client.get(path)
    assert "看改了什么" not in without and unknown.status_code == 404
    assert path.replace("&", "&amp;") in with_it and "看改了什么" in with_it
    assert shown.status_code == 200 and "集会交通" in shown.text and "删去" in shown.text
    assert later.status_code == 404, "only what waits"


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(("pattern", "kind", "text", "notes"), [
    (Pattern(text="投票站"), "词", "投票站", ()),
    (Pattern(text="CDC", field="title", word=True), "词", "CDC", ("整词", "只看标题")),
    (Pattern(regex="第[0-9]+"), "正则", "第[0-9]+", ()),
    (Pattern(list="entertainment"), "词表", "娱乐投票", ("5 个词中的任一个",)),
    (Pattern(list="gone"), "词表", "gone", ("规则书里没有这份词表",)),
    (Pattern(near=Near(words=("投票", "关门"), within=10, ordered=True)), "相近", "投票…关门",
     ("相隔不超过 10 字、在同一句里、按这个先后",)),
    (Pattern(near=Near(words=("几点", "开门"), sentence=False)), "相近", "几点、开门", ("不限距离",))])
def test_every_pattern_has_words(pattern: Pattern, kind: str, text: str, notes: tuple[str, ...]) -> None:
    said = rule_words.pattern(pattern, rule_words.lists_of(seed_rules.book()))
    assert (said.kind, said.text, said.notes) == (kind, text, notes)


def test_a_condition_becomes_a_tree_and_a_group_of_one_is_that_one() -> None:
    lists = rule_words.lists_of(seed_rules.book())
    one = Condition(all=(Condition(any=(seed_rules.word("关门"), seed_rules.word("截止"))),))
    tree = rule_words.condition(one, lists)
    assert tree.text == "至少出现一个" and [each.said.text for each in tree.children if each.said] == ["关门", "截止"]
    assert seed_rules.CLOSING.match is not None
    whole = rule_words.condition(seed_rules.CLOSING.match, lists)
    assert whole.text == "全部满足" and [each.text for each in whole.children] == ["", "至少出现一个", "一个都不能出现"]


def test_the_lists_of_a_subject_are_found_wherever_they_are_named() -> None:
    lists = rule_words.lists_of(seed_rules.book())
    deep = Condition(all=(Condition(none=(Condition(pattern=Pattern(list="entertainment")),)),))
    only = Subject(id="x", title="x", owner="x", reason="x", expires=NEVER, match=deep)
    assert [each.id for each in rule_words.used_lists(only, lists)] == ["entertainment"]
    assert [each.id for each in rule_words.used_lists(seed_rules.CLOSING, lists)] == ["entertainment", "venue-words"]
