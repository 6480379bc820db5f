"""On-call's day: a page comes by WeCom, nobody answers, the next one is told by DingTalk and answers on the phone page.
The level rises and pages again, the office's word stops clocks, a drill is scored; a real Alertmanager knows it all."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents import cli
from agents.clock import Clock
from tests.agents.test_alertmanager_real import alertmanager, known
from tests.channel_servers import DingTalkRobot, WecomRobot, strings
from tests.desk.test_browser import CHROMIUM, FLAGS
from tests.faults.test_collecting_as_a_user import XML, Town
from tests.feed_servers import Site, reply, site
from tests.kafka.broker import Broker, until
from tests.kafka.installation import ROOT
from tests.ports import free_port
from tests.servers import missing

pytestmark = [
    pytest.mark.embedded, pytest.mark.browser, pytest.mark.alertmanager, pytest.mark.fault,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]

FACTOR = 60
"""A minute lasts a second."""
HOST = "desk.wenxun.test"
PLACES = ("forum", "group", "blog", "paper", "radio", "office")
PASSWORD = "a long enough test password"
SUBJECT = "polling-place"

CHANNELS = """\
channels:
  - {id: console, type: console}
  - {id: wecom-duty, type: wecom-bot, url_file: secrets/wecom.url}
  - {id: dingtalk-leaders, type: dingtalk-bot, url_file: secrets/dingtalk.url, secret_file: secrets/dingtalk.key}
  - {id: alertmanager, type: alertmanager, url: "%s", resend: 5s}
"""
ROSTER = """\
people:
  - {id: duty-day, name: 值班员, channels: [wecom-duty, alertmanager], wecom: zhiban, account: li}
  - {id: leader, name: 带班领导, channels: [dingtalk-leaders], mobile: "13800000000"}
  - {id: engineer, name: 系统运维, channels: [console]}
teams:
  - {id: duty, name: 值班组, shifts: [{members: [duty-day]}]}
  - {id: leaders, name: 领导班子, shifts: [{members: [leader]}]}
  - {id: ops, name: 运维组, shifts: [{members: [engineer]}]}
fallback: leader
ops: ops
"""
ROUTES = """\
routes:
  - {id: major, levels: [重大], lead: leaders, steps: [{tell: [duty]}, {tell: [leaders], after: 5m}], repeat: 30m}
  - {id: larger, levels: [较大], steps: [{tell: [duty]}, {tell: [leaders], after: 5m}]}
  - {id: ordinary, levels: [一般], mode: digest, steps: [{tell: [duty]}], hours: "00:00-00:00", every: 24h}
