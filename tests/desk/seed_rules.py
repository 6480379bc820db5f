"""A rule book with everything that a subject can say, and what its workers and its files report. All made up."""

from __future__ import annotations

from typing import Any

from pipeline.model import Raise, RulesState, Worker
from pipeline.rulebook.schema import (
    NEVER,
    Active,
    Condition,
    Fold,
    Near,
    Pattern,
    RuleBook,
    Status,
    Subject,
    Term,
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
    polling = seed.book().subjects[0]
    return seed.book(**{"subjects": (polling, CLOSING, TRYING, OLD, PAST), "lists": LISTS, **changes})


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
