"""`python -m agents.demo.feeds`: the demo's sites and receiving page as servers of their own, for a whole installation.

The scenario's day is told in real time, quicker than it was, beginning when this starts; every role runs on the real
clock with unchanged code. It writes the rule directory that reads these sites, for `--host` as the roles know it.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import yaml

from agents import listening
from agents.demo import scenario
from agents.demo.book import read_book, source_rules
from agents.demo.phone import Phone
from agents.demo.scenario import Scenario
from agents.demo.sites import Sites
from agents.demo.web import HOST, listen, serving
from pipeline.errors import WenxunError
from pipeline.model import Millis
from pipeline.rulebook.schema import RuleBook

log = logging.getLogger("wenxun.demo")

SPEED = 30.0
"""The day, 14.5 hours, in half an hour."""


def retimed(scene: Scenario, start: Millis, speed: float) -> Scenario:
    """The same day, its opening at `start`, `speed` times as quick; what was there the day before lies before it."""
    def moved(at: Millis) -> Millis:
        return start + round((at - scene.opens) / speed)

    posts = tuple(dataclasses.replace(post, at=moved(post.at), published=moved(post.published)) for post in scene.posts)
    return dataclasses.replace(scene, opens=start, closes=moved(scene.closes), posts=posts)


def write_rules(folder: Path, shipped: Path, scene: Scenario, host: str, first_port: int) -> tuple[RuleBook, str]:
    """A complete rule directory, over one of an earlier start; the book in it, and the key that signs its messages."""
    shutil.copytree(shipped, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    ports = {site.id: first_port + place for place, site in enumerate(scene.sites)}
    sources = source_rules(scene, ports, 1)
    for each in sources:
        each["url"] = str(each["url"]).replace(HOST, host, 1)
    text = yaml.safe_dump({"sources": sources}, allow_unicode=True, sort_keys=False)
    (folder / "sources.yml").write_text(f"# 演示的站点，由 agents.demo.feeds 写出。\n{text}", encoding="utf-8")
    book, key = read_book(folder), secrets.token_urlsafe(24)
    hidden = folder / "secrets"
    hidden.mkdir(mode=0o700, exist_ok=True)
    (hidden / "signing.key").write_text(key + "\n", encoding="utf-8")
    for person in book.roster.people:
        address = f"http://{host}:{first_port + len(ports)}/inbox/{person.id}\n"
        (hidden / f"{person.id}.url").write_text(address, encoding="utf-8")
    return book, key


async def run(args: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT. SettingsError, RuleBookError or OSError if it cannot begin."""
    scene = retimed(scenario.load(args.folder / "scenario.yml"), now(), args.speed)
    book, key = write_rules(args.rules, args.folder / "rules", scene, args.host, args.port)
    sockets = [_listen(args.bind, args.port + place) for place in range(len(scene.sites) + 1)]
    ports: Mapping[str, int] = {site.id: args.port + place for place, site in enumerate(scene.sites)}
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(Sites(scene, ports, now), sockets[:-1]))
        await stack.enter_async_context(serving(Phone.of(book, key.encode(), now).app(), sockets[-1:]))
        log.info("%d sites from port %d, receiving page on %d, rules in %s; the day takes %.0f minutes", len(ports),
                 args.port, args.port + len(ports), args.rules, (scene.closes - scene.opens) / 60_000)
        await stop.wait()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(port, host)
    except OSError as error:
        raise listening.refused("--bind and --port", host, port, error) from None


def now() -> Millis:
    return time.time_ns() // 1_000_000


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agents.demo.feeds", description=__doc__)
    parser.add_argument("--host", default=HOST, help="name or address by which the roles reach these sites")
    parser.add_argument("--bind", default=HOST, help="address to listen on")
    parser.add_argument("--port", type=int, default=9100, help="port of the first site; the others follow")
    parser.add_argument("--rules", type=Path, required=True, metavar="DIR", help="where to write the rule directory")
    parser.add_argument("--speed", type=float, default=SPEED, metavar="N", help="how much quicker than a real day")
    parser.add_argument("--folder", type=Path, default=scenario.FOLDER, metavar="DIR", help="scenario and rules to use")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 after a signal, 2 when it could not begin."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(run(parsed(arguments)))
    except (WenxunError, OSError) as error:
        print(f"wenxun: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
