"""`wenxun notify preview`: what a channel would get about an event, from the archive. Nothing is sent."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from agents.commands import notify_address
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from agents.deliverer.rehearsal import Call, Rehearsed
    from agents.settings import Settings
    from pipeline.model import Escalation, EventHead
    from pipeline.rulebook.schema import Channel, Person, RuleBook

KINDS = ("page", "clock", "digest", "inform")
OK, FAILED = 0, 1


def add(actions: Any) -> None:
    """Below `wenxun notify`."""
    preview = actions.add_parser("preview", help="show what a channel would get about an event; nothing is sent")
    preview.add_argument("--channel", required=True, metavar="ID", help="a channel of channels.yml")
    preview.add_argument("--event", required=True, metavar="EVENT", help="number (E-0317) or id")
    preview.add_argument("--kind", choices=KINDS, default="page", metavar="KIND",
                         help=f"{'|'.join(KINDS)}: the last such message about it, else one as things stand")
    preview.add_argument("--person", metavar="ID", default="", help="of roster.yml; default: the first with it")
    preview.add_argument("--as", dest="account", metavar="ACCOUNT", default="", help="who reads, for the audit")
    preview.add_argument("--raw", action="store_true", help="the payload itself, JSON or the mail's source")
    preview.add_argument("--rules", type=Path, metavar="DIR",
                         help="rule directory; default: WENXUN_RULES_DIR, else rules")
    preview.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when there is something to show, 1 when the channel would send nothing to this person."""
    from agents.commands.acting import place, reader_of

    settings, book = notify_address.installation(os.environ, args.rules)
    channel = notify_address.channel(book, args.channel)
    person = notify_address.person(book, args.channel, args.person)
    with place() as at:
        account = reader_of(at, args.account)
        with at.engine.connect() as connection:
            found = asyncio.run(_rehearsed(settings, book, channel, person, connection, args))
        at.write_read(account, "event.read", args.event)
    if found.error:
        print(f"通道 {channel.id} 不会给 {person.id} 发消息：{found.error}", file=sys.stderr)
        return FAILED
    for part in (_raw(found) if args.raw else _readable(channel, found)):
        print(part)
    return OK


async def _rehearsed(settings: Settings, book: RuleBook, channel: Channel, person: Person, connection: Connection,
                     args: argparse.Namespace) -> Rehearsed:
    from agents.clock import Clock
    from agents.deliverer.facts import read_figures
    from agents.deliverer.letter import Letter
    from agents.deliverer.rehearsal import rehearse
    from agents.link_key import answer_link
    from pipeline.ids import digest
    from pipeline.notify.render import Facts, Setting, render

    now = Clock.parse(settings.clock).now()
    escalation, note = _escalation(connection, book, args.event, args.kind, now)
    head = escalation.head or escalation.digest[0]
    figures = read_figures(connection, head.subject, now)
    # A key that is thrown away: the link is as long as the real one, and opens nothing.
    link = answer_link(settings, secrets.token_bytes(32), escalation, person.id if channel.addressed else "")
    facts = Facts(link, figures.usual, figures.now_items) if escalation.head else Facts(link)
    message = render(escalation, Setting(book, settings.zone, settings.link_url, settings.banner), facts)
    _say(settings, channel, person, note, link)
    return await rehearse(settings, channel, Letter(digest("preview", escalation.id), person, escalation, message))


def _say(settings: Settings, channel: Channel, person: Person, note: str, link: str) -> None:
    """About the preview, beside it: the payload alone goes to standard output."""
    from agents.link_key import why_no_link

    to = f"收件人 {person.name}（{person.id}）"
    lines = [f"预览，什么也没有发送。通道 {channel.id}（{channel.type.value}），{to}。", note,
             "预览里的链接不能打开。" if link else why_no_link(settings)]
    print("\n".join(filter(None, lines)), file=sys.stderr)


# ---------------------------------------------------------------- which message


