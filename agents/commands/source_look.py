"""What the commands of `wenxun sources` share: looking at addresses politely, the rule directory, what goes wrong."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import RuleBookError, SettingsError, WenxunError

if TYPE_CHECKING:
    from agents.feeds.checkup import Checkup, How
    from agents.feeds.parsing import ParsePool
    from agents.rule_edit import Edit
    from agents.settings import Settings
    from pipeline.rulebook.schema import RuleBook, Source

    Look = Callable[[str, How], Awaitable[Checkup]]

OK, FAILED = 0, 1
MAX_FILE = 15 * 1024**2


class SourceError(WenxunError):
    """An address, file or option that cannot be used."""


def settings_of(args: argparse.Namespace) -> Settings:
    from dataclasses import replace

    from agents.settings import Settings

    found = Settings.from_env(os.environ)
    return replace(found, rules_dir=args.rules) if args.rules else found


def book_if_any(settings: Settings) -> RuleBook | None:
    """The rule book, None where there is none to read: an address can be looked at without one."""
    from agents.rule_files import load_book

    try:
        return load_book(settings.rules_dir, settings.timezone)
    except RuleBookError:
        return None


def problems(error: RuleBookError) -> int:
    """Prints what is wrong in the rule directory; the exit code."""
    for problem in error.problems:
        print(problem, file=sys.stderr)
    print(f"共 {len(error.problems)} 处要改，sources.yml 没有改动。", file=sys.stderr)
    return FAILED


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def said(edit: Edit) -> list[str]:
    """What was added and what was there already, for people."""
    lines = [f"＋ {each.id}（{each.name}，{each.group}）{each.url}" for each in edit.added]
    return lines + [f"＝ 已经有了：{each.proposed.url}，就是 {each.present.id}（{each.present.name}）"
                    for each in edit.twins]


def written(settings: Settings) -> str:
    return f"已写入 {settings.rules_dir / 'sources.yml'}；正在运行的闻讯一秒内生效，不用重启。"


def edit_json(edit: Edit) -> dict[str, Any]:
    return {"added": [{"id": each.id, "name": each.name, "url": each.url, "group": each.group} for each in edit.added],
            "twins": [{"url": twin.proposed.url, "id": twin.present.id} for twin in edit.twins]}


@asynccontextmanager
async def looking(args: argparse.Namespace, settings: Settings) -> AsyncIterator[tuple[Look, ParsePool, How]]:
    """How to look at one address after another, politely: (look(url, how), parse processes, how to read `args`)."""
    from agents import outbound
    from agents.feeds.checkup import check
    from agents.feeds.hosts import Hosts
    from agents.feeds.parsing import ParsePool
    from agents.feeds.robots import Robots

    how = how_of(args, settings)
    async with outbound.feed_client(settings) as client, ParsePool() as parser:
        hosts, robots = Hosts(), Robots(client)

        async def look(url: str, how: How) -> Checkup:
            return await check(url, how, client=client, parser=parser, turns=hosts, robots=robots)
        yield look, parser, how


def how_of(args: argparse.Namespace, settings: Settings) -> How:
    """By the rule directory, if there is one that can be read, and by the options."""
    from dataclasses import replace

    from agents.clock import Clock
    from agents.feeds.checkup import How
    from agents.feeds.fetch import user_agent
    from pipeline.rulebook.checks import zone
    from pipeline.rulebook.schema import SourceFormat

    book = book_if_any(settings)
    known = known_source(book, getattr(args, "what", ""))
    if known is not None:
        args.what = known.url
    agent = user_agent(settings.contact, len(book.sources) if book else 1)
    how = How.of(book, known, Clock.parse(settings.clock).now(), agent)
    how = how if book else replace(how, zone=settings.timezone)
    if wanted := getattr(args, "timezone", None):
        if zone(wanted) is None:
            raise SettingsError(f"--timezone {wanted}：没有这个时区，例如 Asia/Shanghai")
        how = replace(how, zone=wanted)
    form = getattr(args, "format", "")
    return replace(how, form=SourceFormat(form), rules=None) if form else how


def known_source(book: RuleBook | None, what: str) -> Source | None:
    """The source that an id or a whole address names."""
    sources = [each for each in book.sources if each.url] if book else []
    return next((each for each in sources if what in (each.id, each.url, each.route)), None) if what else None


def read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE + 1)
    except OSError as error:
        raise SourceError(f"{path}：读不了（{error.strerror}）。") from None
    if len(body) > MAX_FILE:
        raise SourceError(f"{path}：超过 {MAX_FILE // 1024**2} MiB，订阅不会这么大。")
    return body
