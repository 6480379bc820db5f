"""A rule book with everything that a subject can say, and what its workers and its files report. All made up."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from agents.store import schema
from pipeline.ids import digest
from pipeline.model import EventHead, Raise, RulesState, Worker
from pipeline.rulebook.schema import (
    HOUR,
    NEVER,
    Active,
    Condition,
    Fold,
    LevelOverride,
    Levels,
    Near,
    Pattern,
    RuleBook,
    Status,
    Subject,
    Term,
    Threshold,
    WordList,
)
from tests.desk import seed
from tests.desk.seed import MINUTE, NOW

WAITING = "5d0e9b77c3a14f20"

LISTS = (
    WordList(id="venue-words", title="投票场所", owner="选务一组", words=("投票站", "投票点", "票站", "投票所")),
    WordList(id="entertainment", title="娱乐投票", words=("打榜", "应援", "年度歌手", "选秀", "pick")))


def word(text: str) -> Condition:
    return Condition(pattern=Pattern(text=text))


CLOSING = Subject(
    id="closing-time", title="投票站关门时间", owner="选务一组",
    reason="网传提前关门会让人错过投票，要最快说清。", expires="2026-12-01",
    impact=4, threshold=1.5, groups=("论坛", "新闻"), scope=("title", "text"),
    terms=(Term(list="venue-words", weight=0.5), Term(text="关门", weight=0.6),
           Term(regex="[0-9一二三]+点(关门|截止)", weight=1.2), Term(text="选", word=True, weight=0.1),
           Term(near=Near(words=("投票", "关门"), within=10, ordered=True), weight=2.0),
           Term(text="CDC", field="title")),
    match=Condition(
        all=(word("投票"), Condition(any=(word("关门"), word("截止"), Condition(pattern=Pattern(
            near=Near(words=("几点", "开门")))))),),
        none=(Condition(pattern=Pattern(list="entertainment")), word("彩票"))),
    exclude=(Pattern(text="打榜"), Pattern(list="entertainment"), Pattern(regex="第[0-9]+届歌会")),
    active=Active(start="2026-11-01", end="2026-12-31", hours="06:00-22:00", days=(1, 2, 3, 4, 5)),
    fold=Fold(evasion=False, variants=False))

TRYING = Subject(
    id="queue", title="排队和轮椅通道", owner="服务组", reason="现场服务的抱怨，由服务组答复。", expires=NEVER,
    status=Status.SHADOW, terms=(Term(text="排队"), Term(text="轮椅", weight=0.8)))

OLD = Subject(
    id="registration", title="选民登记", owner="登记组", reason="登记期已过。", expires="2026-11-20",
    status=Status.RETIRED, terms=(Term(text="选民登记"),))

PAST = Subject(
    id="rally", title="集会交通", owner="交通组", reason="集会当天的绕行。", expires="2026-11-21",
    terms=(Term(text="绕行"),))


def book(**changes: Any) -> RuleBook:
    polling, ladder = seed.book().subjects[0], seed.book().levels.ladder
    wide = LevelOverride(subject="*", enter={"一般": (Threshold(items=8, sources=4, window=2 * HOUR),)})
    return seed.book(**{
        "levels": Levels(ladder=ladder, overrides=(wide,)), "lists": LISTS,
        "subjects": (polling, CLOSING, TRYING, OLD, PAST), **changes})


def state(**changes: Any) -> RulesState:
    return RulesState(**{"at": NOW - 20 * MINUTE, "in_force": seed.HASH, "read_at": NOW - 20 * MINUTE, **changes})


def waiting(count: int = 14) -> RulesState:
    """A change that would raise many open events."""
    raises = tuple(
        Raise(event_id=f"{number:020x}", short=f"E-{number:04d}", title=f"第{number}件正在观察的事情，标题长一些看看",
              previous="一般", level="较大")
        for number in range(301, 301 + min(count, 100)))
    return state(pending=WAITING, raises=raises, raise_count=count, at=NOW - MINUTE, read_at=NOW - MINUTE)


def broken() -> RulesState:
    return state(read_at=NOW - 2 * MINUTE, problems=(
        "levels.yml:7:3: ladder[0].entre: 未知字段 entre。 是不是 enter？",
        "subjects/closing.yml:12:14: terms[2].regex: 正则写错了：缺少右括号。 在末尾补上 )",
        "roster.yml: 不是 UTF-8 编码。 用编辑器另存为 UTF-8"))


def worker(name: str, *roles: str, **changes: Any) -> Worker:
    return Worker(**{"name": name, "roles": roles, "at": NOW - MINUTE // 2, "book": seed.HASH,
                     "since": NOW - 20 * MINUTE, **changes})


def workers() -> dict[str, Worker]:
    found = (
        worker("wx-1:2211", "score", "track", scorer=seed.HASH), worker("wx-2:871", "score", book="0f3c2a11d4e59b70"),
        worker("wx-3:990", "score", scorer="0f3c2a11d4e59b70"), worker("wx-4:12", "desk", at=NOW - 9 * MINUTE),
        worker("wx-5:77", "archive", stopped=True), worker("wx-6:1", "deliver", at=NOW - 90 * MINUTE))
    return {each.name: each for each in found}


def put_verdict(engine: Engine, subject: str, kind: str, *, event_id: str = "", item_id: str = "", by: str = "李敏",
                minutes_ago: int = 30, note: str = "") -> None:
    seed._put(engine, schema.verdicts, {
        "id": digest("verdict", subject, event_id, item_id, minutes_ago), "subject": subject, "kind": kind, "by": by,
        "at": NOW - minutes_ago * MINUTE, "event_id": event_id, "item_id": item_id, "note": note, "book": seed.HASH})


def put_shadow_event(engine: Engine, number: int = 4, level: int = 2, **changes: Any) -> EventHead:
    one = seed.head(number, level, **{"id": digest("shadow", number), "subject": "~queue", "key": "~queue",
                                  "title": "投票点排队两小时", **changes})
    return seed.put_event(engine, one)


def fill(engine: Engine) -> None:
    """A day's matches of `closing-time` and of `queue` in shadow, with what people said of them."""
    live = seed.put_event(engine, seed.head(330, 1, subject="closing-time", title="城西投票站提前关门？"))
    texts = ("城西投票站是不是三点关门", "投票站几点截止，问了两家说法不一样", "【娱乐】年度歌手打榜投票今晚截止",
             "投票站关门时间表")
    for number, text in enumerate(texts):
        seed.put_item(engine, live, number, text, f"{text}。群里在传，{text}，谁有准信。" * (1 + 6 * (number == 1)),
                      terms=("投票站", "三点", "关门", "截止"), minutes_ago=5 + 60 * number)
    for number, kind in enumerate(("not_relevant", "relevant", "not_relevant", "relevant", "relevant", "duplicate")):
        put_verdict(engine, "closing-time", kind, event_id=digest("judged", number), minutes_ago=200 + number)
    put_verdict(engine, "closing-time", "wrong_level", event_id=live.id, minutes_ago=9, note="只有一家在说，到不了一般")
    put_verdict(engine, "closing-time", "not_relevant", item_id=digest("item", live.id, 2), note="是歌手打榜")
    beside = put_shadow_event(engine)
    for number in range(3):
        seed.put_item(engine, beside, number, f"三小投票点排队{number + 1}小时", "轮椅推不进去", terms=("排队", "轮椅"),
                      minutes_ago=8 + number)
    put_shadow_event(engine, 5, 1, title="门口排队，等了四十分钟")
