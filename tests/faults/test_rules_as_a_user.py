"""An operator breaks and mends the shipped rules, adds a subject, proves it on what was collected, tries it in shadow,
lets it live, judges it, confirms a change of the levels and rolls back; one process runs through all of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents import cli
from agents.clock import Clock
from agents.embedded import embedded_broker
from pipeline import topics
from pipeline.model import Delivery, Escalation, RawBatch
from tests.builders import raw_item
from tests.faults.test_collecting_as_a_user import Town
from tests.kafka.broker import Broker, until

pytestmark = [pytest.mark.embedded, pytest.mark.fault]

RULE = """\
# yaml-language-server: $schema=../schema/subject.json
id: shuttle
title: 接送车
owner: 综合保障组
reason: 班次变了没人知道，会有人在路边白等
expires: never
terms:
  - near: {words: [接送车, 停开], within: 10, ordered: true}   # 哪一趟停开
exclude: [婚庆, {near: {words: [停开, 谣言], within: 12}}]
"""
CASES = """\
# yaml-language-server: $schema=../schema/test.json
cases:
  - name: 停开了
    items: [{source: 甲, title: 南河村接送车今天停开, subjects: [shuttle]}]
  - name: 次序反了、隔得远、在别的行当里，都不算
    items:
      - {source: 甲, title: 停开的是食堂，接送车照常, subjects: []}
      - {source: 甲, title: 接送车在村口等，路边的小吃摊今天都停开了, subjects: []}
      - {source: 甲, title: 婚庆公司的接送车停开, subjects: []}
"""
BROKEN = (
    ("polling-place.yml", "threshold: 1", "treshold: 1", r"polling-place\.yml:\d+:1: treshold: .*是不是 threshold"),
    ("registration.yml", "  - 选民登记", "\t- 选民登记", r"registration\.yml:\d+:1: .*Tab.*改用空格"),
    ("fraud-warning.yml", "{list: entertainment}", "{list: entertainmnt}",
     r"fraud-warning\.yml:\d+:\d+: .*entertainmnt.*是不是 entertainment"),
    ("safety.yml", "threshold: 2", "threshold: 50", r"safety\.yml:\d+:\d+: threshold: .*写成 threshold: \S+ 或更低"),
    ("weather-traffic.yml", "- 暴雨", "- {regex: '(暴雨'}", r"weather-traffic\.yml:\d+:\d+: .*regex: .*补上 \)"),
)
"""A file of rules/subjects, what is there, what is saved instead, and what the operator is told to write."""
STORIES = {"南河村接送车今天停开": "渡口轮渡检修，船工说后天恢复，乡亲只能绕路",
           "北山敬老院老人等了一上午，接送车因塌方停开": "隧道口落石，大货车堵住，护理员打电话问了镇里"}
"""Two titles with texts of their own: two events."""


@dataclass
class Operator:
    """Commands in the installation's folder, the desk's API, and what comes in meanwhile."""

    town: Town
    desk: httpx.AsyncClient
    capture: pytest.CaptureFixture[str]
    sent: int = 0

    @property
    def rules(self) -> Path:
        return self.town.folder / "rules"

    async def wenxun(self, *line: str, code: int = 0) -> str:
        """What a command prints."""
        self.capture.readouterr()
        ended = await asyncio.to_thread(cli.main, list(line))
        said = "".join(self.capture.readouterr())
        assert ended == code, f"{line} ended with {ended}: {said}"
        return said

    async def stand(self) -> dict[str, Any]:
        answer = await self.desk.get("/rules")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def stands(self, true: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        async def holds() -> bool:
            return true(await self.stand())

        await self.come(holds, what)
        return await self.stand()

    async def come(self, true: Callable[[], Any], what: str) -> None:
        try:
            await until(true, 180, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.town.said()}") from None

    async def run_by_all(self, hash: str) -> dict[str, Any]:
        """Until this book is in force and every worker says that it runs it."""
        return await self.stands(lambda found: found["book"] == hash and all(
            each["book"].startswith(hash) for each in found["workers"]), f"book {hash} at work")

    async def told(self, times: int = 1) -> None:
        """Each story is told so many times by each of four sources."""
        at = Clock().now()
        batches = []
        for title, text in STORIES.items():
            for number in range(4 * times):
                self.sent += 1
                host = f"s{number % 4}"
                item = raw_item(f"{self.sent:020x}", source_id=host, first_seen_at=at, published_at=at,
                                url=f"http://{host}.example/{self.sent}", title=title, text=f"{text}，第{self.sent}条")
                batches.append((topics.ITEMS_RAW, item.source_id, RawBatch(
                    source_id=item.source_id, polled_at=at, items=(item,))))
        await self.town.send(*batches)

    async def figures(self, key: str) -> dict[str, Any]:
        return next(each for each in (await self.stand())["subjects"] if each["key"] == key)

    async def pages(self, shadow: bool) -> set[str]:
        """Ids of what was decided to be sent about this rule's events."""
        return {each.id for each in await self.town.read(topics.ESCALATIONS)
                if isinstance(each, Escalation) and each.head is not None and each.shadow is shadow
                and each.head.subject.endswith("shuttle")}

    async def sent_to_people(self) -> set[str]:
        return {each.escalation_id for each in await self.town.read(topics.DELIVERIES) if isinstance(each, Delivery)}

    async def events(self, subject: str = "shuttle") -> list[dict[str, Any]]:
        """Those at a level."""
        query = {"subject": subject, "shadow": str(int(subject.startswith("~"))), "level": "1"}
        found: list[dict[str, Any]] = (await self.desk.get("/events", params=query)).json()["events"]
        return found


