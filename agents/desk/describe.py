"""Names of the rule book, and Chinese sentences for what the desk shows and messages do not: alerts' next step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.model import DRILL, OPEN_SUBJECT, AlertState, AlertStatus, EventHead, VerdictKind
from pipeline.notify import wording
from pipeline.rulebook.schema import INTAKE, ChannelType, Levels, RouteMode, RuleBook
from pipeline.rulebook.shadow import live_name

NO_LEVELS = Levels(ladder=())
VERDICT: Mapping[VerdictKind, str] = {
    VerdictKind.RELEVANT: "有关", VerdictKind.NOT_RELEVANT: "无关", VerdictKind.DUPLICATE: "重复",
    VerdictKind.WRONG_LEVEL: "级别不对"}
CHANNEL: Mapping[str, str] = {
    ChannelType.WEBHOOK: "网络钩子", ChannelType.SMTP: "邮件", ChannelType.CONSOLE: "控制台",
    ChannelType.WECOM_BOT: "企业微信群", ChannelType.WECOM_APP: "企业微信应用", ChannelType.DINGTALK_BOT: "钉钉群",
    ChannelType.FEISHU_BOT: "飞书群", ChannelType.ALIYUN_SMS: "短信，阿里云", ChannelType.ALIYUN_VOICE: "电话，阿里云",
    ChannelType.TENCENT_SMS: "短信，腾讯云", ChannelType.TENCENT_VOICE: "电话，腾讯云", ChannelType.HTTP: "短信网关",
    ChannelType.ALERTMANAGER: "Alertmanager", ChannelType.APPRISE: "Apprise，尽力而为"}


class Names:
    """Ids of the rule book as people know them. What the book no longer has keeps its id."""

    def __init__(self, book: RuleBook | None) -> None:
        self.book = book
        self.levels = book.levels if book else NO_LEVELS
        beside = book.shadow.subjects if book and book.shadow else ()
        self._subjects = {each.id: each.title for each in (*beside, *(book.subjects if book else ()))}
        self._lists = {each.id: each.title for each in book.lists} if book else {}
        self._sources = {each.id: each.name for each in (INTAKE, *(book.sources if book else ()))}
        people = {each.id: each.name for each in book.roster.people} if book else {}
        teams = {each.id: each.name for each in book.roster.teams} if book else {}
        self._who = {**people, **teams}
        self._channels = {each.id: CHANNEL[each.type] for each in book.channels} if book else {}
        self._clocks = {each.id: each.name for each in self.levels.clocks}

    def subject(self, ident: str) -> str:
        """A subject's title; one in shadow or of a drill says so."""
        plain = live_name(ident).removeprefix(DRILL)
        title = "未归类话题" if plain == OPEN_SUBJECT else self._subjects.get(plain, plain)
        return title if plain == ident else f"{title}（{'演练' if ident.startswith(DRILL) else '影子'}）"

    def term(self, name: str) -> str:
        """What a span calls its pattern, with a word list by its title."""
        return f"词表：{self._lists.get(name[1:], name[1:])}" if name.startswith("@") else name

    def source(self, ident: str) -> str:
        return self._sources.get(ident, ident)

    def who(self, *idents: str) -> str:
        return "、".join(dict.fromkeys(self._who.get(each, each) for each in idents))

    def channel(self, ident: str) -> str:
        kind = self._channels.get(ident, "")
        return f"{ident}（{kind}）" if kind else ident

    def clock(self, ident: str) -> str:
        return self._clocks.get(ident, ident)

    def clock_starts(self) -> list[str]:
        """Levels from which clocks run."""
        return list(dict.fromkeys(each.start_level for each in self.levels.clocks if each.start_level))

    def receivers(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Whom an alert may be handed to: (`班组`, (id, name) …), then the people."""
        if self.book is not None:
            yield "班组", [(each.id, each.name) for each in self.book.roster.teams]
            yield "人员", [(each.id, each.name) for each in self.book.roster.people]


# ---------------------------------------------------------------- events


def why(head: EventHead, names: Names) -> str:
    return wording.why_of(head, names.levels)


def next_step(alert: AlertState, names: Names, book: RuleBook | None) -> str:
    """Who is told when nobody answers: `王五`; empty when nothing is due."""
    if alert.due_at is None or book is None:
        return ""
    if alert.status is AlertStatus.SNOOZED:
        return "恢复提醒"
    route = next((each for each in book.routes if each.id == alert.route), None)
    if route is None:
        return f"通知 {names.who(book.roster.fallback)}"
    if route.mode is RouteMode.DIGEST:
        return "发出汇总"
    tell = route.steps[alert.step].tell if alert.step < len(route.steps) else ()
    if alert.repeat and alert.step == 0:
        tell = tuple(dict.fromkeys((*tell, book.roster.fallback)))
    first = {"silence": "静默结束，", "quiet": "安静时段结束，"}.get(alert.held_by.partition(":")[0], "")
    return f"{first}{'重新' if alert.repeat else ''}通知 {names.who(*tell)}"
