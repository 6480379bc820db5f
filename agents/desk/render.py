"""Values -> HTML: the Jinja environment, times as people read them, highlighted spans, the chart of an event.

Text of feeds reaches a page only through autoescape or `highlight`, which escapes piece by piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from agents.desk import audit, clock_views, describe, held_words, level_words, rule_words, timeline_words
from agents.settings import Settings
from pipeline import explain_words
from pipeline.collect.health import word
from pipeline.collect.redact import shown
from pipeline.model import CountsRow, Millis, Span
from pipeline.notify import said, wording
from pipeline.rulebook.schema import Level, RuleBook

HERE = Path(__file__).parent
STATIC = HERE / "static"
EXCERPT = 220
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000


@dataclass(frozen=True, slots=True)
class Times:
    """Times as a person at `now` in `zone` reads them."""

    now: Millis
    zone: ZoneInfo

    def ago(self, at: Millis) -> str:
        """`刚刚`, `8 分钟前`, `4 分钟后`: a length people think in, rounded down."""
        length, side = abs(self.now - at), "前" if at <= self.now else "后"
        if length < _MINUTE:
            return "刚刚" if side == "前" else "马上"
        for size, unit in ((_DAY, "天"), (_HOUR, "小时"), (_MINUTE, "分钟")):
            if length >= size:
                return f"{length // size} {unit}{side}"
        return ""

    def clock(self, at: Millis) -> str:
        """`03:12` today, `11-21 03:12` on another day, with the year in another year."""
        moment, today = self._local(at), self._local(self.now)
        if moment.date() == today.date():
            return moment.strftime("%H:%M")
        return moment.strftime("%m-%d %H:%M" if moment.year == today.year else "%Y-%m-%d %H:%M")

    def full(self, at: Millis) -> str:
        return self._local(at).strftime("%Y-%m-%d %H:%M:%S")

    def when(self, at: Millis | None) -> Markup:
        """`03:12 · 8 分钟前` as a <time> with the whole moment as its title; `从未` for None."""
        if at is None:
            return Markup('<span class="faint">从未</span>')
        return Markup('<time datetime="{}" title="{}">{} <span class="faint">· {}</span></time>').format(
            self._local(at).isoformat(timespec="seconds"), self.full(at), self.clock(at), self.ago(at))

    def _local(self, at: Millis) -> datetime:
        return datetime.fromtimestamp(at / 1000, self.zone)


def highlight(text: str, spans: Iterable[Span], field: str) -> Markup:
    """The text, escaped, with <mark> around the spans of this field; overlapping spans become one mark."""
    pieces: list[Markup] = []
    end = 0
    for start, stop, terms in _merged(spans, field, len(text)):
        pieces.append(escape(text[end:start]))
        pieces.append(Markup('<mark title="命中：{}">{}</mark>').format("、".join(terms), text[start:stop]))
        end = stop
    return Markup("").join([*pieces, escape(text[end:])])


def excerpt(text: str, spans: Sequence[Span], field: str, size: int = EXCERPT) -> Markup:
    """About `size` characters around the first span, highlighted; the beginning when there is none."""
    if len(text) <= size:
        return highlight(text, spans, field)
    first = min((span.start for span in spans if span.field == field), default=0)
    start = max(0, min(first - size // 3, len(text) - size))
    moved = [Span(span.rule, span.term, span.field, span.start - start, span.end - start)
             for span in spans if span.start >= start]
    before, after = "…" if start else "", "…" if start + size < len(text) else ""
    return Markup("{}{}{}").format(before, highlight(text[start:start + size], moved, field), after)


def _merged(spans: Iterable[Span], field: str, length: int) -> list[tuple[int, int, list[str]]]:
    found: list[tuple[int, int, list[str]]] = []
    for span in sorted((one for one in spans if one.field == field), key=lambda one: one.start):
        start, stop = max(0, span.start), min(span.end, length)
        if start >= stop:
            continue
        if found and start < found[-1][1]:
            first, last, terms = found.pop()
            found.append((first, max(last, stop), [*terms, *([] if span.term in terms else [span.term])]))
        else:
            found.append((start, stop, [span.term]))
    return found


def link(url: str) -> str:
    """The URL if it may be a link: http or https with a host. Anything else (javascript:, data:) is not clickable."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.hostname else ""


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    height: float
    width: float
    count: int
    title: str