@pytest.fixture
async def operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[Operator]:
    with embedded_broker() as address:
        broker = Broker(tmp_path)
        broker.address = address
        town = Town(broker, tmp_path)
        town.clock = str(Clock())
        for name, value in town.environ().items():
            monkeypatch.setenv(name, value)
        assert cli.main(["db", "upgrade"]) == 0
        assert cli.main(["user", "add", "li", "--role", "duty", "--password-file", str(tmp_path / "password")]) == 0
        capsys.readouterr()
        assert cli.main(["token", "create", "--name", "t", "--account", "li", "--scope", "read,ack"]) == 0
        token = re.findall(r"wx_\S+|[A-Za-z0-9_-]{30,}", capsys.readouterr().out)[-1]
        try:
            town.start("all")
            await town.ready()
            async with httpx.AsyncClient(base_url=f"http://{town.desk}/api/v1", trust_env=False,
                                         headers={"Authorization": f"Bearer {token}"}) as desk:
                yield Operator(town, desk, capsys)
        finally:
            town.end()


async def test_an_operator_owns_the_rules(operator: Operator) -> None:
    first = await operator.stands(lambda found: bool(found["book"]), "the shipped book in force")
    process = operator.town.processes[0]
    await operator.told()                               # before there is a rule for it
    await _five_ways_broken_and_mended(operator, first)
    await _added_and_proved(operator)
    await _in_shadow(operator)
    await _live(operator)
    await _judged(operator)
    await _levels_confirmed(operator)
    await _sent(operator)
    last = await _rolled_back(operator, first["book"])
    assert process.poll() is None and len(operator.town.processes) == 1, "nothing was restarted"
    assert {each["name"] for each in last["workers"]} == {each["name"] for each in first["workers"]}
    assert json.loads(await operator.wenxun("rules", "workers", "--json"))


async def _five_ways_broken_and_mended(operator: Operator, first: dict[str, Any]) -> None:
    for name, right, wrong, _ in BROKEN:
        _edit(operator.rules / "subjects" / name, right, wrong)
    said = await operator.wenxun("rules", "check", code=1)
    for *_, message in BROKEN:
        assert re.search(message, said), said
    stands = await operator.stands(lambda found: len(found["problems"]) == 5, "five problems on the desk")
    assert stands["book"] == first["book"] and stands["in_force"] == first["in_force"]
    assert [re.search(message, "\n".join(stands["problems"])) is None for *_, message in BROKEN] == [False] * 5
    for name, right, wrong, _ in BROKEN:
        if name == "safety.yml":                        # the most that the message allows
            most = re.search(r"写成 threshold: (\S+) 或更低", said)
            assert most
            _edit(operator.rules / "subjects" / name, wrong, f"threshold: {most[1]}")
            await operator.wenxun("rules", "check", code=1)
            _edit(operator.rules / "subjects" / name, f"threshold: {most[1]}", right)
        else:
            _edit(operator.rules / "subjects" / name, wrong, right)
    assert "规则没有问题" in await operator.wenxun("rules", "check")
    stands = await operator.stands(lambda found: not found["problems"], "mended")
    assert stands["book"] == first["book"]


async def _added_and_proved(operator: Operator) -> None:
    draft = operator.town.folder / "draft"
    shutil.copytree(operator.rules, draft)
    (draft / "subjects" / "shuttle.yml").write_text(RULE, "utf-8")
    (draft / "tests" / "shuttle.test.yml").write_text(CASES.replace("停开, subjects: [shuttle]", "停开, subjects: []"),
                                                      "utf-8")
    said = await operator.wenxun("rules", "test", str(draft), code=1)
    assert "停开了" in said and "shuttle" in said, "a case that is wrong fails"
    (draft / "tests" / "shuttle.test.yml").write_text(CASES, "utf-8")
    await operator.wenxun("rules", "test", str(draft))

    async def collected() -> bool:
        return not any([await operator.town.behind("wenxun-archive", topic)
                        for topic in (topics.ITEMS_RAW, topics.ITEMS_SCORED)])

    await operator.come(collected, "what came is in the archive")
    said = await operator.wenxun("rules", "backtest", "--rules", str(draft), "--since", "1d", "--jobs", "1", "--json")
    found = json.loads(said)
    assert found["recommended"] and [
        (each["subject"], each["matches"], each["gained"], each["gained_titles"]) for each in found["rules"]] == [
        ("shuttle", [0, 8], 2, list(STORIES))], said
    for name in ("subjects/shuttle.yml", "tests/shuttle.test.yml"):
        text = (draft / name).read_text("utf-8")
        (operator.rules / name).write_text(text.replace("expires: never", "expires: never\nstatus: shadow  # 先看"))
    await operator.wenxun("rules", "test")


