"""Links as deliver would have sent them about the morning of seed.py, and accounts for the people who get them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from agents import link_key
from pipeline.model import EventHead, Excerpt, Span
from pipeline.notify.signed import Claim, sign
from pipeline.rulebook.schema import Person, RuleBook
from tests.desk import seed
from tests.desk.conftest import Stand

HOURS = 3_600_000
ACCOUNT = "wangqiang"


def book(**person: Any) -> RuleBook:
    """The seed's book, whose duty-a has an account on the desk."""
    plain = seed.book()
    known = tuple(msgspec.structs.replace(one, account=ACCOUNT, **person) if one.id == "duty-a" else one
                  for one in plain.roster.people)
    return msgspec.structs.replace(plain, roster=msgspec.structs.replace(plain.roster, people=known))


def without(person: str) -> RuleBook:
    plain = book()
    left: tuple[Person, ...] = tuple(one for one in plain.roster.people if one.id != person)
    return msgspec.structs.replace(plain, roster=msgspec.structs.replace(plain.roster, people=left))


def event(number: int = 317, level: int = 3, **changes: Any) -> EventHead:
    return seed.head(number, level, excerpts=excerpts(), **changes)


def excerpts() -> tuple[Excerpt, ...]:
    said = (("城东投票站到底几点关门？", "看到群里有人发截图，说今天下午三点就关门，下班以后还来得及吗？", "青禾论坛"),
            ("投票站提前关门？工作人员：没有接到通知", "记者来到城东投票站，门口没有张贴变更的通知。", "青禾县新闻网"),
            ("上班族怎么投票？听说三点关门", "单位四点才下班，三点关门的话就赶不上了。", "家长论坛"))
    return tuple(Excerpt(f"{n}" * 20, title, text, source, f"https://bbs.example/t/{n}", seed.NOW - n * 400_000,
                         (Span("polling", "投票站", "title", title.find("投票站"), title.find("投票站") + 3),)
                         if "投票站" in title else ())
                 for n, (title, text, source) in enumerate(said, 1))


def link(stand: Stand, of: EventHead, person: str = "duty-a", *, alert: str = "", hours: float = 72) -> str:
    """The path of a link that deliver sends now. alert: of which alert, by default the one that stands."""
    claim = Claim(of.id, alert or seed.alert(of).alert_id, person, seed.NOW + int(hours * HOURS))
    return "/a/" + sign(link_key.load(stand.settings), claim)


def waiting(stand: Stand, **changes: Any) -> EventHead:
    """An event of the highest level that nobody answered yet."""
    one = seed.put_event(stand.engine, event(**changes))
    seed.put_alert(stand.engine, seed.alert(one))
    seed.put_escalation(stand.engine, one, alert_id=seed.alert(one).alert_id)
    return one


def use(stand: Stand, chosen: RuleBook) -> None:
    """Another rule book is in force."""
    stand.desk.deps = replace(stand.desk.deps, rules=type(stand.desk.deps.rules)(chosen))