"""
RUMOUR = "城东投票站下午三点截止"
RISE = tuple((place, f"{start}{RUMOUR}{end}") for place, start, end in (
    ("forum", "网传", ""), ("group", "", "是真的吗"), ("blog", "听说", ""),
    ("forum", "求证：", ""), ("group", "有人知道吗，", ""), ("blog", "", "，大家当心")))
SPREAD = tuple((place, f"{start}{RUMOUR}{end}") for place, start, end in (
    ("paper", "", "？记者求证"), ("radio", "听众问", ""), ("forum", "还在传", ""), ("paper", "再问", ""),
    ("radio", "", "，居民着急"), ("group", "转发：", ""), ("blog", "又见", "的说法")))
OFFICIAL = ("office", "县选举办：城东投票站开放到晚上八点")
PAGE = re.compile(rf"http://{HOST}:\d+/a/[\w-]+")


@dataclass
class Feeds:
    """What each place has published."""

    now: Callable[[], int]
    posts: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: {place: [] for place in PLACES})
    sites: dict[str, Site] = field(default_factory=dict)

    async def open(self, stack: AsyncExitStack) -> None:
        for place in PLACES:
            self.sites[place] = await stack.enter_async_context(site())
            self.sites[place].answers = {"/rss": [self._answer(place)]}

    def _answer(self, place: str) -> Any:
        async def write(writer: asyncio.StreamWriter) -> None:
            items = "".join(
                f"<item><title>{title}</title><link>http://{place}.example/{number}</link><guid>{number}</guid>"
                f"<description>投票站几点截止，{title}</description><pubDate>{formatdate(at / 1000)}</pubDate></item>"
                for number, (title, at) in enumerate(self.posts[place]))
            feed = f'<?xml version="1.0"?><rss version="2.0"><channel><title>{place}</title>{items}</channel></rss>'
            writer.write(reply(200, feed.encode(), XML))
            await writer.drain()
        return write

    async def heard(self) -> bool:
        return all(len(one.asked) > 1 for one in self.sites.values())

    def publish(self, *posts: tuple[str, str]) -> None:
        for place, title in posts:
            self.posts[place].append((title, self.now()))


class Office(Town):
    """`wenxun up` and the commands that people type beside it: in this process, for a process a command takes long."""

    capture: pytest.CaptureFixture[str]

    def environ(self, **more: str) -> dict[str, str]:
        environ = super().environ(WENXUN_TICK_SECONDS="0.5", **more)
        del environ["KAFKA_BOOTSTRAP_SERVERS"], environ["WENXUN_EMBEDDED"]
        environ["WENXUN_EXTERNAL_URL"] = f"http://{HOST}:{self.desk.rpartition(':')[2]}"
        return environ

    def up(self) -> None:
        self.ports.append(free_port())
        environ = self.environ(WENXUN_METRICS_BIND=f"127.0.0.1:{self.ports[-1]}")
        with (self.folder / "up.log").open("wb") as file:
            self.processes.append(subprocess.Popen([sys.executable, "-m", "agents", "up"], cwd=ROOT, env=environ,
                                                   stdout=file, stderr=file))

    async def wenxun(self, *line: str, code: int = 0, **more: str) -> str:
        self.capture.readouterr()
        ended = await asyncio.to_thread(cli.main, list(line))
        said = "".join(self.capture.readouterr())
        assert ended == code, f"{line} ended with {ended}: {said}"
        return said

    async def json(self, *line: str) -> Any:
        return json.loads(await self.wenxun(*line, "--format", "json"))


@dataclass
class Watch:
    """An installation on duty, and the world around it."""

    office: Office
    feeds: Feeds
    wecom: WecomRobot
    ding: DingTalkRobot
    alertmanager: str

    async def come(self, true: Callable[[], Any], what: str, seconds: float = 180) -> None:
        try:
            await until(true, seconds, what)
        except AssertionError as error:
            told = json.dumps([self.wecom.taken, self.ding.taken], ensure_ascii=False)[-4000:]
            raise AssertionError(f"{error}\n{told}\n{self.office.said()}") from None

    async def told(self, robot: WecomRobot | DingTalkRobot, *words: str) -> str:
        """The first message of a robot with all these words."""
        def found() -> list[str]:
            texts = ("\n".join(strings(each)) for each in robot.taken if "text" not in each)
            return [text for text in texts if all(word in text for word in words)]

        async def there() -> bool:
            return bool(found())

        await self.come(there, f"a message with {words}")
        return found()[0]

    async def stands(self, event: str, *words: str) -> str:
        """What `wenxun event show` says, once all these expressions are found in it."""
        said = ""

        async def holds() -> bool:
            nonlocal said
            said = await self.office.wenxun("event", "show", event)
            return all(re.search(word, said) for word in words)

        await self.come(holds, f"{event}: {words}")
        return said

    async def alerts(self, *levels: str, event: str) -> None:
        """Until Alertmanager has the event's alert at this level and at no other; without a level: none."""
        async def holds() -> bool:
            return [each["labels"]["level"] for each in await known(self.alertmanager)
                    if each["labels"].get("event") == event] == list(levels)

        await self.come(holds, f"Alertmanager has {event} as {levels}")


@pytest.fixture
async def watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[Watch]:
    if CHROMIUM is None:
        missing("browser", "Chromium is not installed")
    async with AsyncExitStack() as stack:
        office = Office(Broker(tmp_path), tmp_path)
        office.capture = capsys
        now = Clock().now()
        office.clock = f"{now}/{now}/{FACTOR}"
        feeds = Feeds(Clock.parse(office.clock).now)
        await feeds.open(stack)
        real = Clock().now
        wecom = await stack.enter_async_context(WecomRobot(clock=real))
        ding = await stack.enter_async_context(DingTalkRobot(clock=real))
        base = await stack.enter_async_context(alertmanager(tmp_path))
        office.allow = ",".join([*(entry for each in feeds.sites.values() for entry in each.allow),
                                 f"127.0.0.1:{wecom.port}", f"127.0.0.1:{ding.port}", base.removeprefix("http://")])
        for name, value in office.environ().items():
            monkeypatch.setenv(name, value)
        on_duty = Watch(office, feeds, wecom, ding, base)
        _write_rules(tmp_path / "rules", on_duty)
        try:
            yield on_duty
        finally:
            office.end()


