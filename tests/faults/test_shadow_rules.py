"""A shadow rule in a whole installation: its event is shown, nothing of it is sent; promoted by a save, it alerts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import cli
from agents.clock import Clock
from agents.store import readmodel, rule_reads
from agents.store.engine import open_store
from agents.store.schema import outbox
from pipeline import codec, topics
from pipeline.model import Delivery, Escalation, EventHead, RawBatch
from tests.builders import raw_item
from tests.faults.test_killed_child import EmbeddedInstallation, _at
from tests.kafka.broker import until

pytestmark = [pytest.mark.embedded, pytest.mark.fault]
RULE = """\
id: kites
title: 风筝节
owner: 值班室
reason: 试一条规则
expires: never
status: shadow        # 先看看
terms: [风筝节改期]
"""


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedInstallation]:
    from agents.embedded import embedded_broker

    with embedded_broker() as address:
        found = EmbeddedInstallation(_at(address, tmp_path), tmp_path)
        (tmp_path / "rules" / "subjects" / "kites.yml").write_text(RULE, "utf-8")
        monkeypatch.setenv("WENXUN_RULES_DIR", str(tmp_path / "rules"))
        monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
        yield found


def told(first: int, count: int, text: str) -> list[tuple[str, str, RawBatch]]:
    """Items of ten sources that say the same, of now."""
    at = Clock().now()
    return [(topics.ITEMS_RAW, f"s{n % 10}", RawBatch(source_id=f"s{n % 10}", polled_at=at, items=(
        raw_item(f"{n:020x}", source_id=f"s{n % 10}", first_seen_at=at, published_at=at, title=text,
                 text=f"河滩公园的告示,第{n}条"),))) for n in range(first, first + count)]


async def heads(installation: EmbeddedInstallation, subject: str) -> list[EventHead]:
    return [each for each in await installation.read(topics.EVENTS)
            if isinstance(each, EventHead) and each.subject == subject and each.level == 3]


async def pages(installation: EmbeddedInstallation, shadow: bool) -> set[str]:
    return {each.id for each in await installation.read(topics.ESCALATIONS)
            if isinstance(each, Escalation) and each.head is not None and each.head.subject.endswith("kites")
            and each.shadow is shadow and each.level == 3}


def addressed(installation: EmbeddedInstallation) -> set[str]:
    """Ids of the escalations that deliver has in its ledger."""
    engine = open_store(f"sqlite:///{installation.folder / 'data' / 'wenxun.db'}")
    with engine.connect() as connection:
        found = connection.execute(outbox.select()).all()
    engine.dispose()
    return {codec.decode_as(Escalation, row.escalation.encode()).id for row in found}


async def test_a_shadow_rule_is_shown_and_never_sent_until_it_is_promoted(installation: EmbeddedInstallation) -> None:
    async def recorded() -> bool:
        return bool(await pages(installation, shadow=True))

    async def read_by_all() -> bool:
        return not any([await installation.behind(group, topics.ESCALATIONS)
                        for group in ("wenxun-deliver", "wenxun-archive")])

    async def archived() -> bool:
        return not await installation.behind("wenxun-archive", topics.EVENTS)

    parent = installation.up()
    try:
        await installation.send(*told(0, 60, "风筝节改期到哪一天"))
        await until(recorded, 180, f"a recorded page\n{installation.said()}")
        await installation.done(240, "wenxun-score", "wenxun-track", "wenxun-escalate")
        await until(read_by_all, 180, "read by deliver and archive")
        await until(archived, 180, "archived")
        shadow = await pages(installation, shadow=True)
        assert len(shadow) == 1 and not shadow & addressed(installation)
        assert await heads(installation, "kites") == []
        engine = open_store(f"sqlite:///{installation.folder / 'data' / 'wenxun.db'}")
        with engine.connect() as connection:
            shown, listed = readmodel.open_events(connection, shadow=True), readmodel.open_events(connection)
            figures = rule_reads.rule_figures(connection, Clock().now(), ["~kites"])["~kites"]
        engine.dispose()
        assert [(each.head.subject, each.head.level_name, each.head.short[:2]) for each in shown] == [
            ("~kites", "重大", "S-")]
        assert not any(card.head.shadow for card in listed)
        assert (figures.matches.day, figures.pages.day) == (60, 2), "较大, then 重大; 一般 is collected, not paged"

        assert cli.main(["rules", "promote", "kites", "--yes"]) == 0
        first, deadline = 1000, time.monotonic() + 180
        while not await heads(installation, "kites"):     # until the scorer has the saved rules
            assert time.monotonic() < deadline, installation.said()
            await installation.send(*told(first, 40, "风筝节改期到哪一天"))
            await installation.done(240, "wenxun-score", "wenxun-track", "wenxun-escalate")
            first += 100

        async def alerted() -> bool:
            return bool(await pages(installation, shadow=False) & addressed(installation))

        await until(alerted, 180, f"an alert that is sent\n{installation.said()}")
    finally:
        installation.down(parent)
    about = {each.escalation_id for each in await installation.read(topics.DELIVERIES) if isinstance(each, Delivery)}
    assert about and not about & await pages(installation, shadow=True)
    assert "E-" in (await heads(installation, "kites"))[0].short
