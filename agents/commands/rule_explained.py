"""What `wenxun rules explain` prints: the text with what was found marked in it, each rule, each factor of a level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from agents.commands.rule_common import plain
from pipeline import explain_words as words
from pipeline.explain import EventExplained, TextExplained
from pipeline.notify import wording
from pipeline.rulebook.schema import RuleBook
from pipeline.score.explained import Explained, Place, Seen

MAX_SHOWN = 600
"""Characters of a text that are printed."""
MAX_MISSED = 10
"""Rules that nearly match; --json has all."""
_OPEN, _CLOSE = "【", "】"
_YES, _NO = "✓", "✗"


def text_lines(found: TextExplained, book: RuleBook) -> Iterator[str]:
    item = found.item
    for field, text in (("title", item.title), ("text", item.text)):
        if text:
            places = [place for each in found.matched for seen in each.terms for place in seen.places]
            places += [place for each in found.matched for place in _of_condition(each)]
            yield f"{words.FIELD[field]}  {marked(text, (place for place in places if place.field == field))}"
    source = found.source
    official = "，官方" if source and source.official else ""
    named = f"{source.name}（{source.group}{official}）" if source else "没有写，或规则里没有这个来源"
    yield f"来源  {named}"
    yield f"时间  {wording.moment(item.first_seen_at, ZoneInfo(book.timezone))}"
    yield f"情感  {wording.POLARITY[found.sentiment.polarity]}（把握 {found.sentiment.confidence:.2f}）"
    yield f"提问  {'是' if found.question else '否'}"
    yield f"规则  {book.hash}，{len(book.subjects)} 个主题，匹配 {len(found.matched)} 个"
    for each in (*found.matched, *found.missed[:MAX_MISSED]):
        yield ""
        yield from rule_lines(each)
    if len(found.missed) > MAX_MISSED:
        yield f"\n…… 还有 {len(found.missed) - MAX_MISSED} 个主题有词出现而没有匹配，--json 全部列出"
    if not found.rules:
        yield ("\n没有一个主题的词出现在这段文字里。要看某个主题为什么没有匹配，加上它的编号：--subject 编号"
               "（编号是 subjects/*.yml 里的 id）。")


def rule_lines(each: Explained) -> Iterator[str]:
    rule = each.rule
    status = "" if rule.status == "live" else f"  {words.STATUS[rule.status]}"
    weight = f"  权重 {each.weight:g}，门槛 {rule.threshold:g}" if rule.terms else ""
    yield f"{_YES if each.matched else _NO} {rule.id} {plain(rule.title)}{status}{weight}"
    for said in words.misses(each):
        yield f"    没有匹配：{said}"
    for seen in each.terms:
        if seen.occurs or seen.elsewhere:
            yield f"    {_YES if seen.occurs else _NO} {_pattern(seen)}  {seen.weight:g}  {_where(seen)}"
        elif seen.partly:
            yield f"    {_NO} {_pattern(seen)}  {seen.weight:g}  {plain(words.near_miss(seen))}：{_words(seen)}"
    silent = [seen for seen in each.terms if not seen.occurs and not seen.elsewhere and not seen.partly]
    if silent:
        yield f"    没有出现：{plain(_some(seen.name for seen in silent))}"
    if each.condition is not None:
        yield f"    {_YES if each.condition.value else _NO} 条件"
        for depth, value, said in words.condition_lines(each.condition):
            yield f"    {'  ' * (depth + 1)}{_YES if value else _NO} {plain(said)}"
    for seen in each.excluded_by:
        yield f"    {_NO} 排除 {_pattern(seen)}  {_where(seen)}"


def event_lines(found: EventExplained, book: RuleBook) -> Iterator[str]:
    head, zone = found.head, ZoneInfo(book.timezone)
    subject = book.subject(head.subject.removeprefix("~"))
    yield f"{head.short or head.id}  《{plain(head.title)}》"
    yield f"主题  {head.subject}{f' {subject.title}' if subject else ''}"
    yield f"级别  {head.level_name or book.levels.name(head.level)}，最高 {book.levels.name(head.peak)}，" \
          f"{wording.EVENT_STATUS[head.status]}"
    yield f"决定  {wording.moment(head.decision.at, zone)}  {wording.why_of(head, book.levels)}"
    yield f"规则  {found.book}"
    yield f"\n{wording.moment(found.at, zone)} 的数"
    for level in found.levels:
        mark = _YES if level.reached else _NO
        here = "  ← 现在" if level.rank == head.level else ""
        yield f"{mark} {level.name}（{level.response}）{here}"
        for number, way in enumerate(level.ways):
            yield f"    {'或 ' if number else ''}{words.way_line(way)}"
            for factor in way.factors:
                yield f"      {_YES if factor.reached else _NO} {words.factor_line(factor)}"
        if not level.ways:
            yield "    这个主题到不了这一级：overrides 没有写它"
        if level.by_report:
            yield "    或 部门、热线的加急上报"
    yield f"\n{words.next_line(found)}"


def marked(text: str, places: Iterable[Place]) -> str:
    """The text, cut to MAX_SHOWN, with places marked; overlapping ones as one."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted((place.start, place.end) for place in places):
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], end)
        else:
            spans.append((start, end))
    made, last = "", 0
    for start, end in spans:
        if start < MAX_SHOWN:
            made += plain(text[last:start]) + _OPEN + plain(text[start:end]) + _CLOSE
            last = end
    made += plain(text[last:max(last, MAX_SHOWN)])
    return made if len(text) <= max(last, MAX_SHOWN) else f"{made}……（共 {len(text)} 字）"