def chart(times: Sequence[tuple[Millis, str]], to: Times, bars: int = 48) -> list[Bar]:
    """Items per slice of time, from the first item to the last, in a box of 480 x 60."""
    if not times:
        return []
    first = times[0][0]
    size = max(_MINUTE, -(-(times[-1][0] - first + 1) // bars))
    counts = [0] * bars
    for at, _ in times:
        counts[min(bars - 1, (at - first) // size)] += 1
    top, width = max(counts), 480 / bars
    return [Bar(round(place * width, 2), round(60 - 56 * count / top, 2), round(56 * count / top, 2),
                round(width - 2, 2), count, f"{to.clock(first + place * size)} 起 {wording.duration(size)}：{count} 条")
            for place, count in enumerate(counts) if count]


@dataclass(frozen=True, slots=True)
class Spark:
    """A line through a series in a box of 160 x 40; points is empty for a single value."""

    points: str
    first: int
    last: int


def spark(rows: Sequence[CountsRow], name: str) -> Spark:
    """How one count of an item went, over time; polls that did not say it are passed over."""
    series = [(row.at, value) for row in rows if (value := getattr(row.counts, name)) is not None]
    if not series:
        return Spark("", 0, 0)
    first, last = series[0], series[-1]
    low, high = min(value for _, value in series), max(value for _, value in series)
    long, tall = max(1, last[0] - first[0]), max(1, high - low)
    points = [f"{(at - first[0]) * 156 / long + 2:.1f},{38 - (value - low) * 36 / tall:.1f}" for at, value in series]
    return Spark(" ".join(points) if len(points) > 1 else "", first[1], last[1])


def figure(count: int) -> str:
    """`9876`, `1.2 万`, `3.4 亿`: a count as people read it."""
    for size, unit in ((100_000_000, "亿"), (10_000, "万")):
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + f" {unit}"
    return str(count)


_KINDS = {"discourse": "Discourse", "nodebb": "NodeBB", "json": "JSON 列表", "jsonfeed": "JSON Feed", "rss": "RSS",
          "atom": "Atom", "xml": "XML"}
_FAMILIES = re.compile(r"(rss|atom)(\d)(\d+)[nu]?")


def kind_name(kind: str) -> str:
    """What a document is, as people name it: `RSS 2.0`, `Atom 1.0`, `JSON Feed`, `Discourse`."""
    family = _FAMILIES.fullmatch(kind)
    if family is None:
        return _KINDS.get(kind, kind)
    return f"{_KINDS[family[1]]} {family[2]}.{family[3]}"


def levels_css(ladder: Sequence[Level]) -> str:
    """Colours of the ladder as classes `level-1` … : the policy for styles forbids them inside a page."""
    rules = []
    for rank, level in enumerate(ladder, 1):
        color = level.color if _COLOR.fullmatch(level.color) else "#888888"
        rules.append(f".level-{rank}{{--level:{color};--on-level:{_on(color)}}}")
    return "\n".join(rules) + "\n"


def _on(color: str) -> str:
    """White where it is read well enough on this colour (contrast 4 : 1 by WCAG), else black."""
    channels = (int(color[place:place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#fff" if 1.05 / (luminance + 0.05) >= 4 else "#000"


class Render:
    """Templates of one desk."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._env = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True)
        self._env.filters["shown"] = shown
        self._env.globals.update(
            highlight=highlight, excerpt=excerpt, link=link, chart=chart, wording=wording, describe=describe,
            rule_words=rule_words, level_words=level_words, explain_words=explain_words,
            factor_title=level_words.title,
            spark=spark, figure=figure, kind_name=kind_name, clock_views=clock_views.views,
            clock_view=clock_views.view, act_said=said.act,
            length=clock_views.length, held_why=held_words.why, pending_words=held_words.pending,
            timeline_line=timeline_words.line, clock_said=timeline_words.clock_said,
            health_word=word, actions=audit.ACTIONS, banner=settings.banner, assets=self.assets)

    @cached_property
    def assets(self) -> str:
        """Changes when a static file does, so that browsers do not mix versions."""
        return sha256(b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()))).hexdigest()[:10]

    def page(self, template: str, *, book: RuleBook | None, **values: Any) -> str:
        names = describe.Names(book)
        return self._env.get_template(template).render(book=book, names=names, **values)
