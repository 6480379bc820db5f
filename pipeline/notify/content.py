"""What a message about an event says, piece by piece: safe text, in the order in which people need it."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.model import Act, ActKind, Escalation, EscalationKind, EventHead, Excerpt, Millis, Span
from pipeline.notify import said, wording
from pipeline.notify.card import CardExcerpt
from pipeline.notify.message import Facts, Setting
from pipeline.notify.safe import inert, line, link, shorten

EXCERPTS = 3
DRILL_WORD = "演练"
TITLE = 80
_TERMS = 12
_NAMES = 3
_ACTS = 3

Row = tuple[str, str]
"""(label, text), one line each."""


# ---------------------------------------------------------------- what stands in front


def drill_words(escalation: Escalation, setting: Setting) -> tuple[str, ...]:
    """`演练`, and the words of an installation that only shows: a reader must know both before the first word."""
    return tuple(filter(None, (DRILL_WORD if escalation.drill else "", line(setting.banner))))


def not_real(escalation: Escalation, setting: Setting) -> str:
    words = drill_words(escalation, setting)
    act = "请照常处置" if escalation.drill else ""
    return "，".join(filter(None, (f"这是{'、'.join(words)}", "不是真实事件", act))) + "。" if words else ""


def marks(escalation: Escalation, setting: Setting) -> str:
    """`【演练】【较大】`."""
    words = (*drill_words(escalation, setting), level_mark(escalation, setting), _kind_mark(escalation))
    return "".join(f"【{word}】" for word in words if word)


def level_mark(escalation: Escalation, setting: Setting) -> str:
    if escalation.kind in (EscalationKind.SYSTEM, EscalationKind.TEST):
        return wording.KIND[escalation.kind]
    name = level_name(escalation, setting)
    if escalation.kind is EscalationKind.INFORM and escalation.head and escalation.why not in wording.ENDED_WHY:
        return f"降为{name}" if escalation.level else wording.EVENT_STATUS[escalation.head.status]
    return name


def level_name(escalation: Escalation, setting: Setting) -> str:
    return line(escalation.level_name or setting.book.levels.name(escalation.level))


def _kind_mark(escalation: Escalation) -> str:
    if escalation.kind is EscalationKind.CLOCK:
        return wording.KIND[EscalationKind.CLOCK]
    return wording.MARK.get(escalation.why, "")


def headline(escalation: Escalation, setting: Setting) -> str:
    """`E-0317 投票站三点关门的说法`; of a clock what is left comes before the title."""
    head = escalation.head
    if head is None:
        return shorten(line(escalation.title or escalation.why), 120)
    parts = (head.short, _clock_in_front(escalation) + shorten(inert(head.title), TITLE))
    return " ".join(part for part in parts if part)


def _clock_in_front(escalation: Escalation) -> str:
    one = said.urgent(escalation.clocks, escalation.clock) if escalation.kind is EscalationKind.CLOCK else None
    return line(f"{one.name}{said.left(one, escalation.at)}") + "：" if one else ""


# ---------------------------------------------------------------- one line each


def rows(escalation: Escalation, head: EventHead, setting: Setting, facts: Facts) -> tuple[Row, ...]:
    """Every line that there is something to say in, the most important first."""
    now = escalation.at
    found = (
        ("概况", gist(head)),
        ("级别", _level(head, setting)),
        ("原因", why(head, setting)),
        ("对比", said.baseline(facts.usual, facts.now_items)),
        ("时限", clocks(escalation, setting)),
        ("通知", line(wording.step(escalation))),
        ("进展", "；".join(acts(escalation.acts, now, setting))),
        ("牵头", setting.who(escalation.lead) if escalation.lead else ""),
        ("命中", "、".join(terms(head)[:_TERMS])),
        ("来源", _sources(head)),
        ("话题", setting.subject(head.subject)),
        ("时间", figures_in_time(head, setting)),
    )
    return tuple((label, text) for label, text in found if text)


def gist(head: EventHead) -> str:
    """What it is, in a sentence without a full stop."""
    parts = [f"{head.sources} 个独立来源的 {head.items} 条内容在说「{shorten(inert(head.title), TITLE)}」"]
    if head.negative:
        parts.append(f"负面 {head.negative} 条")
    if head.questions:
        parts.append(f"提问 {head.questions} 条")
    return "，".join(parts)


def figures(head: EventHead, setting: Setting) -> str:
    """`23 条、7 个独立来源，负面 9 条，提问 4 条，首条 11-22 10:00，最新 11-22 12:00`."""
    parts = [f"{head.items} 条、{head.sources} 个独立来源"]
    parts += [f"负面 {head.negative} 条"] if head.negative else []
    parts += [f"提问 {head.questions} 条"] if head.questions else []
    return "，".join([*parts, figures_in_time(head, setting)])


def figures_in_time(head: EventHead, setting: Setting) -> str:
    first, last = (wording.short_moment(at, setting.zone) for at in (head.first_item_at, head.last_item_at))
    return f"首条 {first}，最新 {last}"


def why(head: EventHead, setting: Setting) -> str:
    return line(wording.why_of(head, setting.book.levels))


def clocks(escalation: Escalation, setting: Setting) -> str:
    """Every clock: the one that the message is about first, then those that run, the next one due first."""
    asked = sorted(escalation.clocks, key=lambda one: (
        one.id != escalation.clock, one.stopped_at is not None, one.due_at, one.id))
    return line("；".join(said.clock(one, escalation.at, setting.zone) for one in asked))


def acts(done: Iterable[Act], now: Millis, setting: Setting) -> list[str]:
    """The last few things that people did, the latest last. Statements have their own place."""
    shown = sorted((one for one in done if one.kind is not ActKind.STATEMENT), key=lambda one: one.at)
    return [shorten(line(said.act(one, now, setting.zone, setting.who)), 120) for one in shown[-_ACTS:]]


def terms(head: EventHead) -> list[str]:
    """What matched in the excerpts, each once, in order: the words themselves, for a term may be a list's name or an
    expression."""
    found = (inert(_matched(excerpt, span)) for excerpt in head.excerpts for span in excerpt.spans)
    return list(dict.fromkeys(filter(None, found)))


def _matched(excerpt: Excerpt, span: Span) -> str:
    return (excerpt.title if span.field == "title" else excerpt.text)[span.start:span.end] or span.term


def _level(head: EventHead, setting: Setting) -> str:
    ladder = setting.book.levels.ladder
    response = ladder[head.level - 1].response if 0 < head.level <= len(ladder) else ""
    changed = line(wording.change(head.decision, setting.book.levels)) + (f"（{line(response)}）" if response else "")
    return f"{changed} · {wording.EVENT_STATUS[head.status]}"


def _sources(head: EventHead) -> str:
    """`新闻网、本地论坛等 7 个独立来源`."""
    names = list(dict.fromkeys(name for one in head.excerpts if (name := inert(one.source_name))))[:_NAMES]
    more = "等 " if head.sources > len(names) else "，共 "
    return f"{'、'.join(names)}{more}{head.sources} 个独立来源" if names else ""


# ---------------------------------------------------------------- what was said


def representative(head: EventHead) -> tuple[Excerpt, ...]:
    """Three excerpts of as many sources as there are, in their order."""
    places: dict[str, int] = {}
    turn = []
    for place, one in enumerate(head.excerpts):
        places[one.source_name] = places.get(one.source_name, -1) + 1
        turn.append((places[one.source_name], place))
    return tuple(head.excerpts[place] for place in sorted(place for _, place in sorted(turn)[:EXCERPTS]))


def proposed(escalation: Escalation, head: EventHead) -> tuple[Excerpt, ...]:
    """Items of official sources that nobody has confirmed as a statement yet."""
    confirmed = {line(one.text) for one in escalation.acts if one.kind is ActKind.STATEMENT}
    return tuple(one for one in head.statements if line(one.title) not in confirmed)[:EXCERPTS]


def statements(escalation: Escalation, setting: Setting) -> list[str]:
    """What people confirmed as the office's own word."""
    stated = [one for one in escalation.acts if one.kind is ActKind.STATEMENT][-EXCERPTS:]
    times = (said.at(one.at, escalation.at, setting.zone) for one in stated)
    return [shorten(line(f"{one.text or '（无标题）'}（{one.by} {at} 确认）"), 160)
            for one, at in zip(stated, times, strict=True)]


def card_excerpt(one: Excerpt, setting: Setting) -> CardExcerpt:
    title, text = shorten(inert(one.title), TITLE), shorten(inert(one.text), TITLE)
    return CardExcerpt(title, "" if text == title else text, inert(one.source_name),
                       wording.short_moment(one.at, setting.zone), link(one.url))


def quoted(title: str, excerpts: Iterable[Excerpt], setting: Setting) -> str:
    """A paragraph of excerpts under a title; empty without any."""
    found = [_quote(count, card_excerpt(one, setting)) for count, one in enumerate(excerpts, 1)]
    return "\n".join([f"{title}：", *found]) if found else ""


def _quote(count: int, one: CardExcerpt) -> str:
    origin = " · ".join(filter(None, (one.source, one.time, one.url)))
    return f"{count}. 「{one.title}」{' ' + one.text if one.text else ''}\n   {origin}"
