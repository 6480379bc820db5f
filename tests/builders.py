"""Small makers of values, so that a test says only what it is about."""

from __future__ import annotations

from typing import Any

from pipeline.model import Polarity, RawBatch, RawItem, ScoredBatch, ScoredItem, Sentiment
from pipeline.rulebook.schema import (
    HOUR,
    MINUTE,
    Channel,
    ChannelType,
    EventRules,
    Level,
    LevelOverride,
    Levels,
    Person,
    Roster,
    Route,
    RouteMode,
    RuleBook,
    SentimentRules,
    Shift,
    Source,
    Step,
    Subject,
    Team,
    Term,
    Threshold,
)

NOON = 1_795_320_000_000
"""2026-11-22 12:00 in Asia/Shanghai, as epoch milliseconds."""


def raw_item(item_id: str = "a1", **changes: Any) -> RawItem:
    values: dict[str, Any] = {
        "id": item_id, "revision": "0" * 16, "source_id": "xinwen", "title": "投票站几点关门",
        "text": "有人说下午三点截止", "url": "http://xinwen.example/1", "first_seen_at": NOON, "published_at": NOON,
        **changes}
    return RawItem(**values)


def raw_batch(*items: RawItem, source_id: str = "xinwen", polled_at: int = NOON) -> RawBatch:
    return RawBatch(source_id=source_id, polled_at=polled_at, items=items)


def terms_of(*words: int) -> tuple[tuple[int, int], ...]:
    return tuple((word, 100) for word in words)


def scored_item(item_id: str = "a1", *, origin: str = "xinwen.example", terms: tuple[int, ...] = (1, 2, 3, 4),
                at: int = NOON, official: bool = False, negative: bool = False, **raw: Any) -> ScoredItem:
    polarity = Polarity.NEGATIVE if negative else Polarity.NEUTRAL
    item = raw_item(item_id, **{"first_seen_at": at, "published_at": at, **raw})
    return ScoredItem(item=item, origin=origin, source_name=origin, official=official, terms=terms_of(*terms),
                      weight=1.0, sentiment=Sentiment(polarity, 0.9))


def scored_batch(*items: ScoredItem, subject: str = "polling", book: str = "b" * 16) -> ScoredBatch:
    return ScoredBatch(subject=subject, book=book, items=items)


def levels(**changes: Any) -> Levels:
    """The starting levels: items / independent sources / window."""
    values: dict[str, Any] = {
        "ladder": (
            Level(name="一般", response="三级响应", enter=(Threshold(items=3, sources=2, window=HOUR),)),
            Level(name="较大", response="二级响应", enter=(Threshold(items=10, sources=4, window=2 * HOUR),)),
            Level(name="重大", response="一级响应", enter=(Threshold(items=30, sources=8, window=3 * HOUR),)),
        ),
        "overrides": (LevelOverride(subject="*", enter={"一般": (Threshold(items=8, sources=4, window=2 * HOUR),)}),),
        "events": EventRules(),
        **changes}
    return Levels(**values)


def roster() -> Roster:
    people = tuple(Person(id=who, name=name, channels=("console",)) for who, name in (
        ("duty-a", "值班员甲"), ("leader-a", "带班领导"), ("ops-a", "运维")))
    teams = (
        Team(id="duty", name="值班组", shifts=(Shift(members=("duty-a",)),)),
        Team(id="leaders", name="领导小组", shifts=(Shift(members=("leader-a",)),)),
        Team(id="ops", name="运维组", shifts=(Shift(members=("ops-a",)),)),
    )
    return Roster(people=people, teams=teams, fallback="leader-a")


def routes() -> tuple[Route, ...]:
    return (
        Route(id="major", levels=("重大",), repeat=10 * MINUTE,
              steps=(Step(tell=("duty",)), Step(tell=("leaders",), after=5 * MINUTE))),
        Route(id="larger", levels=("较大",), steps=(Step(tell=("duty",)), Step(tell=("leaders",), after=15 * MINUTE))),
        Route(id="general", mode=RouteMode.DIGEST, steps=(Step(tell=("duty",)),), hours="09:00-18:00", every=HOUR),
    )


def book(**changes: Any) -> RuleBook:
    values: dict[str, Any] = {
        "sources": (Source(id="xinwen", name="新闻网", url="http://xinwen.example/rss", origin="xinwen.example"),),
        "subjects": (Subject(id="polling", title="投票时间地点", owner="值班室", reason="投票日", expires="2036-12-31",
                             terms=(Term(text="投票站"), Term(text="投票"))),),
        "sentiment": SentimentRules(), "levels": levels(), "roster": roster(),
        "channels": (Channel(id="console", type=ChannelType.CONSOLE),), "routes": routes(), "hash": "b" * 16,
        **changes}
    return RuleBook(**values)
