"""What is allowed in rule files and yet probably not meant, under codes that stay; each with why and what to do.

`# wenxun: ignore WX007` anywhere in a file keeps its findings of that code quiet.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.errors import Problem
from pipeline.rulebook.cases import Case, untested
from pipeline.rulebook.overlap import broad, covers, doubled, patterns_of
from pipeline.rulebook.places import Places
from pipeline.rulebook.schema import NEVER, RuleBook, Status, Subject, WordList

SOON_DAYS, SHADOW_DAYS, SILENT_DAYS, FAR_YEARS = 14, 30, 30, 3
NOISY_SHARE, NOISY_ITEMS = 0.05, 1_000
"""A rule that matches more than this share is noise; said only when so many items were seen."""
FALSE_RATIO, JUDGED = 0.5, 5
"""A share of false positives, and how many verdicts it takes to speak of one."""
_IGNORE = re.compile(r"#\s*wenxun:\s*ignore\s+((?:WX[0-9]{3}[,\s]*)+)")
_PLACEHOLDER = re.compile("请改成|请填|待定|待填|todo|xxx|示例", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Code:
    """title: what is found. why: why it matters. do: what to do about it."""

    title: str
    why: str
    do: str


CODES: dict[str, Code] = {
    "WX001": Code("没有负责人", "规则出错或到期时没有人会来改", "把 owner 写成本单位的科室或岗位"),
    "WX002": Code("已经到期", "规则不再匹配任何条目，没有人会被通知", "还要就改 expires，不要了就写 status: retired"),
    "WX003": Code(f"{SOON_DAYS} 天内到期", "到期当天之后就不再匹配", "现在就决定是否续期，改 expires"),
    "WX004": Code(f"{SILENT_DAYS} 天没有匹配", "词可能写错了、过时了，或来源里根本没有这类内容",
                  "用 wenxun rules explain --text 试一句应当匹配的话；不再需要就写 status: retired"),
    "WX005": Code("匹配过多或误报过多", "值班员看得多了就不再看", "加 exclude，提高 threshold，或用 match 写得更窄"),
    "WX006": Code("被另一条规则盖住", "能匹配它的内容另一条全都匹配，一件事会成为两个事件",
                  "合并成一条，或给另一条加 exclude"),
    "WX007": Code("没有用例", "改了别的规则，没有人会发现它坏了", "在 tests/ 里写一个应匹配的和一个不应匹配的"),
    "WX008": Code("同一个词在两条规则里都单独够格", "有这个词的内容会同时进两个主题，通知两遍",
                  "在其中一条里降低权重或删去"),
    "WX009": Code("太宽", "无关的内容会被带进来", "写完整的词，或降低权重让它不能单独够格"),
    "WX010": Code(f"影子规则超过 {SHADOW_DAYS} 天", "看了一个月还没有决定，等于没有这条规则",
                  "用 wenxun rules promote 上线，或写 status: retired"),
    "WX011": Code("不会到期", "没有到期日的规则没有人回头看，词会一直过时下去",
                  f"写一个 {FAR_YEARS} 年以内的 expires；确实要一直用就加注释 # wenxun: ignore WX011"),
    "WX012": Code("词表没有用到", "改了它不会有任何作用", "在主题里写 {list: 词表编号}，或删去文件"),
}


@dataclass(frozen=True, slots=True)
class Past:
    """What the archive knows of a subject in the last SILENT_DAYS days. false of `judged` verdicts said that a match
    does not belong there. shadow_days: for how long it has been in shadow, as far as the books go back."""

    matches: int = 0
    judged: int = 0
    false: int = 0
    shadow_days: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """items: first seen in the last SILENT_DAYS days. days: how far the archive goes back. subjects: by id."""

    items: int
    days: int
    subjects: Mapping[str, Past] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Lint:
    book: RuleBook
    places: Places
    today: dt.date
    cases: tuple[Case, ...]
    history: History | None

    def all(self) -> Iterator[Problem]:
        used = [each for each in self.book.subjects if each.status is not Status.RETIRED]
        for subject in used:
            yield from self._owned("subject", subject)
            yield from self._ends(subject)
            yield from self._past(subject)
            yield from (self._of("WX009", subject, "terms", f"{said}，单独就够格") for said in broad(subject))
        missing = set(untested(self.cases, self.book))
        yield from (self._of("WX007", subject, "id", "没有用例提到它") for subject in used if subject.id in missing)
        yield from self._pairs(used)
        yield from self._lists(used)

    def _owned(self, space: str, rule: Subject | WordList) -> Iterator[Problem]:
        if not rule.owner.strip():
            yield self._at("WX001", space, rule, "owner", "没有写 owner")
        elif _PLACEHOLDER.search(rule.owner):
            yield self._at("WX001", space, rule, "owner", f"owner 还是样例里的“{rule.owner}”")

    def _ends(self, subject: Subject) -> Iterator[Problem]:
        if subject.expires == NEVER:
            yield self._of("WX011", subject, "expires", "expires: never")
            return
        left = (dt.date.fromisoformat(subject.expires) - self.today).days
        if left < 0:
            yield self._of("WX002", subject, "expires", f"{subject.expires} 到期，已过 {-left} 天")
        elif left <= SOON_DAYS:
            yield self._of("WX003", subject, "expires", f"{subject.expires} 到期，还有 {left} 天")
        elif left > FAR_YEARS * 366:
            yield self._of("WX011", subject, "expires", f"{subject.expires} 才到期，太远了")

    def _past(self, subject: Subject) -> Iterator[Problem]:
        if self.history is None:
            return
        past, items = self.history.subjects.get(subject.id, Past()), self.history.items
        if not past.matches and items and self.history.days >= SILENT_DAYS and subject.active is None:
            yield self._of("WX004", subject, "id", f"{SILENT_DAYS} 天里 {items} 条，没有一条匹配")
        if items >= NOISY_ITEMS and past.matches > items * NOISY_SHARE:
            share = past.matches / items
            yield self._of("WX005", subject, "id", f"{items} 条里匹配了 {past.matches} 条（{share:.0%}）")
        if past.judged >= JUDGED and past.false >= past.judged * FALSE_RATIO:
            yield self._of("WX005", subject, "id", f"{past.judged} 次判断里 {past.false} 次是误报")
        if subject.status is Status.SHADOW and past.shadow_days > SHADOW_DAYS:
            yield self._of("WX010", subject, "status", f"作为影子规则已经 {past.shadow_days} 天")

    def _pairs(self, used: list[Subject]) -> Iterator[Problem]:
        live = [each for each in used if each.status is Status.LIVE]
        covered: set[tuple[str, str]] = set()
        for one, other in covers(live, self.book):
            if (other.id, one.id) not in covered:
                covered.add((one.id, other.id))
                yield self._of("WX006", one, "terms", f"{other.id}（{other.title}）匹配它能匹配的一切")
        for word, one, other in doubled(live):
            if not covered & {(one.id, other.id), (other.id, one.id)}:
                yield self._of("WX008", other, "terms", f"“{word}”在 {one.id}（{one.title}）里也单独够格")

    def _lists(self, used: list[Subject]) -> Iterator[Problem]:
        named = {each.list for subject in used for each in patterns_of(subject)}
        includes = {each.id: each.include for each in self.book.lists}
        while more := {below for each in named for below in includes.get(each, ())} - named:
            named |= more
        for each in self.book.lists:
            yield from self._owned("list", each) if each.owner else ()
            if each.id not in named:
                yield self._at("WX012", "list", each, "id", f"词表 {each.id}（{each.title}）没有主题用它")

    def _of(self, code: str, subject: Subject, name: str, said: str) -> Problem:
        return self._at(code, "subject", subject, name, said)

    def _at(self, code: str, space: str, rule: Subject | WordList, name: str, said: str) -> Problem:
        about = CODES[code]
        message = f"{rule.id} {about.title}：{said}。{about.why}。"
        return self.places.warning(code, (space, rule.id, name), message, f"{about.do}。")


def lint(
    book: RuleBook, files: Mapping[str, str], cases: Iterable[Case], today: dt.date, *,
    places: Places | None = None, history: History | None = None, ignore: Collection[str] = (),
) -> list[Problem]:
    """All findings in file order. files: the texts the book was made of. ignore: codes nobody wants to hear of."""
    quiet = {file: ignored(text) for file, text in files.items()}
    found = _Lint(book, places or Places(), today, tuple(cases), history).all()
    kept = [each for each in found if each.code not in ignore and each.code not in quiet.get(each.file, ())]
    return sorted(kept, key=lambda each: (each.file, each.line, each.code, each.message))


def ignored(text: str) -> frozenset[str]:
    """Codes that the comments of a file name."""
    return frozenset(code for found in _IGNORE.findall(text) for code in re.findall("WX[0-9]{3}", found))
