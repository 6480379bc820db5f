"""The terminal: lines as things happen, figures below them, and at the end a table of what happened."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agents.demo.facts import Facts
from agents.demo.narrate import Line
from agents.demo.scenario import Scenario, clock_text
from agents.demo.story import CHECKS, STEPS, Story
from pipeline.model import DeliveryStatus, EventHead, EventStatus, Millis
from pipeline.notify.wording import duration
from pipeline.rulebook.schema import RuleBook


@dataclass(frozen=True, slots=True)
class Links:
    desk: str
    phone: str
    account: str
    password: str


class Screen:
    """Plain lines when the output is not a terminal. Use `with`."""

    def __init__(self, scenario: Scenario, book: RuleBook, facts: Facts, console: Console | None = None) -> None:
        self._scenario, self._book, self._facts = scenario, book, facts
        self.console = console or _console()
        self._links: Links | None = None
        self._now = scenario.opens
        self._note = "正在启动"
        self._live = Live(self, console=self.console, refresh_per_second=5, transient=True)

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """No more figures: what is said from here on stays the last."""
        self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style=style), soft_wrap=True)

    def line(self, line: Line) -> None:
        text = Text(f"{clock_text(line.at)}  ", style="cyan")
        text.append(f"{line.mark}  ", style="bold")
        text.append(line.text, style=line.style)
        self.console.print(text, soft_wrap=True)

    def note(self, text: str) -> None:
        self._note = text

    def links(self, links: Links) -> None:
        self._links = links
        self.say(f"工作台  {links.desk}  账号 {links.account}  口令 {links.password}", "bold")
        self.say(f"接收页  {links.phone}  （值班手机，消息送到这里）", "bold")

    def at(self, now: Millis) -> None:
        self._now = now

    # ---------------------------------------------------------------- figures

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        day = self._scenario.closes - self._scenario.opens
        passed = min(day, max(0, self._now - self._scenario.opens))
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(width=5)
        head.add_column(ratio=1)
        head.add_row(Text(clock_text(self._now), style="bold cyan"), ProgressBar(total=day, completed=passed))
        parts: list[RenderableType] = [head, self._figures(), *self._events(), Text(self._note, style="dim")]
        if self._links:
            parts.append(Text(f"工作台 {self._links.desk}   接收页 {self._links.phone}", style="dim"))
        yield Panel(Group(*parts), title="云溪县 · 演示", border_style="blue")

    def _figures(self) -> Text:
        facts = self._facts
        sent = sum(each.status is DeliveryStatus.CONFIRMED for each in facts.deliveries.values())
        return Text(
            f"采集 {facts.polls} 次   条目 {len(facts.items)}   评分 {facts.scored}   事件 {len(facts.heads)}   "
            f"通知 {len(facts.escalations)}   送达 {sent}   死信 {len(facts.dead)}")

    def _events(self) -> list[Text]:
        raised = sorted((head for head in self._facts.heads.values() if head.number), key=lambda head: head.number)
        return [self._event(head) for head in raised[:4]]

    def _event(self, head: EventHead) -> Text:
        level = self._book.levels.ladder[head.level - 1] if head.level else None
        state = "已平息" if head.status is EventStatus.CALM else "处置中"
        text = Text(f"{head.short} ")
        text.append(f" {level.name if level else state} ", style=f"bold white on {level.color if level else '#2f7d4f'}")
        text.append(f" {head.title}  {head.items} 条 / {head.sources} 个来源")
        return text

    # ---------------------------------------------------------------- the end

    def report(self, story: Story, factor: float) -> None:
        self.console.print(_table(story, factor, notes=self.console.width >= 112))
        for check in CHECKS:
            fault = story.faults.get(check.id)
            said = f"✗ {check.title}：{fault}" if fault else f"✓ {check.title}"
            self.say(said, "red" if fault else "green")
        if order := story.faults.get("order"):
            self.say(f"✗ 先后不对：{order}", "red")
        for step in story.missing():
            self.say(f"✗ 没有看到：{step.title}", "bold red")


def _console() -> Console:
    """As wide as the terminal; wide enough for the table where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def _table(story: Story, factor: float, *, notes: bool) -> Table:
    table = Table(title="这一天发生了什么", title_justify="left", expand=False)
    widths = (("步骤", 28), ("演示时刻", 8), ("距首帖", 16), ("决定到送达", 10))
    for name, width in widths:
        table.add_column(name, justify="left" if name == "步骤" else "right", no_wrap=True, min_width=width)
    if notes:
        table.add_column("说明", overflow="ellipsis", no_wrap=True)
    first = min(post.at for post in story.scenario.posts if post.part.value == "rumour")
    for step in STEPS:
        mark = story.marks.get(step.id)
        if mark is None:
            table.add_row(Text(step.title, style="red"), Text("没有看到", style="red"))
            continue
        since = duration((mark.at - first) // 60_000 * 60_000) if mark.at >= first else ""
        lag = f"{mark.lag / factor / 1000:.2f} 秒" if mark.lag is not None else ""
        table.add_row(step.title, clock_text(mark.at), since, lag, *([mark.note] if notes else []))
    return table


def delays(facts: Facts, factor: float) -> str:
    """How long the chain took in real time, over all confirmed messages."""
    lags = sorted((each.at - each.decided_at) / factor for each in facts.deliveries.values()
                  if each.status is DeliveryStatus.CONFIRMED)
    if not lags:
        return ""
    middle = lags[len(lags) // 2]
    return f"决定到送达（真实时间）：中位 {middle:.0f} 毫秒，最长 {lags[-1]:.0f} 毫秒，共 {len(lags)} 条。"