def _write_rules(rules: Path, watch: Watch) -> None:
    """As an operator changes what `wenxun init` wrote."""
    secrets = rules / "secrets"
    secrets.mkdir(mode=0o700)
    for name, text in (("wecom.url", f"http://127.0.0.1:{watch.wecom.port}{WecomRobot.PATH}"),
                       ("dingtalk.url", f"http://127.0.0.1:{watch.ding.port}{DingTalkRobot.PATH}"),
                       ("dingtalk.key", DingTalkRobot.SECRET)):
        (secrets / name).write_text(text + "\n")
        (secrets / name).chmod(0o600)
    sources = "".join(
        f"  - {{id: {place}, name: {place}网, url: '{one.url('/rss')}', origin: {place}.example, group: 论坛,"
        f" interval: 1m{', official: true' if place == 'office' else ''}}}\n"
        for place, one in watch.feeds.sites.items())
    for name, text in (("channels", CHANNELS % watch.alertmanager), ("roster", ROSTER), ("routes", ROUTES),
                       ("sources", f"sources:\n{sources}")):
        (rules / f"{name}.yml").write_text(text, "utf-8")
    _edit(rules / "levels.yml", "{items: 10, sources: 4, window: 2h}", "{items: 6, sources: 3, window: 2h}")
    _edit(rules / "levels.yml", "{items: 30, sources: 8, window: 3h}", "{items: 12, sources: 5, window: 3h}")
    for path in (*rules.glob("subjects/*.yml"), *rules.glob("tests/*.test.yml")):
        if path.name.split(".")[0] != SUBJECT:
            path.unlink()
    drill = rules / "drills" / "closing-time-rumour.yml"        # a minute is a second here
    asked = "targets: {event: 2h, levels: {较大: 2h}, page: 2h, ack: 5h, statement: 6h}\n"
    drill.write_text(drill.read_text("utf-8").partition("targets:")[0] + asked, "utf-8")


def _edit(path: Path, before: str, after: str) -> None:
    text = path.read_text("utf-8")
    assert before in text, f"{path.name}: {before}"
    path.write_text(text.replace(before, after), "utf-8")


async def test_on_call_gets_the_page_answers_it_and_everything_is_accounted_for(watch: Watch, tmp_path: Path) -> None:
    await _before_it_runs(watch)
    watch.office.up()
    await watch.office.ready()
    await watch.come(watch.feeds.heard, "every source was polled: what comes now is news")
    event = await _a_page_that_nobody_answers(watch)
    await _answered_on_a_phone(watch, event, tmp_path / "phone.png")
    await _raised(watch, event)
    await _stopped_clocks(watch, event)
    await _drill(watch)
    await _held_back(watch)
    await _closed(watch, event)
    await _accounts(watch, event)


async def _before_it_runs(watch: Watch) -> None:
    office = watch.office
    assert "规则没有问题" in await office.wenxun("rules", "check")
    said = await office.wenxun("routes", "test", "--level", "重大", "--subject", SUBJECT, "--at", "2026-12-01 03:00")
    assert re.search(r"03:00 .*\n +值班组：值班员（wecom-duty；alertmanager）\n", said), said
    assert re.search(r"03:05 .*\n +领导班子：带班领导（dingtalk-leaders）\n", said), said
    await office.wenxun("db", "upgrade")
    for name in ("li", "chen"):
        await office.wenxun("user", "add", name, "--role", "duty", "--password-file", str(office.folder / "password"))
    for channel in ("wecom-duty", "dingtalk-leaders"):
        said = await office.wenxun("notify", "test", "--channel", channel)
        assert "已确认收到测试消息" in said and f"告警里会带链接，以 http://{HOST}" in said
    assert all("【测试】" in "".join(strings(each)) for each in (*watch.wecom.taken, *watch.ding.taken))
    assert watch.wecom.taken and watch.ding.taken


