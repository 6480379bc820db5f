"""值班总览: what is open, whose turn it is, how much time is left; and whether "nothing" may be believed."""

# ruff: noqa: S608 - queries are made here once, of words that stand here; what people choose is Grafana's to quote
from __future__ import annotations

from deploy.grafana.build import board, words
from deploy.grafana.build.panels import Look, Panel, bars, falling, lines, rising, rows, stats
from deploy.grafana.build.queries import BUCKET, NOW, SUBJECT_TITLE, WITHIN, Sql, instant, series

EVENT_LINKS: dict[str, object] = {
    "links": [
        {"title": "在值班台打开", "url": "${desk}/events/${__value.raw}", "targetBlank": True},
        {"title": "看这个事件的曲线", "url": "/d/wenxun-event?var-event=${__value.raw}&${__url_time_range}"},
    ]
}
TIME: dict[str, object] = {"unit": "dateTimeAsLocal", "custom.width": 160}
HIDDEN: dict[str, object] = {"custom.hidden": True}
LEFT: dict[str, object] = {
    "unit": "s",
    "decimals": 0,
    "custom.cellOptions": {"type": "color-text"},
    "thresholds": {
        "mode": "absolute",
        "steps": [{"value": value, "color": color} for value, color in falling(0, 3600)],
    },
}
_OPEN = "e.status = 'open' AND e.number > 0 AND e.kind = ${kind:sqlstring}"
NOTHING = "无事件（先看数据新鲜度和失联来源）"


def made(desk: str) -> board.Board:
    return board.Board(
        uid="wenxun-duty",
        title="值班总览",
        description="现在有哪些事件、轮到谁、时限还剩多少；以及“没有事件”是真的没有，还是没有数据。文字在值班台看，那里的阅读有记录。",
        variables=[board.desk(desk), board.kind(), *board.targets()],
        refresh="30s",
        rows=[
            ("现在", _now()),
            ("处置中的事件", [_events()]),
            ("时限和确认", [_clocks(), _acks(), _alerts()]),
            ("热度与数据", [_heat(), _history(), _items(), _sources()]),
        ],
    )


def _now() -> list[Panel]:
    return [
        stats(
            Look("处置中的事件", "按级别计数；级别的名称和颜色取自正在使用的规则。", "none", (8, 5), NOTHING),
            Sql(f"""
            SELECT l.name AS "名称", count(e.id) AS "值", l.color AS "颜色" FROM grafana_ladder l
            LEFT JOIN grafana_events e ON e.level = l.rank AND {_OPEN}
            GROUP BY l.rank, l.name, l.color ORDER BY l.rank DESC"""),
            rows=True,
        ),
        stats(
            Look(
                "未确认的告警",
                "已通知而没有人确认的告警，包括全部通知过仍无人应答的。",
                "none",
                (3, 5),
                "无告警",
                rising(1, 5),
            ),
            Sql(f"""SELECT count(*) AS "未确认" FROM grafana_alerts a JOIN grafana_events e ON e.id = a.event_id
                  WHERE a.status IN ('notified', 'exhausted', 'expired') AND {_OPEN}"""),
        ),
        stats(
            Look(
                "最紧的回应时限",
                "没有停下的回应时钟里剩得最少的；负数是已经超时。",
                "s",
                (4, 5),
                "没有在走的时钟",
                falling(0, 3600),
                decimals=0,
            ),
            Sql(f"""SELECT (min(c.due_ms) - {NOW}) / 1000 AS "剩余" FROM grafana_clocks c
                  JOIN grafana_events e ON e.id = c.event_id
                  WHERE c.open AND c.stopped_ms IS NULL AND e.kind = ${{kind:sqlstring}}"""),
        ),
        stats(
            Look(
                "数据新鲜度",
                "最近一次成功采集距今多久。很久没有采集时，“无事件”不可信。",
                "s",
                (3, 5),
                "没有采集过",
                rising(600, 1800),
                decimals=0,
            ),
            instant("time() - max(wenxun_feed_last_success_timestamp_seconds{@})", "新鲜度"),
        ),
        stats(
            Look(
                "失联来源",
                "现在听不到的来源：失联、停用、逾期。它们那里发生的事这里看不到。",
                "none",
                (3, 5),
                "采集没有运行",
                rising(1, 5),
            ),
            instant('sum(wenxun_sources{@,state=~"blind|disabled|overdue"})', "失联"),
        ),
        stats(
            Look(
                "全链心跳",
                "从采集到送达、归档，最老的一次心跳距今多久；超过两分钟说明中间有一环停了。",
                "s",
                (3, 5),
                "还没有心跳",
                rising(120, 300),
                decimals=0,
            ),
            instant("max(wenxun_heartbeat_age_seconds{@})", "心跳"),
        ),
    ]


