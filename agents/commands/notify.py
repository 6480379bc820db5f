"""`wenxun notify test`: one marked message through the real sender of a channel, before the first alert needs it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.commands import notify_address, notify_preview
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from agents.deliverer.letter import Outcome
    from agents.settings import Settings
    from pipeline.rulebook.schema import Channel, Person, RuleBook

OK, FAILED = 0, 1


def add(groups: Any) -> None:
    notify = groups.add_parser("notify", help="try the channels of channels.yml")
    actions = notify.add_subparsers(dest="action", required=True, metavar="ACTION")
    test = actions.add_parser("test", help="send a test message, marked as one, by one channel")
    test.add_argument("--channel", required=True, metavar="ID", help="a channel of channels.yml")
    test.add_argument("--person", metavar="ID", default="", help="of roster.yml; default: the first with the channel")
    test.add_argument("--rules", type=Path, metavar="DIR", help="rule directory; default: WENXUN_RULES_DIR, else rules")
    test.set_defaults(run=run_test)
    notify_preview.add(actions)


def run_test(args: argparse.Namespace) -> int:
    """0 when the receiver confirmed, 1 when not; RuleBookError and NotifyError say what to mend."""
    from agents.deliverer.letter import Refused, Retry

    settings, book = notify_address.installation(os.environ, args.rules)
    channel = notify_address.channel(book, args.channel)
    person = notify_address.person(book, args.channel, args.person)
    outcome = asyncio.run(send_test(settings, book, channel, person))
    if isinstance(outcome, Refused | Retry):
        again = "（可以重试的错误）" if isinstance(outcome, Retry) else ""
        print(f"通道 {channel.id} 没有收下给 {person.name}（{person.id}）的测试消息{again}：{outcome.error}",
              file=sys.stderr)
        return FAILED
    print(f"通道 {channel.id} 已确认收到测试消息，收件人 {person.name}（{person.id}）。")
    print(_about_links(settings))
    return OK


async def send_test(settings: Settings, book: RuleBook, channel: Channel, person: Person) -> Outcome:
    """What the channel's sender answers to one test message."""
    from agents import outbound
    from agents.clock import Clock
    from agents.deliverer.letter import Letter, Retry
    from agents.deliverer.office import ATTEMPT_SECONDS
    from agents.deliverer.senders import senders
    from pipeline.ids import digest
    from pipeline.model import Escalation, EscalationKind
    from pipeline.notify.render import Setting, render

    now = Clock.parse(settings.clock).now()
    ident = digest("test", channel.id, person.id, now)
    escalation = Escalation(
        id=ident, kind=EscalationKind.TEST, at=now, why="test", tell=(person.id,),
        title=f"通道 {channel.id} 的测试消息",
        text="这是一条测试消息，不是真实事件，不需要处理。收到它说明这个通道可以送达。")
    message = render(escalation, Setting(book, settings.zone, settings.link_url, settings.banner))
    letter = Letter(ident, person, escalation, message)
    async with outbound.client(settings) as client:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                return await senders(settings, client)[channel.type](channel, letter)
        except TimeoutError:
            return Retry(f"{ATTEMPT_SECONDS:g} 秒内没有完成")


def _about_links(settings: Settings) -> str:
    """Whether alerts will carry links. A key is read when there is one and not made: deliver may be another user."""
    from agents import link_key

    why_not = link_key.why_no_link(settings)
    if not why_not and settings.link_key_path.exists():
        try:
            link_key.load(settings)
        except SettingsError as error:
            return f"告警里不带链接：{error}"
    return why_not or f"告警里会带链接，以 {settings.link_url} 开头；请在收件人的手机上确认打得开。"
