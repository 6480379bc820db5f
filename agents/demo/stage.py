"""Runs the demo: broker, sites, receiving page and terminal here, all roles in a child as `wenxun up` does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agents.demo import cast, scenario
from agents.demo.facts import Facts
from agents.demo.narrate import Narrator
from agents.demo.observer import Recording, Seen, watching
from agents.demo.props import GRACE_SECONDS, Props, prepare
from agents.demo.screen import Links, Screen, delays
from agents.demo.sites import Sites
from agents.demo.story import Story
from agents.demo.web import serving
from agents.embedded import PARTITIONS, embedded_broker
from agents.supervisor import Supervisor, only_instance
from pipeline.errors import WenxunError
from pipeline.model import Millis

START_SECONDS = 180.0
SETTLE_SECONDS = 20.0
STEP_SECONDS = 0.1
NEXT = "下一步：wenxun init my-rules，写好 my-rules/sources.yml 和 channels.yml，再运行 wenxun up --rules my-rules"


@dataclass(frozen=True, slots=True)
class Options:
    """leave: end with the day. by_hand: only the visitor answers the alert. speed: days per two minutes."""

    leave: bool = False
    by_hand: bool = False
    speed: float = 1.0
    record: Path | None = None
    data: Path | None = None


class StageError(WenxunError):
    """The demo cannot go on. The text says where its log is."""


class Left(Exception):
    """The visitor asked to leave."""


def run(options: Options) -> int:
    """0 when every expected step was seen, 1 when not, 130 when left before the end of the day."""
    day = scenario.load()
    folder = (options.data or Path("wenxun-data") / time.strftime("demo-%Y%m%d-%H%M%S")).absolute()
    with only_instance(folder), embedded_broker() as broker:
        if (folder / "rules").exists():
            raise StageError(f"{folder} 里已有一次演示，请换一个 --data 目录")
        props = prepare(day, folder, broker, options.speed, os.environ)
        return asyncio.run(Stage(options, props).run())


class Stage:
    def __init__(self, options: Options, props: Props) -> None:
        self._options, self._props = options, props
        self._facts = Facts()
        names = {person.id: person.name for person in props.book.roster.people}
        self._story = Story(props.scenario, self._facts, names)
        self._screen = Screen(props.scenario, props.book, self._facts)
        self._narrator = Narrator(props.scenario, props.book)
        self._left = False
        self._tasks: list[asyncio.Task[None]] = []
        self._child: asyncio.Task[int] | None = None

    async def run(self) -> int:
        self._listen()
        account = await asyncio.to_thread(cast.make_accounts, self._props.settings, _real())
        try:
            async with self._running():
                await self._day(account)
                code = self._judge()
                if not self._options.leave:
                    await self._stay()
                return code
        except Left:
            return 130

    # ---------------------------------------------------------------- what runs

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        props = self._props
        async with AsyncExitStack() as stack:
            stack.enter_context(self._screen)
            sites = Sites(props.scenario, props.ports, props.clock.now)
            await stack.enter_async_context(serving(sites, list(props.sites.values())))
            await stack.enter_async_context(serving(props.phone.app(), [props.phone_socket]))
            self._screen.say(f"数据目录  {props.folder}  （日志 demo.log，规则 rules/）", "dim")
            await stack.enter_async_context(self._roles())
            recording = None
            if self._options.record is not None:
                recording = stack.enter_context(Recording(self._options.record, PARTITIONS))
            batches = await stack.enter_async_context(watching(props.settings))
            stack.push_async_callback(self._end_tasks)
            self._tasks.append(asyncio.create_task(self._observe(batches, recording)))
            yield

    @asynccontextmanager
    async def _roles(self) -> AsyncIterator[None]:
        """All roles as `wenxun up` runs them: a child that is started again if it dies."""
        settings = self._props.settings
        with (self._props.folder / "demo.log").open("ab") as log:
            command = [sys.executable, "-m", "agents", "run", "--roles", "all"]
            supervisor = Supervisor(command, settings.environ, GRACE_SECONDS, log.fileno())
            self._child = asyncio.create_task(asyncio.to_thread(supervisor.run))
            try:
                yield
            finally:
                supervisor.stop()
                await asyncio.wait((self._child,), timeout=GRACE_SECONDS + 5)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _observe(self, batches: AsyncIterator[list[Seen]], recording: Recording | None) -> None:
        async for batch in batches:
            for seen in batch:
                if recording is not None:
                    recording.add(seen)
                for happening in self._facts.apply(seen.record):
                    self._story.see(happening, self._props.clock.now())
                    if line := self._narrator.line(happening):
                        self._screen.line(line)

    # ---------------------------------------------------------------- the day

    async def _day(self, account: cast.Account) -> None:
        story, clock, scene = self._story, self._props.clock, self._props.scenario
        self._screen.note("各角色启动中：采集、评分、追踪、升级、投递、归档、工作台、规则")
        if not await self._until(self._warm, START_SECONDS):
            raise self._failed(f"{START_SECONDS:g} 秒内没有等到全部站点的首次采集和评分")
        clock.open(_real())
        links = Links(f"{self._props.desk_url}/", f"{self._props.phone_url}/", account.name, account.password)
        self._screen.links(links)
        self._screen.note("告警要有人确认，公告要有人登记为回应：可以到工作台试一试" if self._options.by_hand
                          else "告警一会儿由演示代为确认，公告代为登记，也可以抢先到工作台去做")
        if not self._options.by_hand:
            self._tasks.append(asyncio.create_task(self._clerk(account)))
        await self._until(lambda: clock.now() >= scene.closes and story.complete() and story.settled()
                          or clock.now() >= clock.end)
        await self._until(story.settled, SETTLE_SECONDS)

    def _warm(self) -> bool:
        """What the sites had before the day is through the first stages: the day can begin."""
        return {"polled", "backfill"} <= self._story.marks.keys() and self._facts.scored >= len(self._facts.items)

    async def _clerk(self, account: cast.Account) -> None:
        clerk = cast.Clerk(self._props.settings, self._props.clock, self._story, self._facts, account.token)
        while True:
            if said := await clerk.act():
                self._screen.say(f"{scenario.clock_text(self._props.clock.now())}  人员  {said}", "bold")
            await asyncio.sleep(STEP_SECONDS)

    def _judge(self) -> int:
        """The table of the day, and the exit code."""
        self._screen.close()
        self._story.check(self._props.phone)
        self._screen.report(self._story, self._props.factor)
        if said := delays(self._facts, self._props.factor):
            self._screen.say(said)
        good = self._story.complete() and not self._story.faults
        if not good:
            self._screen.say(f"演示没有走完，日志在 {self._props.folder / 'demo.log'}", "bold red")
        return 0 if good else 1

    async def _stay(self) -> None:
        await self._end_tasks()
        desk, phone = self._props.desk_url, self._props.phone_url
        self._screen.say(f"工作台仍在 {desk}/ ，接收页仍在 {phone}/ ，按 Ctrl-C 结束。", "bold")
        self._screen.say(NEXT, "bold green")
        with suppress(Left):
            await self._until(lambda: False)

    # ---------------------------------------------------------------- waiting

    async def _until(self, reached: Callable[[], bool], seconds: float = float("inf")) -> bool:
        """Wait for it; False when the time is over. Raises Left, or what ended the child or a task."""
        deadline = time.monotonic() + seconds
        while not reached():
            if self._left:
                raise Left
            if time.monotonic() > deadline:
                return False
            self._look_after()
            self._screen.at(self._props.clock.now())
            await asyncio.sleep(STEP_SECONDS)
        return True

    def _look_after(self) -> None:
        assert self._child is not None
        if self._child.done():
            raise self._failed(f"角色进程已退出（{self._child.result()}）")
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    def _failed(self, what: str) -> StageError:
        log = self._props.folder / "demo.log"
        last = log.read_text("utf-8", "replace").splitlines()[-5:] if log.exists() else []
        return StageError("\n".join([f"{what}。日志：{log}", *last]))

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._leave)

    def _leave(self) -> None:
        self._left = True


def _real() -> Millis:
    return time.time_ns() // 1_000_000
