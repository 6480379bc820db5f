"""The pages that people read. Each is a plain function of a visit; it runs in a thread and may block."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from agents.desk import reads, render, rule_matches, silence_views
from agents.desk.accounts import Role, accounts
from agents.desk.commands import REASONS
from agents.desk.describe import Names
from agents.desk.rota import rota
from agents.desk.web import Visit
from agents.store import readmodel
from pipeline.collect.privacy import mask
from pipeline.model import EventStatus, Millis

DAY = 86_400_000

MESSAGES = {
    "ack": "已提交确认，升级将停止。",
    "ack-again": "这次确认之前已经提交过，正在等待生效。",
    "ack-also": "已提交确认。别人也刚刚确认了，两个确认都会记下。",
    "handover": "已提交转交，马上通知对方。",
    "handover-again": "这次转交之前已经提交过，正在等待生效。",
    "comment": "已记下备注。",
    "comment-again": "同样的备注之前已经记过。",
    "statement": "已提交官方回应，选中的时限将停止。",
    "statement-again": "这条回应之前已经登记过。",
    "reject": "已记下：这条不是官方回应。",
    "reject-again": "这条之前已经有人说过不是官方回应。",
    "silence": "已添加静默，几秒后生效。",
    "silence-again": "同样的静默正在生效，没有重复添加。",
    "expire": "已提交结束静默；压住的提醒如果还没有人确认，会马上通知。",
    "expire-again": "这个静默已经有人结束了。",
    "snooze": "已提交暂缓。",
    "snooze-again": "这次暂缓之前已经提交过，正在等待生效。",
    "close": "已提交关闭。",
    "close-again": "这次关闭之前已经提交过，正在等待生效。",
    "drill-end": "演练已结束，它的事件正在关闭。",
    "poll": "已请求立即采集，采集程序收到后马上去取。",
    "poll-again": "立即采集已经请求过，正在等待采集程序。",
    "verdict": "已记下评价，几秒后计入误报率。",
    "verdict-again": "这个评价之前已经提交过。",
    "verdict-close": "已记下评价，并提交关闭。",
    "rules-yes": "已提交：让新规则生效。",
    "rules-yes-again": "这个决定之前已经提交过，正在等待生效。",
    "rules-no": "已提交：不让新规则生效，继续用现有规则。",
    "rules-no-again": "这个决定之前已经提交过，正在等待生效。",
    "filed": "已收到，正在入库。",
    "filed-masked": "已收到，正在入库。工单号像是电话、证件号等个人信息，已遮盖；同一工单的后续上报不会并到一起。",
    "filed-again": "这份上报之前已经收到，没有重复登记。",
}
"""What a page says after a form; the address carries only the code."""


def duty(visit: Visit) -> Response:
    """值班: what is open now, who was told, what comes next. Who only reports is sent to where that is done."""
    if not visit.session.role.may(Role.VIEWER):
        return RedirectResponse("/intake", 303)
    engine, book = visit.desk.engine, visit.desk.book()
    events, drills = (reads.open_events(engine, visit.desk.real.now(), drills=each) for each in (False, True))
    settled = reads.settled_events(engine, visit.now - DAY)
    visit.write_read("duty.read", "duty", " ".join(one.head.short or one.head.id for one in (*events, *drills))[:500])
    return visit.page(
        "duty.html", book=book, events=events, drills=drills, settled=settled, survey=visit.survey(),
        rota=rota(Names(book), visit.now, visit.desk.deps.settings.zone), no_links=no_links(visit),
        silenced=silence_views.in_force(engine, book, visit.now),
        urgent=sum(one.urgent for one in events), waiting=sum(one.waits for one in events),
        can_act=visit.can_act, done=done(visit))


def event(visit: Visit) -> Response:
    """事件: one event with its evidence, its reasons and its history."""
    ref = str(visit.request.path_params["ref"])
    found = reads.event_page(visit.desk.engine, ref, visit.desk.real.now(), visit.page_number())
    if found is None:
        text = f"找不到“{ref[:40]}”。编号形如 E-0317，可以在事件列表里查找。"
        return visit.message("没有这个事件", text, 404, "/events")
    head = found.event.head
    if head.short and ref != head.short and not visit.polling:
        query = f"?{visit.request.url.query}" if visit.request.url.query else ""
        return RedirectResponse(f"/events/{head.short}{query}", 307)
    page = found.paging.page
    visit.write_read("event.read", head.short or head.id, "" if page == 1 else f"第 {page} 页")
    return visit.page(
        "event.html", found=found, event=found.event, head=head, alert=found.event.alert, reasons=REASONS,
        can_act=visit.can_act, done=done(visit), origins=_origins(found.times), no_links=no_links(visit),
        silencing=silence_views.silencing(visit.desk.engine, head, visit.now, Names(visit.desk.book())),
        said=rule_matches.of_event(visit.desk.engine, head.id))


def _origins(times: list[tuple[Millis, str]]) -> list[tuple[str, int, Millis]]:
    """(origin, items, first at) of an event, those with most items first."""
    counts: dict[str, tuple[int, Millis]] = {}
    for at, origin in times:
        count, first = counts.get(origin, (0, at))
        counts[origin] = (count + 1, min(first, at))
    return sorted(((origin, *rest) for origin, rest in counts.items()), key=lambda row: (-row[1], row[2]))


def events(visit: Visit) -> Response:
    """The list of events with its filter."""
    wanted = event_filter(visit)
    found = reads.list_events(visit.desk.engine, wanted, visit.page_number())
    seen = visit.query("status"), wanted.level, wanted.subject, wanted.text
    visit.write_read("events.read", "events", mask(" ".join(str(part) for part in seen if part))[:200])
    return visit.page("events.html", found=found, wanted=wanted, statuses=list(EventStatus),
                      subjects=reads.subjects_seen(visit.desk.engine))


def event_filter(visit: Visit) -> reads.EventFilter:
    status, level = visit.query("status"), visit.query("level")
    return reads.EventFilter(
        status=status if status in list(EventStatus) else "",
        level=int(level) if level.isdecimal() and len(level) < 3 else 0,
        subject=visit.query("subject"), text=visit.query("q"), drill=visit.query("drill") == "1")


def audit_page(visit: Visit) -> Response:
    """审计: who read and decided what. For admins."""
    engine, before = visit.desk.engine, visit.query("before")
    account = visit.query("account")
    with engine.connect() as connection:
        rows = readmodel.audit(connection, limit=100, account=account,
                               before=int(before) if before.isdecimal() and len(before) < 16 else None)
    visit.write_read("audit.read", "audit", account)
    return visit.page("audit.html", rows=rows, account=account, people=[one.name for one in accounts(engine)])


def levels_css(visit: Visit) -> Response:
    """Colours of the ladder, which is data."""
    book = visit.desk.book()
    return Response(render.levels_css(book.levels.ladder if book else ()), media_type="text/css",
                    headers={"Cache-Control": "private, max-age=86400"})


def no_links(visit: Visit) -> str:
    """Why messages carry no link, for an admin; empty when they do, or somebody else asks."""
    settings = visit.desk.deps.settings
    if settings.link_url or not visit.session.role.may(Role.ADMIN):
        return ""
    if not settings.external_url:
        return "没有设置 WENXUN_EXTERNAL_URL，收到消息的人只能自己打开值班台确认。"
    return f"WENXUN_EXTERNAL_URL 是 {settings.external_url}，只有这台机器自己打得开。"


def done(visit: Visit) -> str:
    return MESSAGES.get(visit.query("done"), "")