def _events() -> Panel:
    return rows(
        Look(
            "事件清单",
            "处置中的事件，级别高的在前。点编号到值班台看内容和处置，或看它的曲线。近一小时是热度：最近一小时归入的条数。",
            "none",
            (24, 10),
            NOTHING,
            levels=("级别",),
            columns={
                "编号": EVENT_LINKS,
                "首见": TIME,
                "最近一条": TIME,
                "告警": words.column(words.ALERTS),
                "时限剩余": LEFT,
            },
        ),
        Sql(f"""
            SELECT e.short AS "编号", e.level_name AS "级别", {SUBJECT_TITLE.format("e")} AS "主题", e.items AS "条数",
              e.sources AS "来源数", heat.items AS "近一小时", a.status AS "告警", NULLIF(a.acked_by, '') AS "确认人",
              (clock.due_ms - {NOW}) / 1000 AS "时限剩余", e.opened_time AS "首见", e.last_item_time AS "最近一条"
            FROM grafana_events e LEFT JOIN grafana_subjects s ON s.id = e.subject_id
            LEFT JOIN grafana_alerts a ON a.event_id = e.id
            LEFT JOIN LATERAL (SELECT count(*) AS items FROM grafana_members m
              WHERE m.event_id = e.id AND m.at_ms > {NOW} - 3600000) AS heat ON true
            LEFT JOIN LATERAL (SELECT min(c.due_ms) AS due_ms FROM grafana_clocks c
              WHERE c.event_id = e.id AND c.stopped_ms IS NULL) AS clock ON true
            WHERE {_OPEN} ORDER BY e.level DESC, e.changed_ms DESC LIMIT 500"""),
    )


def _clocks() -> Panel:
    return rows(
        Look(
            "回应时限",
            "还没有停下的回应时钟，最紧的在前。附上权威发布后停；事件平息不会让它停。",
            "none",
            (12, 9),
            "没有在走的时钟",
            columns={"编号": EVENT_LINKS, "到期": TIME, "剩余": LEFT, "已提醒": {"unit": "percent"}},
        ),
        Sql(f"""
            SELECT e.short AS "编号", c.name AS "时限", (c.due_ms - {NOW}) / 1000 AS "剩余", c.due_time AS "到期",
              c.warned AS "已提醒"
            FROM grafana_clocks c JOIN grafana_events e ON e.id = c.event_id
            WHERE c.open AND c.stopped_ms IS NULL AND e.number > 0 AND e.kind = ${{kind:sqlstring}}
            ORDER BY c.due_ms LIMIT 200"""),
    )


def _acks() -> Panel:
    return rows(
        Look(
            "告警由谁确认",
            "处置中事件的告警：到了哪一步，谁确认了，转给了谁，暂缓到几时。",
            "none",
            (12, 9),
            "无告警",
            columns={
                "编号": EVENT_LINKS,
                "状态": words.column(words.ALERTS),
                "升级时间": TIME,
                "确认时间": TIME,
                "暂缓到": TIME,
            },
        ),
        Sql(f"""
            SELECT e.short AS "编号", a.status AS "状态", NULLIF(a.acked_by, '') AS "确认人",
              a.acked_time AS "确认时间",
              NULLIF(a.handed_to, '') AS "转给", a.snoozed_until_time AS "暂缓到", a.raised_time AS "升级时间"
            FROM grafana_alerts a JOIN grafana_events e ON e.id = a.event_id
            WHERE {_OPEN} ORDER BY (a.status IN ('exhausted', 'notified')) DESC, a.raised_ms DESC LIMIT 200"""),
    )


def _alerts() -> Panel:
    return lines(
        Look(
            "告警状态",
            "处置中事件的告警数，按状态；不含演练和影子规则。",
            "none",
            (24, 7),
            "无告警",
            columns=words.named(words.ALERT_SERIES),
            minimum=0,
            decimals=0,
        ),
        series("sum by (status) (wenxun_alerts{@})", "{{status}}"),
        stacked=True,
    )


def _heat() -> Panel:
    return lines(
        Look(
            "热度",
            "处置中事件里条数最多的十个，每个时间段归入的条数。",
            "none",
            (12, 9),
            NOTHING,
            minimum=0,
            interval="1m",
        ),
        Sql(
            f"""
            SELECT {BUCKET.format("m.at_ms")} AS "time", top.short AS metric, count(*) AS "条数"
            FROM (SELECT e.id, e.short FROM grafana_events e WHERE {_OPEN} ORDER BY e.level DESC, e.items DESC LIMIT 10)
              AS top JOIN grafana_members m ON m.event_id = top.id
            WHERE {WITHIN.format("m.at_ms")} GROUP BY 1, 2 ORDER BY 1""",
            series=True,
        ),
        bars=True,
        stacked=True,
    )


def _history() -> Panel:
    return lines(
        Look("处置中的事件，随时间", "各级别处置中的事件数。", "none", (12, 9), NOTHING, minimum=0, decimals=0),
        series("sum by (level) (wenxun_open_events{@})", "{{level}}"),
        stacked=True,
    )


def _items() -> Panel:
    return lines(
        Look(
            "新条目",
            "每分钟采集到的新条目和修改。长时间为零而来源都正常，是真的安静；来源失联，则是听不到。",
            "suffix: 条/分",
            (12, 8),
            "没有采集到条目",
            minimum=0,
        ),
        series("60 * sum by (kind) (rate(wenxun_items_collected_total{@}[$__rate_interval]))", "{{kind}}"),
    )


def _sources() -> Panel:
    return bars(
        Look(
            "来源状态",
            "各状态的来源数。",
            "none",
            (12, 8),
            "采集没有运行",
            minimum=0,
            decimals=0,
            columns=words.named(words.HEALTH),
        ),
        instant("sum by (state) (wenxun_sources{@})", "{{state}}"),
    )