async def _in_shadow(operator: Operator) -> None:
    await operator.stands(lambda found: any(each["key"] == "~shuttle" for each in found["subjects"]), "in shadow")
    await operator.told(3)

    async def seen() -> bool:
        return [each["level"] for each in await operator.events("~shuttle")] == [2, 2]

    await operator.come(seen, "two events in shadow")
    assert {each["number"][:2] for each in await operator.events("~shuttle")} == {"S-"}
    assert await operator.events() == []

    async def counted() -> bool:
        found = await operator.figures("~shuttle")
        return (found["matches"]["day"], found["events"]["day"], found["pages"]["day"]) == (24, 2, 2)

    await operator.come(counted, "matches, events and pages beside the rule")
    assert len(await operator.pages(shadow=True)) == 2


async def _live(operator: Operator) -> None:
    await operator.wenxun("rules", "promote", "shuttle", "--yes")
    assert "status: live  # 先看" in (operator.rules / "subjects" / "shuttle.yml").read_text("utf-8")
    await operator.stands(lambda found: any(each["key"] == "shuttle" for each in found["subjects"]), "live")
    await operator.told()

    async def open() -> bool:
        return len(await operator.events()) == 2

    await operator.come(open, "two live events")


async def _judged(operator: Operator) -> None:
    async def ratio(share: float | None, judged: int) -> bool:
        found = await operator.figures("shuttle")
        return bool(found["judged"] == judged and found["false_positives"] == share)

    assert await ratio(None, 0), "nothing is said from too small a sample"
    matches = (await operator.desk.get("/rules/shuttle")).json()["matches"]
    for each in matches[:6]:
        answer = await operator.desk.post("/verdicts", json={
            "item": each["item_id"], "subject": "shuttle", "kind": "relevant"})
        assert answer.status_code == 202, answer.text
    await operator.come(lambda: ratio(0.0, 6), "six judged relevant")
    for event in await operator.events():
        await operator.wenxun("event", "verdict", event["number"], "not-relevant", "--note", "不是选举的车")
    await operator.come(lambda: ratio(2 / 8, 8), "the ratio moved")


async def _levels_confirmed(operator: Operator) -> None:
    levels = operator.rules / "levels.yml"
    _edit(levels, "confirm_above: 10", "confirm_above: 1")
    known = (await operator.stand())["book"]
    before = await operator.stands(lambda found: found["book"] != known, "asked sooner")
    _edit(levels, "enter: {items: 10, sources: 4,", "enter: {items: 4, sources: 4,")
    waits = await operator.stands(lambda found: bool(found["pending"]), "it waits")
    assert waits["book"] == before["book"] and waits["raise_count"] == 2
    assert {(each["previous"], each["level"]) for each in waits["raises"]} == {("一般", "较大")}
    said = await operator.wenxun("rules", "confirm", waits["pending"])
    assert "已生效" in said

    async def raised() -> bool:
        return [each["level"] for each in await operator.events()] == [2, 2]

    await operator.come(raised, "both raised")
    for each in await operator.events():
        event = (await operator.desk.get(f"/events/{each['number']}")).json()
        assert event["decision"]["why"] == "rules", event["why"]


async def _sent(operator: Operator) -> None:
    """The live pages are, those of the shadow never."""
    async def both() -> bool:
        return len(await operator.pages(shadow=False) & await operator.sent_to_people()) == 2

    await operator.come(both, "two pages are sent")
    assert not await operator.pages(shadow=True) & await operator.sent_to_people()


async def _rolled_back(operator: Operator, first: str) -> dict[str, Any]:
    said = await operator.wenxun("rules", "history")
    assert first in said and "待确认" in said and "已确认" in said
    await operator.wenxun("rules", "rollback", first, "--yes")
    assert not (operator.rules / "subjects" / "shuttle.yml").exists()
    return await operator.run_by_all(first)


def _edit(path: Path, before: str, after: str) -> None:
    """As an editor that writes a new file and renames it."""
    text = path.read_text("utf-8")
    assert before in text, f"{path.name}: {before}"
    part = path.with_name(f".{path.name}.swp")
    part.write_text(text.replace(before, after, 1), "utf-8")
    os.replace(part, path)