async def _a_page_that_nobody_answers(watch: Watch) -> str:
    """The event's number."""
    watch.feeds.publish(*RISE)
    page = await watch.told(watch.wecom, "【较大】")
    event: str = re.findall(r"E-\d{4}", page)[0]
    for words in (RUMOUR, "达到较大", "首次权威回应 还剩", "第 1 次通知，请确认", "原文"):
        assert words in page, page
    mention = next(each for each in watch.wecom.taken if event in "".join(strings(each)))
    assert mention["msgtype"] == "text" and mention["text"]["mentioned_list"] == ["zhiban"], "before the card"
    await watch.alerts("较大", event=event)
    second = await watch.told(watch.ding, "【较大】", event, "第 2 次通知，前一位未确认")
    assert "@13800000000" in second and PAGE.search(second)
    rows = await watch.office.json("deliveries", "list", "--event", event)
    first, then = (min(datetime.fromisoformat(row["decided_at"]) for row in rows if row["person"] == person)
                   for person in ("duty-day", "leader"))
    assert then - first >= timedelta(minutes=5), "not before it is due"
    return event


async def _answered_on_a_phone(watch: Watch, event: str, picture: Path) -> None:
    from playwright.async_api import async_playwright

    link = PAGE.findall(await watch.told(watch.ding, "【较大】", event))[0]
    async with httpx.AsyncClient(trust_env=False) as preview:      # a chat program's, as its server would
        here = link.replace(HOST, "127.0.0.1")
        answers = [await preview.get(here, headers={"Host": link.split("/")[2]}, follow_redirects=True) for _ in (1, 2)]
    assert {each.status_code for each in answers} == {200}
    assert "已确认" not in await watch.office.wenxun("event", "list"), "a look answers nothing"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, f"--host-resolver-rules=MAP {HOST} 127.0.0.1"])
        page = await (await browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False,
                                                locale="zh-CN")).new_page()
        await page.goto(link)
        await page.fill("#name", "chen")                           # a group's link: who is it
        await page.fill("#password", PASSWORD)
        await page.click("button[type=submit]")
        await page.get_by_role("button", name="确认，由我处理").wait_for()
        assert event in await page.title()
        await page.screenshot(path=picture, full_page=True)
        await page.get_by_role("button", name="确认，由我处理").click()
        await page.get_by_text("已提交确认").first.wait_for()
        await watch.stands(event, "chen", "已确认")
        await page.goto(link)                                      # the same link again
        again = await page.inner_text("body")
        assert "chen" in again and await page.get_by_role("button", name="确认，由我处理").count() == 0
        await browser.close()
    assert picture.stat().st_size > 10_000


async def _raised(watch: Watch, event: str) -> None:
    watch.feeds.publish(*SPREAD)
    page = await watch.told(watch.wecom, "【重大】", event)
    assert "较大 → 重大" in page and re.search(r"chen \d\d:\d\d 确认", page), "what was done is in the new page"
    await watch.stands(event, rf"^{event} 重大 .*；(待确认|无人应答)，")        # an answer of before counts no more
    await watch.alerts("重大", event=event)
    await watch.office.wenxun("event", "ack", event, "--as", "li", "--note", "已联系选举办")
    await watch.stands(event, "li", "已确认")
    said = await watch.office.wenxun("event", "ack", event, "--as", "chen", code=2)
    assert "li 已经确认" in said


async def _stopped_clocks(watch: Watch, event: str) -> None:
    watch.feeds.publish(OFFICIAL)
    said = await watch.stands(event, "待确认的官方内容", OFFICIAL[1])
    item = re.findall(r"编号 ([0-9a-f]{20})）", said)[0]
    await watch.office.wenxun("event", "statement", event, "--item", item, "--as", "li")
    await watch.stands(event, "时限 首次权威回应 已完成", "li 登记了官方回应", "时限 新闻发布 还剩")
    await _stated_on_the_desk(watch, event)
    said = await watch.stands(event, "时限 新闻发布 已完成", "chen 登记了官方回应")
    assert "时限 政务舆情回复 还剩" in said


