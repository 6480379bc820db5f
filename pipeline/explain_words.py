"""Chinese for what explain.py finds: why a rule misses, what a pattern is, what a level still lacks.

Plain text; who shows it on a page escapes it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.explain import EventExplained, FactorNow, LevelNow, ThresholdNow
from pipeline.model import RawItem
from pipeline.notify.wording import duration
from pipeline.rulebook.factors import BY_NAME
from pipeline.rulebook.schema import Status
from pipeline.score.explained import Apart, Explained, Seen, Truth, Unmet
from pipeline.score.score import Scorer

FIELD = {"title": "标题", "text": "正文"}
STATUS = {Status.LIVE: "已上线", Status.SHADOW: "影子规则", Status.RETIRED: "已停用"}


def misses(each: Explained) -> list[str]:
    """Why the rule does not match, each reason with its figures; empty when it matches."""
    said = {
        Unmet.RETIRED: "规则已停用（status: retired）",
        Unmet.EXPIRED: f"规则已于 {each.rule.expires} 到期",
        Unmet.INACTIVE: "不在生效时段里（active）",
        Unmet.GROUP: f"来源分组是“{each.group}”，规则只看{_listed(each.rule.groups)}",
        Unmet.EXCLUDED: f"出现了排除词{_listed(seen.name for seen in each.excluded_by)}",
        Unmet.THRESHOLD: f"权重合计 {each.weight:g}，门槛 {each.rule.threshold:g}，还差 "
                         f"{each.rule.threshold - each.weight:g}" if each.weight else _none_occurs(each),
        Unmet.CONDITION: "条件（match）不成立",
    }
    return [said[unmet] for unmet in each.unmet]


def near_of(scorer: Scorer, item: RawItem, subject: str) -> str:
    """Why an item misses a subject, in one line; empty when it matches or there is no such subject."""
    found = next((each for each in scorer.explain(item, (subject,)) if each.subject == subject), None)
    if found is None or found.matched:
        return ""
    outside = [seen.name for seen in found.terms if seen.elsewhere and not seen.occurs]
    said = "；".join(misses(found))
    return f"{said}；{_listed(outside)}只在规则不看的字段里" if outside else said


def _none_occurs(each: Explained) -> str:
    """Of no term that occurs: why those do not whose words are there."""
    said = [near_miss(seen) for seen in each.terms if seen.partly]
    return "；".join(said) or "没有一个词出现"


def near_miss(seen: Seen) -> str:
    """`“接送车…停开”的词都出现了，但先后不对`, or which word is missing; empty of other patterns."""
    miss, near = seen.miss, seen.pattern.near
    if miss is None or near is None:
        return ""
    if miss.missing:
        return f"“{seen.name}”缺{_listed(dict.fromkeys(miss.missing))}"
    said = {Apart.ORDER: "先后不对", Apart.SENTENCE: "不在同一句", Apart.FIELDS: "不在同一个字段里（标题、正文分开看）",
            Apart.FAR: f"相隔 {miss.distance} 个字，超过 {near.within}", Apart.OVERLAP: "互相重叠，要各占一处"}
    return f"“{seen.name}”的词都出现了，但{'，'.join(said[each] for each in miss.why)}"


def kind_of(seen: Seen) -> str:
    """What sort of pattern it is."""
    pattern = seen.pattern
    if pattern.near is not None:
        near = pattern.near
        how = [f"{near.within} 字以内" if near.within else "", "同一句" if near.sentence else "",
               "按先后" if near.ordered else ""]
        return f"邻近（{'、'.join(filter(None, how)) or '不限距离'}）"
    if pattern.list:
        return "词表"
    return "正则" if pattern.regex else "词"


def condition_lines(truth: Truth, depth: int = 0) -> Iterator[tuple[int, bool, str]]:
    """(depth, whether it is true, what it says) of a condition and of all below it, as it is written."""
    if truth.seen is not None:
        where = "、".join(dict.fromkeys(FIELD.get(place.field, place.field) for place in truth.seen.places))
        note = where or (near_miss(truth.seen) if truth.seen.partly else "")
        yield depth, truth.value, f"{truth.seen.name}（{note}）" if note else truth.seen.name
        return
    parts = [(name, below, holds) for name, below, holds in (
        ("全部出现：", truth.all, all(each.value for each in truth.all)),
        ("至少出现一个：", truth.any, any(each.value for each in truth.any)),
        ("一个都不出现：", truth.none, not any(each.value for each in truth.none))) if below]
    if depth and len(parts) > 1:
        yield depth, truth.value, "同时满足："
        depth += 1
    for name, below, holds in parts:
        yield depth, holds, name
        for each in below:
            yield from condition_lines(each, depth + 1)


def figure(name: str, value: float) -> str:
    """`12 条`, `62%`: a factor's figure with its unit, to stand after its title: `独立来源 8 个`, the noun once."""
    factor = BY_NAME[name]
    if name == "negative":
        return f"{value:.0%}"
    return f"{value:,.2f}".rstrip("0").rstrip(".") + f" {factor.unit.removesuffix(factor.title)}"


def factor_line(each: FactorNow) -> str:
    """`条数 7 条，要 10 条，还差 3 条`."""
    said = f"{BY_NAME[each.name].title} {figure(each.name, each.value)}，要 {figure(each.name, each.need)}"
    return said if each.reached else f"{said}，还差 {figure(each.name, each.missing)}"


def way_line(way: ThresholdNow) -> str:
    """Which window a way into a level looks at."""
    return f"{duration(way.threshold.window)}内"


def lacking(level: LevelNow) -> str:
    """What the nearest way into a level still lacks, in one line; empty when it is reached."""
    way = level.nearest
    if way is None or way.reached:
        return ""
    missing = "、".join(f"{BY_NAME[each.name].title}还差 {figure(each.name, each.missing)}"
                       for each in way.factors if not each.reached)
    return f"{way_line(way)}{missing}"


def next_line(found: EventExplained) -> str:
    """What is missing for the level above the event's; or that there is none."""
    level = found.next
    if level is None:
        return "已经是这个主题能到的最高级别"
    lack = lacking(level)
    return f"离{level.name}：{lack}" if lack else f"已达到{level.name}的门槛"


def _listed(names: Iterable[str]) -> str:
    return "".join(f"“{each}”" for each in names)
