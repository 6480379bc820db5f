"""By which channel and to whom: what `wenxun notify test` and `notify preview` ask of the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import WenxunError

if TYPE_CHECKING:
    from agents.settings import Settings
    from pipeline.rulebook.schema import Channel, Person, RuleBook


class NotifyError(WenxunError):
    """A message that cannot be addressed."""


def installation(environ: Mapping[str, str], rules: Path | None) -> tuple[Settings, RuleBook]:
    """Settings and the rule book; RuleBookError says what to mend."""
    from agents.rule_files import load_book
    from agents.settings import Settings

    settings = Settings.from_env(environ)
    settings = replace(settings, rules_dir=rules) if rules else settings
    return settings, load_book(settings.rules_dir, settings.timezone)


def channel(book: RuleBook, wanted: str) -> Channel:
    found = next((one for one in book.channels if one.id == wanted), None)
    if found is None:
        known = "、".join(one.id for one in book.channels) or "（没有）"
        raise NotifyError(f"--channel {wanted}：channels.yml 里没有这个通道，已有：{known}")
    return found


def person(book: RuleBook, channel_id: str, wanted: str) -> Person:
    people = [one for one in book.roster.people
              if (one.id == wanted if wanted else channel_id in one.channels)]
    if not people:
        raise NotifyError(f"--person {wanted}：roster.yml 里没有这个人" if wanted else
                          f"roster.yml 里没有人使用通道 {channel_id}，用 --person 指定收件人")
    return people[0]
