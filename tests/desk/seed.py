"""A county's busy morning in the store, as the archive would have written it. Everything in it is made up."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Table, delete, insert, select, update

from agents.store import people, schema
from agents.store.projection import _escalation, _source
from pipeline import codec
from pipeline.ids import digest
from pipeline.model import (
    Ack,
    AlertState,
    AlertStatus,
    Counts,
    Escalation,
    EscalationKind,
    EventClock,
    EventClocks,
    EventHead,
    EventStatus,
    Evidence,
    Excerpt,
    LevelDecision,
    MemberRow,
    Polarity,
    RawItem,
    ScoredItem,
    Sentiment,
    Silence,
    SourceState,
    Span,
    Statement,
    Why,
)
from pipeline.rulebook.schema import (
    HOUR,
    MINUTE,
    Level,
    Levels,
    Person,
    ResponseClock,
    Roster,
    RuleBook,
    Shift,
    Source,
    Team,
    Threshold,
)
from tests import builders

NOW = 1_795_288_320_000
"""2026-11-22 03:12 in Asia/Shanghai: somebody was just woken."""

HASH = "8c41f0d27a9b3e55"

NAMES = {"luntan": "青禾论坛", "xinwen": "青禾县新闻网", "ribao": "青禾日报", "gonggao": "县政府公告",
         "shequ": "城东社区网", "guangbo": "青禾广播", "dianshi": "青禾电视台", "shenghuo": "本地生活圈",
         "jiazhang": "家长论坛"}

XSS = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'

CLOCKS = tuple(ResponseClock(id=ident, name=name, within=hours * HOUR, start_level="较大") for ident, name, hours in (
    ("answer", "首次权威回应", 5), ("briefing", "情况报告", 24), ("reply", "答复", 48)))


def book(**changes: Any) -> RuleBook:
    """A rule book with names, colours and sources of several groups."""
    ladder = tuple(
        Level(name=name, response=response, color=color,
              enter=(Threshold(items=items, sources=sources, window=window),))
        for name, response, color, items, sources, window in (
            ("一般", "三级响应", "#3a7bc8", 3, 2, HOUR), ("较大", "二级响应", "#e08a1e", 10, 4, 2 * HOUR),
            ("重大", "一级响应", "#c62828", 30, 8, 3 * HOUR)))
    people = tuple(Person(id=who, name=name, channels=("console",)) for who, name in (
        ("duty-a", "值班员甲"), ("duty-b", "值班员乙"), ("leader-a", "带班领导"), ("ops-a", "运维")))
    teams = (Team(id="duty", name="值班组", shifts=(Shift(members=("duty-a", "duty-b")),)),
             Team(id="leaders", name="领导小组", shifts=(Shift(members=("leader-a",)),)),
             Team(id="ops", name="运维组", shifts=(Shift(members=("ops-a",)),)))
    values: dict[str, Any] = {
        "sources": (source("xinwen", "青禾县新闻网", "新闻"), source("luntan", "青禾论坛", "论坛"),
                    source("ribao", "青禾日报", "新闻"), source("gonggao", "县政府公告", "政务", official=True)),
        "levels": Levels(ladder=ladder, clocks=CLOCKS),
        "roster": Roster(people=people, teams=teams, fallback="leader-a"),
        "hash": HASH, **changes}
    return builders.book(**values)


def source(ident: str, name: str, group: str, **more: Any) -> Source:
    return Source(id=ident, name=name, url=f"https://{ident}.example/feed.xml", group=group, origin=f"{ident}.example",
                  **more)


def head(number: int = 317, level: int = 2, **changes: Any) -> EventHead:
    """An open event, by default 较大, reached 40 minutes ago."""
    names = {0: "未达级", 1: "一般", 2: "较大", 3: "重大"}
    need = {0: (3, 2), 1: (3, 2), 2: (10, 4), 3: (30, 8)}[level]
    window = {0: HOUR, 1: HOUR, 2: 2 * HOUR, 3: 3 * HOUR}[level]
    have = Evidence(items=need[0] + 4, sources=need[1] + 1, window=window, at=NOW - 2 * MINUTE, need_items=need[0],
                    need_sources=need[1])
    ident = digest("event", number)
    values: dict[str, Any] = {
        "id": ident, "subject": "polling", "key": "polling", "version": 14, "status": EventStatus.OPEN, "level": level,
        "level_name": names[level], "peak": level, "book": HASH, "title": "网传城东投票站下午三点关门",
        "decision": LevelDecision(level=level, previous=max(0, level - 1), why=Why.RAISED, evidence=have,
                                  at=NOW - 40 * MINUTE, name=names[level]),
        "first_item_at": NOW - 96 * MINUTE, "last_item_at": NOW - 3 * MINUTE, "opened_at": NOW - 80 * MINUTE,
        "changed_at": NOW - 2 * MINUTE, "number": number, "raises": level, "items": have.items + 3,
        "sources": have.sources, "negative": 4, "questions": 6, **changes}
    return EventHead(**values)


def alert(of: EventHead, status: AlertStatus = AlertStatus.NOTIFIED, **changes: Any) -> AlertState:
    values: dict[str, Any] = {
        "event_id": of.id, "alert_id": digest("alert", of.id, of.level, of.raises), "event_version": of.version,
        "revision": 2, "level": of.level, "status": status, "raised_at": NOW - 12 * MINUTE, "step": 1,
        "due_at": NOW + 3 * MINUTE, "route": {2: "larger", 3: "major"}.get(of.level, "general"), "told": ("duty",),
        "book": HASH, **changes}
    return AlertState(**values)


def put_event(engine: Engine, one: EventHead) -> EventHead:
    row = {name: getattr(one, name) for name in (
        "id", "number", "subject", "level", "level_name", "peak", "version", "title", "items", "sources", "opened_at",
        "last_item_at", "changed_at")}
    _put(engine, schema.events, {
        **row, "status": str(one.status), "shadow": one.shadow, "drill": one.drill, "head": codec.encode(one).decode()})
    return one


def put_alert(engine: Engine, state: AlertState) -> AlertState:
    _put(engine, schema.alerts, {
        "event_id": state.event_id, "event_version": state.event_version, "revision": state.revision,
        "status": str(state.status), "due_at": state.due_at, "state": codec.encode(state).decode()})
    return state


def put_item(engine: Engine, of: EventHead, number: int, title: str, text: str = "", *, source_id: str = "luntan",
             terms: tuple[str, ...] = (), minutes_ago: int = 10, url: str = "", negative: bool = False,
             question: bool = False, official: bool = False, **more: Any) -> ScoredItem:
    """An item of an event with its spans found by `terms`."""
    at = NOW - minutes_ago * MINUTE
    raw = RawItem(id=digest("item", of.id, number), revision="0" * 16, source_id=source_id, title=title, text=text,
                  url=url or f"https://{source_id}.example/t/{number}", first_seen_at=at, published_at=at, **more)
    spans = tuple(Span("polling", term, name, place, place + len(term))
                  for name, content in (("title", title), ("text", text)) for term in terms
                  for place in [content.find(term)] if place >= 0)
    sentiment = Sentiment(Polarity.NEGATIVE if negative else Polarity.NEUTRAL, 0.8)
    one = ScoredItem(item=raw, origin=f"{source_id}.example", source_name=NAMES.get(source_id, source_id),
                     official=official, weight=2.0, spans=spans, sentiment=sentiment, question=question)
    columns = {"id": raw.id, "source_id": source_id, "revision": raw.revision, "title": title, "text": text,
               "url": raw.url, "published_at": at, "first_seen_at": at, "backfill": False, "expired": False}
    _put(engine, schema.items, {**columns, "seen_at": at, **more})
    _put(engine, schema.scored, {
        "item_id": raw.id, "subject": of.subject, "revision": raw.revision, "origin": one.origin, "weight": 2.0,
        "polarity": str(sentiment.polarity), "confidence": 0.8, "question": question, "first_seen_at": at,
        "detail": codec_text(one), "book": HASH})
    row = MemberRow(raw.id, at, one.origin, 0, ())
    _put(engine, schema.members, {"event_id": of.id, "item_id": raw.id, "at": at, "row": codec_text(row)})
    return one


def codec_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def put_line(engine: Engine, of: EventHead, kind: str, minutes_ago: int, detail: Any) -> None:
    _put(engine, schema.timeline, {
        "event_id": of.id, "ref": digest(kind, minutes_ago), "at": NOW - minutes_ago * MINUTE, "kind": kind,
        "detail": codec_text(detail)})


def put_delivery(engine: Engine, of: EventHead, person: str, status: str, *, minutes_ago: int = 9, error: str = "",
                 attempts: int = 1, channel: str = "console", suppressed_by: str = "",
                 escalation_id: str = "") -> None:
    at = NOW - minutes_ago * MINUTE
    _put(engine, schema.deliveries, {
        "id": digest("delivery", of.id, person, status), "escalation_id": escalation_id, "event_id": of.id,
        "person": person,
        "channel": channel, "status": status, "attempts": attempts, "at": at, "decided_at": at - 1400, "error": error,
        "suppressed_by": suppressed_by})


def put_source(engine: Engine, ident: str, *, failures: int = 0, error: str = "", minutes_ago: int = 1,
               **changes: Any) -> SourceState:
    """Where the polling of a source stands: by default all is well, with news every ten minutes."""
    at = NOW - minutes_ago * MINUTE
    good = at - failures * 10 * MINUTE
    news = tuple(good - (7 + 10 * place) * MINUTE for place in range(8, -1, -1))
    values: dict[str, Any] = {
        "source_id": ident, "url": f"https://{ident}.example/feed.xml", "polled_at": at,
        "next_poll_at": at + 5 * MINUTE, "outcome": "server_error" if failures else "ok", "error": error,
        "failures": failures, "backfilled": True, "succeeded_at": None if failures > 9 else good,
        "failed_since": good + 2 * MINUTE if failures else None, "new_item_at": good - 7 * MINUTE, "arrivals": news,
        "kind": "rss20", **changes}
    state = SourceState(**values)
    with engine.begin() as connection:
        connection.execute(delete(schema.sources).where(schema.sources.c.id == ident))
        connection.execute(insert(schema.sources).values(**_source(state)))
    return state


def clock(ident: str = "answer", hours: float = 5, minutes_ago: int = 96, **changes: Any) -> EventClock:
    """A clock of CLOCKS that began so long ago."""
    name = next(each.name for each in CLOCKS if each.id == ident)
    start = NOW - minutes_ago * MINUTE
    return EventClock(**{"id": ident, "name": name, "started_at": start, "due_at": start + int(hours * HOUR),
                         **changes})


def put_clocks(engine: Engine, of: EventHead, *clocks: EventClock, revision: int = 1) -> None:
    with engine.begin() as connection:
        connection.execute(delete(schema.clocks).where(schema.clocks.c.event_id == of.id))
        connection.execute(insert(schema.clocks).values(people.clocks(EventClocks(
            event_id=of.id, revision=revision, clocks=clocks))))


def statement(of: EventHead, **changes: Any) -> Statement:
    values: dict[str, Any] = {
        "id": digest("statement", of.id, *map(str, changes.values())), "event_id": of.id, "by": "李敏",
        "at": NOW - 3 * MINUTE, "title": "各投票站均开放至晚上八点", "published_at": NOW - 4 * MINUTE,
        "url": "https://gonggao.example/n/88", "source_name": "县政府公告", "clocks": ("answer",), **changes}
    return Statement(**values)


def put_statement(engine: Engine, said: Statement) -> Statement:
    _put(engine, schema.statements, people.statement(said))
    return said


def silence(ident: str = "s1", *, hours: float = 2, minutes_ago: int = 10, **changes: Any) -> Silence:
    values: dict[str, Any] = {
        "id": digest("silence", ident), "by": "王强", "at": NOW - minutes_ago * MINUTE, "owner": "值班组",
        "reason": "供水检修，已公告", "starts_at": NOW - minutes_ago * MINUTE, "ends_at": NOW + int(hours * HOUR),
        **changes}
    return Silence(**values)


def put_silence(engine: Engine, one: Silence) -> Silence:
    _put(engine, schema.silences, people.silence(one))
    return one


def put_escalation(engine: Engine, of: EventHead, **changes: Any) -> Escalation:
    """A page about an event, sent or held back."""
    values: dict[str, Any] = {
        "id": digest("escalation", of.id, *map(str, changes.values())), "kind": EscalationKind.PAGE,
        "at": NOW - 10 * MINUTE, "why": "raised", "tell": ("duty",), "event_id": of.id, "level": of.level,
        "level_name": of.level_name, **changes}
    one = Escalation(**values)
    _put(engine, schema.escalations, _escalation(one))
    return one


def put_notice(engine: Engine, title: str, text: str) -> None:
    record = Escalation(id=digest("notice", title), kind=EscalationKind.SYSTEM, at=NOW - 5 * MINUTE, why=title,
                        tell=("ops",), title=title, text=text)
    row = {"id": record.id, "event_id": "", "kind": "system", "at": record.at, "detail": codec.encode(record).decode()}
    _put(engine, schema.escalations, row)


def put_book(engine: Engine, one: RuleBook) -> None:
    _put(engine, schema.books, {"hash": one.hash, "at": NOW - 3 * HOUR, "book": codec.encode(one).decode()})


def once(write: Callable[[Engine], None]) -> Callable[[Engine], None]:
    """The rows of the first time are copied afterwards, as quickly as they can be, into tables that are as empty."""
    kept: dict[Table, list[dict[str, Any]]] = {}

    @wraps(write)
    def put(engine: Engine) -> None:
        if engine.dialect.name != "sqlite":             # rows of another database would not move its sequences
            return write(engine)
        with engine.begin() as connection:
            before = _rows(connection)
            if kept and not any(before[table] for table in kept):
                for table, rows in kept.items():
                    connection.execute(insert(table), rows)
                return None
        write(engine)
        with engine.connect() as connection:
            after = _rows(connection)
        if not kept and not any(before[table] for table in after if after[table] != before[table]):
            kept.update({table: rows for table, rows in after.items() if rows != before[table]})
        return None
    return put


def _rows(connection: Connection) -> dict[Table, list[dict[str, Any]]]:
    return {table: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in schema.metadata.sorted_tables}


@once
def morning(engine: Engine) -> None:
    """Two events that wait, one that is acked, one that is over; sources of which one fails."""
    put_book(engine, book())
    _false_closing_time(engine)
    queue = put_event(engine, head(318, 2, title="文化宫投票点排队两小时，老人站在雨里", subject="polling",
                                   decision=_held(), last_item_at=NOW - 11 * MINUTE))
    put_alert(engine, alert(queue, AlertStatus.ACKED, acked_by="李敏", acked_at=NOW - 6 * MINUTE, due_at=None))
    moved = put_event(engine, head(319, 1, title="第七投票站搬到实验小学，通知没有贴出来", items=4, sources=3,
                                   questions=2, first_item_at=NOW - 50 * MINUTE))
    put_alert(engine, alert(moved, AlertStatus.PENDING, told=(), step=0, due_at=NOW + 6 * HOUR))
    put_event(engine, head(311, 0, peak=1, status=EventStatus.CALM, title="城西停水影响投票准备",
                           changed_at=NOW - 5 * HOUR))
    for ident in ("xinwen", "luntan", "gonggao"):
        put_source(engine, ident)
    put_source(engine, "ribao", failures=4, error="HTTP 503，服务器暂时不可用", minutes_ago=2)


def put_edits(engine: Engine, one: ScoredItem, *earlier: tuple[str, str]) -> None:
    """What the item said before, oldest first, half an hour apart."""
    start = one.item.first_seen_at - 30 * MINUTE * len(earlier)
    for place, (title, text) in enumerate(earlier):
        _put(engine, schema.revisions, {"item_id": one.item.id, "revision": f"{place:016x}", "title": title,
                                        "text": text, "seen_at": start + 30 * MINUTE * place})
    with engine.begin() as connection:
        connection.execute(update(schema.items).where(schema.items.c.id == one.item.id)
                           .values(revised_at=one.item.first_seen_at, first_seen_at=start))


def put_counts(engine: Engine, item_id: str, *rows: Counts, every: int = 10 * MINUTE) -> None:
    """The counts of an item, the last ones now."""
    for place, one in enumerate(rows):
        _put(engine, schema.counts, {
            "item_id": item_id, "at": NOW - (len(rows) - 1 - place) * every, "comments": one.comments,
            "forwards": one.forwards, "likes": one.likes, "views": one.views})


def growing_post(engine: Engine, of: EventHead) -> ScoredItem:
    """An item of a forum that was edited twice, with counts, a ticket number and markup of its own."""
    text = ("看到群里有人发截图，说城东投票站今天下午三点就关门，下班以后还来得及吗？\n打了社区电话没人接。\n"
            + "门口的告示写的是早上八点到晚上八点，和群里说的不一样。" * 6
            + "\n更新：工作人员说没有接到通知，请大家以告示为准。")
    html = "<p>看到群里有人发截图</p><ul><li>三点关门</li><li>八点关门</li></ul>"
    one = put_item(engine, of, 700, "城东投票站到底几点关门？（已更新）", text, terms=("投票站", "三点", "关门"),
                   minutes_ago=20, question=True, negative=True, html=html, ref="GD-20261122-017", urgent=True)
    put_edits(engine, one, ("城东投票站三点关门？", text.partition("\n更新")[0].replace("今天下午三点", "下午两点半")),
              ("城东投票站到底几点关门？", text.partition("\n更新")[0]))
    put_counts(engine, one.item.id, *(Counts(comments=2 + place * place, forwards=3 * place, likes=None,
                                             views=900 + 1400 * place) for place in range(9)))
    return one


def _held() -> LevelDecision:
    have = Evidence(items=8, sources=4, window=2 * HOUR, at=NOW - 2 * MINUTE, need_items=10, need_sources=4)
    return LevelDecision(level=2, previous=1, why=Why.RAISED, evidence=have, at=NOW - 9 * MINUTE, name="较大")


def _false_closing_time(engine: Engine) -> None:
    statement = Excerpt(item_id="f" * 20, title="关于投票时间的说明：各投票站均开放至晚上八点", official=True,
                        text="近日网上流传的“城东投票站下午三点关门”与事实不符。", source_name="县政府公告",
                        url="https://gonggao.example/n/88", at=NOW - 4 * MINUTE)
    one = put_event(engine, head(317, 3, statements=(statement,), items=41, sources=9, negative=12, questions=17))
    put_alert(engine, alert(one, told=("duty",), due_at=NOW + 2 * MINUTE))
    terms = ("投票站", "三点", "关门")
    posts = (
        ("城东投票站到底几点关门？",
         "看到群里有人发截图，说城东投票站今天下午三点就关门，下班以后还来得及吗？", "luntan"),
        ("投票站提前关门？现场工作人员：没有接到通知",
         "记者上午来到城东投票站，门口没有张贴时间变更的通知。", "xinwen"),
        ("转：城东投票站三点关门，抓紧去", "朋友圈都在转，说是人手不够，城东投票站三点就不让进了。", "shequ"),
        ("城东居民询问投票站关闭时间",
         "多名居民致电本报，询问城东投票站是否提前到下午三点关门。记者正在向县选举办核实。" * 8, "ribao"),
        ("上班族怎么投票？听说三点关门", "单位四点才下班，投票站三点关门的话就赶不上了，有没有准信。", "jiazhang"),
        ("【路况】城东投票站附近车多", "有听众留言问投票站是不是三点关门，本台正在联系县选举办。", "guangbo"),
        ("投票站三点关门是真的吗", "邻居说的，问了两个人说法不一样，谁有官方通知贴一下。", "shenghuo"),
        ("城东投票站见闻", "午间排队的人明显增多，不少人说听到了三点关门的说法。", "dianshi"))
    for number in range(40):
        title, text, where = posts[number % len(posts)]
        put_item(engine, one, number, title, text, source_id=where, terms=terms, minutes_ago=3 + number * number // 18,
                 negative=number % 3 == 0, question=number % 4 == 0)
    put_item(engine, one, 99, statement.title, statement.text, source_id="gonggao", terms=terms, minutes_ago=4,
             official=True)
    put_line(engine, one, "opened", 80, {"number": 317, "subject": "polling"})
    for minutes, level in ((79, 1), (40, 2), (12, 3)):
        put_line(engine, one, "level", minutes, head(317, level).decision)
    put_line(engine, one, "escalation", 12, {
        "id": "x", "kind": "page", "why": "raised", "level": 3, "step": 0, "repeat": 0, "tell": ["duty"]})
    put_line(engine, one, "delivery", 11, {"id": "d", "person": "duty-a", "channel": "console", "status": "confirmed"})
    put_line(engine, one, "statement", 4, {"item_id": "f" * 20, "source_name": "县政府公告"})
    put_delivery(engine, one, "duty-a", "confirmed", minutes_ago=11)
    put_delivery(engine, one, "duty-b", "dead", minutes_ago=10, error="SMTP 550：邮箱不存在", attempts=6)


def acked(of: EventHead, by: str) -> Ack:
    return Ack(id=digest("ack", by), event_id=of.id, alert_id=alert(of).alert_id, by=by, at=NOW)


def _put(engine: Engine, table: Table, row: dict[str, Any]) -> None:
    """Insert a row; columns that no page of the desk looks at get an empty value."""
    empty = {each.name: each.type.python_type() for each in table.c
             if not each.nullable and not each.primary_key and each.name not in row}
    with engine.begin() as connection:
        connection.execute(insert(table).values(**{**empty, **row}))