def _of_condition(each: Explained) -> list[Place]:
    found: list[Place] = []
    todo = [each.condition] if each.condition is not None else []
    while todo:
        truth = todo.pop()
        if truth.seen is not None:
            found += truth.seen.places
        todo += [*truth.all, *truth.any]
    return found


def _pattern(seen: Seen) -> str:
    kind = words.kind_of(seen)
    return seen.name if kind == "词" else f"{seen.name}（{kind}）"


def _words(seen: Seen) -> str:
    """Of words that do not stand near each other: where those are that occur, by their first characters' numbers."""
    found = dict(seen.miss.words) if seen.miss is not None else {}
    return "；".join(f"{plain(word)} 在{words.FIELD[place.field]}第 {place.start + 1} 字"
                    f"{f' 等 {len(places)} 处' if len(places) > 1 else ''}"
                    for word, places in found.items() for place in places[:1])


def _where(seen: Seen) -> str:
    """Where it occurs: the field and what stands there, each once."""
    places = seen.places or seen.elsewhere
    said = "、".join(dict.fromkeys(f"{words.FIELD[place.field]}“{plain(place.text)}”" for place in places[:5]))
    more = f" 等 {len(places)} 处" if len(places) > 5 else ""
    return f"{said}{more}" if seen.places else f"{said}{more}，规则不看这里"


def _some(names: Iterable[str], shown: int = 12) -> str:
    listed = list(names)
    return "、".join(listed[:shown]) + (f" 等 {len(listed)} 个" if len(listed) > shown else "")


def text_as_json(found: TextExplained) -> dict[str, Any]:
    return {
        "book": found.book, "title": found.item.title, "text": found.item.text, "source": found.item.source_id,
        "group": found.source.group if found.source else "", "at": found.item.first_seen_at,
        "sentiment": msgspec.to_builtins(found.sentiment), "question": found.question,
        "rules": [{"subject": each.subject, "title": each.rule.title, "status": each.rule.status,
                   "matched": each.matched, "unmet": each.unmet, "why": words.misses(each),
                   "weight": round(each.weight, 4), "threshold": each.rule.threshold,
                   "terms": [_seen(seen) for seen in each.terms],
                   "exclude": [_seen(seen) for seen in each.exclude], "condition": _condition(each)}
                  for each in found.rules]}


def _seen(seen: Seen) -> dict[str, Any]:
    return {"name": seen.name, "weight": seen.weight, "places": [msgspec.to_builtins(each) for each in seen.places],
            "elsewhere": [msgspec.to_builtins(each) for each in seen.elsewhere],
            "near": _near(seen)}


def _near(seen: Seen) -> dict[str, Any] | None:
    if seen.miss is None:
        return None
    return {"said": words.near_miss(seen), "why": list(seen.miss.why), "missing": list(seen.miss.missing),
            "distance": seen.miss.distance, "words": msgspec.to_builtins(seen.miss.words)}


def _condition(each: Explained) -> list[dict[str, Any]]:
    if each.condition is None:
        return []
    return [{"depth": depth, "value": value, "text": said}
            for depth, value, said in words.condition_lines(each.condition)]


def event_as_json(found: EventExplained, book: RuleBook) -> dict[str, Any]:
    head = found.head
    return {
        "event": head.id, "number": head.short, "subject": head.subject, "title": head.title, "status": head.status,
        "level": head.level_name, "peak": book.levels.name(head.peak), "book": found.book, "at": found.at,
        "decision": msgspec.to_builtins(head.decision), "next": words.next_line(found),
        "levels": [{"rank": level.rank, "name": level.name, "reached": level.reached, "by_report": level.by_report,
                    "ways": [{"window": way.threshold.window, "reached": way.reached, "factors": [
                        {"name": each.name, "value": each.value, "need": each.need, "reached": each.reached,
                         "missing": each.missing} for each in way.factors]} for way in level.ways]}
                   for level in found.levels]}
