"""规则与投递, its second half: messages, budgets, channels."""

# ruff: noqa: S608 - queries are made here once, of words that stand here
from __future__ import annotations

from deploy.grafana.build import words
from deploy.grafana.build.duty import TIME
from deploy.grafana.build.panels import Look, Panel, bars, lines, rising, rows, states
from deploy.grafana.build.queries import BUCKET, WITHIN, Sql, instant, quantile, series


def pages() -> list[Panel]:
    return [
        lines(
            Look(
                "今天的首次通知",
                "从零点起通知到人的告警，按级别；不含演练。",
                "none",
                (8, 8),
                "送达没有运行",
                minimum=0,
                decimals=0,
            ),
            series("max by (level) (wenxun_pages_today{@})", "{{level}}"),
        ),
        bars(
            Look(
                "占当天预算",
                "routes.yml 写了 budget 的级别：今天的首次通知占预算多少；超过说明阈值定得太松。",
                "percentunit",
                (8, 8),
                "routes.yml 没有写 budget",
                rising(0.8, 1),
                minimum=0,
                failure="budget",
            ),
            instant("max by (level) (wenxun_pages_today{@}) / max by (level) (wenxun_page_budget{@})", "{{level}}"),
        ),
        rows(
            Look(
                "每天的首次通知",
                "所选时间里每天的首次通知和预算，按级别。",
                "none",
                (8, 8),
                "这段时间没有通知",
                levels=("级别",),
            ),
            Sql(f"""
            SELECT p.day AS "日期", p.level_name AS "级别", p.pages AS "首次通知", l.budget AS "预算" FROM (
              SELECT to_char(at_time, 'YYYY-MM-DD') AS day, level_name, count(*) AS pages FROM grafana_escalations
              WHERE first AND world = ${{kind:sqlstring}} AND {WITHIN.format("at_ms")}
              GROUP BY 1, 2 ORDER BY 1 DESC LIMIT 400) AS p
            LEFT JOIN (SELECT name, rank, budget FROM grafana_ladder OFFSET 0) AS l ON l.name = p.level_name
            ORDER BY 1 DESC, l.rank DESC"""),
        ),
        lines(
            Look(
                "决定的消息",
                "每个时间段决定的消息，按种类。",
                "none",
                (16, 8),
                "这段时间没有通知",
                minimum=0,
                interval="1m",
            ),
            Sql(
                f"""
            SELECT {BUCKET.format("at_ms")} AS "time", {
                    words.case("kind", words.MESSAGES)
                } AS metric, count(*) AS "消息"
            FROM grafana_escalations WHERE world = ${{kind:sqlstring}} AND {WITHIN.format("at_ms")}
            GROUP BY 1, 2 ORDER BY 1""",
                series=True,
            ),
            bars=True,
            stacked=True,
        ),
        lines(
            Look(
                "被挡下的消息",
                "静默和安静时段挡下的；到时候还没有人确认就会发出。",
                "none",
                (8, 8),
                "无",
                minimum=0,
            ),
            series("sum by (by) (increase(wenxun_escalations_suppressed_total{@}[$__rate_interval]))", "{{by}}"),
            bars=True,
        ),
    ]


def channels() -> list[Panel]:
    return [
        states(
            Look(
                "渠道",
                "每个渠道的熔断器：连续失败后暂停，过一会儿试探。",
                "none",
                (12, 8),
                "channels.yml 没有渠道",
                [(None, words.GOOD), (1, words.WARN), (2, words.BAD)],
                words=words.BREAKER,
            ),
            series("max by (channel) (wenxun_circuit_state{@})", "{{channel}}"),
        ),
        lines(
            Look("送达结果", "按渠道类型和结果。", "suffix: 条/分", (12, 8), "没有送达", minimum=0),
            series(
                "60 * sum by (channel, outcome) (rate(wenxun_deliveries_total{@}[$__rate_interval]))",
                "{{channel}} {{outcome}}",
            ),
        ),
        lines(
            Look(
                "一次发送的时间",
                "对方服务器应答的时间，按渠道类型。",
                "s",
                (8, 8),
                "没有送达",
                rising(5, 20),
                minimum=0,
            ),
            quantile(0.5, "wenxun_delivery_attempt_seconds", "channel", "A"),
            quantile(0.95, "wenxun_delivery_attempt_seconds", "channel", "B"),
        ),
        lines(
            Look(
                "等待送达的消息",
                "没有确认送达的消息，和最老一条的年龄（右轴）。",
                "none",
                (8, 8),
                "送达没有运行",
                minimum=0,
                columns={"最老": {"unit": "s", "custom.axisPlacement": "right"}},
            ),
            series("max(wenxun_outbox_pending{@})", "条数"),
            series("max(wenxun_outbox_oldest_seconds{@})", "最老", "B"),
        ),
        rows(
            Look(
                "各渠道的送达",
                "所选时间里的消息，按渠道和结果。",
                "none",
                (8, 8),
                "这段时间没有消息",
                columns={"结果": words.column(words.DELIVERIES), "平均用时": {"unit": "ms", "decimals": 0}},
            ),
            Sql(f"""
            SELECT d.channel AS "渠道", d.status AS "结果", count(*) AS "消息", sum(d.attempts) AS "次数",
              avg(d.at_ms - d.decided_ms) AS "平均用时"
            FROM grafana_deliveries d LEFT JOIN grafana_escalations p ON p.id = d.escalation_id
            WHERE {WITHIN.format("d.at_ms")} AND COALESCE(p.world, 'live') = ${{kind:sqlstring}}
            GROUP BY 1, 2 ORDER BY 1, 2"""),
        ),
        rows(
            Look(
                "没有送到的消息",
                "试到最后也没有送到的；原因在值班台的投递页看。",
                "none",
                (12, 8),
                "无",
                failure="broken_channel",
                columns={"时间": TIME},
            ),
            Sql(f"""
            SELECT d.at_time AS "时间", e.short AS "事件", d.person AS "收件人",
              d.channel AS "渠道", d.attempts AS "次数"
            FROM grafana_deliveries d LEFT JOIN grafana_events e ON e.id = d.event_id
            LEFT JOIN grafana_escalations p ON p.id = d.escalation_id
            WHERE d.status = 'dead' AND COALESCE(p.world, 'live') = ${{kind:sqlstring}}
              AND {WITHIN.format("d.at_ms")} ORDER BY d.at_ms DESC LIMIT 200"""),
        ),
        rows(
            Look(
                "渠道的失败",
                "连续失败的渠道，和熔断到几时。",
                "none",
                (12, 8),
                "无",
                failure="broken_channel",
                columns={"熔断到": TIME},
            ),
            Sql("""
            SELECT channel AS "渠道", failures AS "连续失败", opened AS "熔断次数",
              CASE WHEN open_until_ms > 0 THEN open_until_time END AS "熔断到"
            FROM grafana_channels WHERE failures > 0 ORDER BY failures DESC"""),
        ),
    ]