def _escalation(connection: Connection, book: RuleBook, event: str, kind: str, now: int) -> tuple[Escalation, str]:
    """The last message of this kind about the event, and where it comes from."""
    from agents.store import readmodel
    from pipeline.notify import wording

    head = readmodel.head(connection, event)
    if head is None:
        raise SettingsError(f"--event {event}：存档里没有这个事件；编号形如 E-0317，`wenxun event list` 列出全部")
    sent = [one for one in readmodel.escalations(connection, head.id) if one.kind.value == kind and not one.unsendable]
    if sent:
        return sent[-1], f"存档里最近一条“{wording.KIND[sent[-1].kind]}”，{_moment(sent[-1].at, book)} 决定。"
    made = _as_things_stand(connection, book, head, kind, now)
    return made, f"这个事件还没有发过“{wording.KIND[made.kind]}”，按现状拟了一条。"


def _as_things_stand(connection: Connection, book: RuleBook, head: EventHead, kind: str, now: int) -> Escalation:
    from agents.store import people_reads, readmodel
    from pipeline.model import Escalation, EscalationKind
    from pipeline.rulebook.routing import route_for

    alert, known = readmodel.alert(connection, head.id), people_reads.clocks_of(connection, [head.id]).get(head.id)
    route = route_for(book, head.level_name, head.subject, head.groups, head.regions)
    clocks = known.clocks if known else ()
    digest = (head,) if kind == "digest" else ()
    return Escalation(
        id="preview", kind=EscalationKind(kind), at=now, why="clock" if kind == "clock" else "raised",
        tell=route.steps[0].tell if route else (book.roster.fallback,), event_id=head.id,
        alert_id=alert.alert_id if alert else "preview", level=head.level, level_name=head.level_name,
        head=None if digest else head, digest=digest, lead=route.lead if route else "", clocks=clocks,
        clock=min(clocks, key=lambda one: one.due_at).id if clocks and kind == "clock" else "",
        acts=people_reads.acts(connection, [head.id]).get(head.id, ()))


def _moment(at: int, book: RuleBook) -> str:
    from zoneinfo import ZoneInfo

    from pipeline.notify import wording

    return wording.moment(at, ZoneInfo(book.timezone))


# ---------------------------------------------------------------- how it is shown


def _raw(found: Rehearsed) -> Iterator[str]:
    for call in found.calls:
        yield _indented(_content(call))
    if not found.calls:
        yield found.text or found.mail


def _readable(channel: Channel, found: Rehearsed) -> Iterator[str]:
    shown = _SHOWN.get(channel.type.value)
    for count, call in enumerate(found.calls, 1):
        yield f"── 第 {count} 次调用：{call.method} {call.host or '（地址在 url_file 里，不显示）'}"
        content = _content(call)
        yield "\n".join(shown(content)) if shown and isinstance(content, dict) else _indented(content)
    if not found.calls:
        yield found.mail or found.text


def _content(call: Call) -> Any:
    """The body, or without one the parameters of the address."""
    try:
        return json.loads(call.body)
    except ValueError:
        text = call.body.decode("utf-8", "replace")
    fields = dict(parse_qsl(text or call.query, keep_blank_values=True))
    return fields or text


def _indented(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2)


def _wecom(body: Mapping[str, Any]) -> Iterator[str]:
    said = body[body["msgtype"]]
    yield from (str(said[name]) for name in ("title", "content", "description") if said.get(name))
    named = [*said.get("mentioned_list", ()), *said.get("mentioned_mobile_list", ())]
    if named:
        yield f"［提醒 {'、'.join(named)}］"
    if said.get("url"):
        yield f"［{said.get('btntxt') or '查看'}］ {said['url']}"


def _dingtalk(body: Mapping[str, Any]) -> Iterator[str]:
    said = body[body["msgtype"]]
    yield str(said["text"])
    if said.get("singleURL"):
        yield f"［{said['singleTitle']}］ {said['singleURL']}"


def _feishu(body: Mapping[str, Any]) -> Iterator[str]:
    card = body["card"]
    yield str(card["header"]["title"]["content"])
    for element in card["elements"]:
        for part in (element, *element.get("fields", ()), *element.get("elements", ())):
            said = part.get("text") or part
            if isinstance(said.get("content"), str):
                yield said["content"]
        yield from (f"［{action['text']['content']}］ {action['url']}" for action in element.get("actions", ()))


_SHOWN: Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "wecom-bot": _wecom, "wecom-app": _wecom, "dingtalk-bot": _dingtalk, "feishu-bot": _feishu}
"""What people see of it; of other types the payload says it."""
