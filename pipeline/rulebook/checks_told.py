"""What roster, channels, levels and routes only show together: whoever is told can be told, and no level is mute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.rulebook import schema
from pipeline.rulebook.kinds import Reading
from pipeline.rulebook.schema import ChannelType

_SMS = ("mobile", "短信", "手机号", "补上 mobile: \"手机号\"")
_VOICE = ("mobile", "语音", "手机号", "补上 mobile: \"手机号\"")
_NEEDS = {
    ChannelType.SMTP: ("mail", "邮件", "邮箱", "补上 mail: 邮箱地址"),
    ChannelType.WECOM_APP: ("wecom", "企业微信应用", "企业微信账号", "补上 wecom: 账号"),
    ChannelType.ALIYUN_SMS: _SMS, ChannelType.TENCENT_SMS: _SMS,
    ChannelType.ALIYUN_VOICE: _VOICE, ChannelType.TENCENT_VOICE: _VOICE,
}
"""Channel type -> the person's field without which it reaches nobody, what it is called, and how to write it."""


def check_told(values: Mapping[str, Any], reading: Reading) -> None:
    """values: path -> what was read from it."""
    _addresses(values, reading)
    _step_channels(values, reading)
    _quiet(values, reading)
    _routes(values, reading)


def needed(channel: schema.Channel) -> Iterator[tuple[str, str, str, str]]:
    """Fields of a person that this channel cannot do without: field, what the channel is, what it lacks, the mend."""
    if channel.type in _NEEDS:
        yield _NEEDS[channel.type]
    if channel.type is ChannelType.HTTP:
        written = "".join((channel.url, channel.body, *channel.headers.values()))
        if "{mobile}" in written:
            yield "mobile", f" HTTP 网关 {channel.id} ", "手机号", _SMS[3]
        if "{mail}" in written:
            yield "mail", f" HTTP 网关 {channel.id} ", "邮箱", "补上 mail: 邮箱地址"


def _addresses(values: Mapping[str, Any], reading: Reading) -> None:
    """Whoever is told by mail needs an address, by SMS a number, …; each lack is told once."""
    channels = {each.id: each for each in values["channels.yml"].channels}
    for index, person in enumerate(values["roster.yml"].people):
        lacking: dict[str, tuple[str, str]] = {}
        for name in person.channels:
            for field, what, lack, mend in needed(channels[name]):
                if not getattr(person, field):
                    lacking.setdefault(field, (f"{person.name}用{what}通道，但没有{lack}。", mend))
        path = f"people[{index}]"
        for message, mend in lacking.values():
            reading.problem(reading.at("roster.yml", path), path, message, mend)


def _step_channels(values: Mapping[str, Any], reading: Reading) -> None:
    """A step's channel that none of those has whom it tells is a slip: it would never be used."""
    roster: schema.Roster = values["roster.yml"]
    for index, route in enumerate(values["routes.yml"].routes):
        for number, step in enumerate(route.steps):
            have = {channel for person in told_people(step.tell, roster) for channel in person.channels}
            for place, name in enumerate(step.channels):
                if name not in have:
                    path = f"routes[{index}].steps[{number}].channels[{place}]"
                    reading.problem(reading.at("routes.yml", path), path,
                                    f"这一步通知的人都没有通道 {name}，永远用不到。",
                                    f"在 roster.yml 里给其中的人加上 {name}，或从这里删去")


def told_people(tell: tuple[str, ...], roster: schema.Roster) -> tuple[schema.Person, ...]:
    """Everybody who may be told: people as they are, of teams the members of every shift and override."""
    teams = {team.id: team for team in roster.teams}
    names: dict[str, None] = {}
    for name in tell:
        if name not in teams:
            names[name] = None
            continue
        names.update((member, None) for shift in teams[name].shifts for member in shift.members)
        names.update((member, None) for each in roster.overrides if each.team == name for member in each.members)
    return tuple(person for name in names if (person := roster.person(name)) is not None)


def _quiet(values: Mapping[str, Any], reading: Reading) -> None:
    highest = values["levels.yml"].ladder[-1].name
    for index, each in enumerate(values["routes.yml"].quiet):
        if highest in each.levels:
            path = f"quiet[{index}].levels[{each.levels.index(highest)}]"
            reading.problem(reading.at("routes.yml", path), path,
                            f"“{highest}”是最高一级，安静时段对它不起作用，什么时候都立即通知。", f"删去 {highest}")


def _routes(values: Mapping[str, Any], reading: Reading) -> None:
    """Each level reaches somebody, whatever the subject and wherever it comes from."""
    routes = values["routes.yml"].routes
    for level in values["levels.yml"].ladder:
        if not any(not route.levels or level.name in route.levels for route in routes if for_all(route)):
            reading.problem(reading.at("routes.yml", "routes"), "routes",
                            f"级别“{level.name}”没有对全部主题适用的路由，告警会没有人收。",
                            f"补一条 levels: [{level.name}]、不写 subjects、groups、regions、teams 的路由")


def for_all(route: schema.Route) -> bool:
    """Whether a route asks for nothing but the level."""
    return not (route.subjects or route.groups or route.regions or route.teams)