async def _stated_on_the_desk(watch: Watch, event: str) -> None:
    base = f"http://{watch.office.desk}"
    async with httpx.AsyncClient(base_url=base, trust_env=False, follow_redirects=True) as desk:
        form = _form((await desk.get("/login")).text)
        await desk.post("/login", data={**form, "name": "chen", "password": PASSWORD})
        page = (await desk.get(f"/events/{event}")).text
        action = re.findall(r'action="(/events/[0-9a-f]+/statement)"', page)[0]
        answer = await desk.post(action, data={**_form(page), "url": "https://www.county.example/news/1",
                                               "title": "新闻发布会", "clock-briefing": "yes"})
        assert answer.status_code == 200, answer.text


def _form(page: str) -> dict[str, str]:
    return {"csrf": re.findall(r'name="csrf" value="([^"]+)"', page)[0]}


async def _drill(watch: Watch) -> None:
    office = watch.office
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agents", "drill", "run", "closing-time-rumour", "--yes", "--as", "li", cwd=ROOT,
        env=office.environ(), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
    try:
        page = await watch.told(watch.wecom, "【演练】【较大】")
        number = re.findall(r"D-\d{4}", page)[0]
        assert "不是真实事件" in page

        async def listed() -> bool:
            return number in await office.wenxun("event", "list", "--drills")

        await watch.come(listed, f"the archive has {number}")
        await office.wenxun("event", "ack", number, "--as", "li")
        await office.wenxun("event", "statement", number, "--text", "投票站开放到晚上八点", "--as", "li")
        sheet = (await asyncio.wait_for(running.communicate(), 180))[0].decode()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert running.returncode == 0, sheet
    assert "目标 5 项，做到 5 项" in sheet and sheet.count("✓") == 10, sheet       # as they come, and the sheet
    for each in (*watch.wecom.taken, *watch.ding.taken):
        said = PAGE.sub("", "\n".join(strings(each)))
        assert bool(re.search(r"\bD-\d{4}", said)) == ("【演练】" in said), said
    assert "D-" not in await office.wenxun("event", "list", "--all") and "D-" not in await office.wenxun("handover")
    assert number in await office.wenxun("event", "list", "--drills")


async def _held_back(watch: Watch) -> None:
    line = ("silence", "add", "--for", "2h", "--reason", "供水检修", "--subject", SUBJECT, "--as", "li")
    assert "--even-highest" in await watch.office.wenxun(*line, code=2)
    await watch.office.wenxun(*line, "--level", "一般")

    async def listed() -> bool:
        return "供水检修" in await watch.office.wenxun("silence", "list")

    await watch.come(listed, "the silence is listed")
    assert "供水检修" in await watch.office.wenxun("handover")


async def _closed(watch: Watch, event: str) -> None:
    for channel, words in (("wecom-duty", "［提醒 zhiban］"), ("dingtalk-leaders", "@13800000000"),
                           ("alertmanager", '"alertname": "WenxunEvent"')):
        said = await watch.office.wenxun("notify", "preview", "--channel", channel, "--event", event)
        assert words in said and event in said and "什么也没有发送" in said
    said = await watch.office.wenxun("event", "close", event, "--reason", "不相关", "--as", "li")
    assert "已提交关闭" in said
    await watch.stands(event, "已关闭", "时限 政务舆情回复 已停止")
    await watch.alerts(event=event)
    said = await watch.office.wenxun("event", "ack", event, "--as", "li", code=2)
    assert "事件已由 li 关闭" in said


async def _accounts(watch: Watch, event: str) -> None:
    async def settled() -> bool:
        return not await watch.office.json("deliveries", "list", "--status", "pending")

    await watch.come(settled, "every message has an end")
    said = await watch.office.wenxun("deliveries", "audit")
    assert "账目相符" in said and "未能送达 0" in said
    said = await watch.office.wenxun("handover")
    assert event in said.partition("本班平息或关闭")[2]
    assert watch.office.processes[0].poll() is None
    log = (watch.office.folder / "up.log").read_text("utf-8")
    assert "Traceback" not in log
    for secret in (WecomRobot.KEY, DingTalkRobot.TOKEN, DingTalkRobot.SECRET, "/a/"):
        assert secret not in log
