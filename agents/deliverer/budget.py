"""Too many alerts: ops is told once per level and day when people were paged for more of them than the budget allows.

Counted from the ledger: alerts that paged somebody since midnight, by the installation's clock and zone, without
drills. What a silence or quiet hours held back paged nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Engine, func, select

from agents.deliverer.parcel import SUPPRESSED, parcel_of
from agents.notices import system_notice
from agents.store.schema import outbox
from pipeline.errors import CodecError
from pipeline.model import Escalation, EscalationKind, Millis
from pipeline.notify.safe import line
from pipeline.rulebook.schema import RuleBook

SHOWN = 5
"""Subjects that a notice names."""


def notices(
    engine: Engine, book: RuleBook, now: Millis, zone: ZoneInfo, paged: Mapping[int, int] | None = None
) -> list[Escalation]:
    """A notice for every level over its budget today. The same level and day give the same notice; blocking.

    paged: what `today` says, where it was asked for already.
    """
    if not book.budget:
        return []
    day, paged = midnight(now, zone), today(engine, now, zone) if paged is None else paged
    names = {rank: level.name for rank, level in enumerate(book.levels.ladder, 1)}
    return [
        _notice(engine, book, rank, names[rank], count, day, now)
        for rank, count in sorted(paged.items(), reverse=True)
        if names.get(rank) in book.budget and count > book.budget[names[rank]]]


def midnight(now: Millis, zone: ZoneInfo) -> Millis:
    """When the day began there."""
    moment = datetime.fromtimestamp(now / 1000, zone)
    return int(moment.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


def today(engine: Engine, now: Millis, zone: ZoneInfo) -> dict[int, int]:
    """Rank of a level -> alerts of it that paged somebody since the day began there; blocking."""
    table = outbox.c
    with engine.connect() as connection:
        found = connection.execute(
            select(table.level, func.count(table.alert_id.distinct()))
            .where(*_paged(midnight(now, zone), now)).group_by(table.level))
        return {int(level): int(count) for level, count in found}


def _paged(since: Millis, now: Millis) -> tuple[ColumnElement[bool], ...]:
    table = outbox.c
    held = (table.status == SUPPRESSED) & (table.suppressed_by.like("silence:%") | (table.suppressed_by == "quiet"))
    return (table.decided_at >= since, table.decided_at <= now, table.kind == EscalationKind.PAGE.value,
            table.alert_id != "", table.drill.is_(False), ~held)


def _notice(
    engine: Engine, book: RuleBook, rank: int, name: str, count: int, day: Millis, now: Millis
) -> Escalation:
    """Its text says the count at the time it is first sent: later ones have the same id and are not sent again."""
    told = "、".join(f"{line(title)} {times} 个" for title, times in _subjects(engine, book, rank, day, now))
    return system_notice(
        key=f"deliver:budget:{rank}", episode=day, at=now, title=f"今天的{line(name)}告警超出预算",
        text=f"今天已有 {count} 个{line(name)}告警，预算是每天 {book.budget[name]} 个。最多的规则：{told or '不详'}。"
             "告警照常发送。请看这些规则是否过宽（wenxun rules backtest），或调高 levels.yml 的阈值、"
             "routes.yml 的 budget。")


def _subjects(
    engine: Engine, book: RuleBook, rank: int, since: Millis, now: Millis
) -> list[tuple[str, int]]:
    """Titles of the subjects that most of the level's alerts are about."""
    titles = {subject.id: subject.title for subject in book.subjects}
    with engine.connect() as connection:
        rows = connection.execute(
            select(outbox).where(*_paged(since, now), outbox.c.level == rank).order_by(outbox.c.id)).mappings().all()
    by_alert: dict[str, str] = {}
    for row in rows:
        try:
            head = parcel_of(row).record().head
        except CodecError:
            continue
        if head is not None:
            by_alert[row["alert_id"]] = head.subject
    counted = Counter(titles.get(subject, "未归类话题" if subject == "*" else subject) for subject in by_alert.values())
    return counted.most_common(SHOWN)
