"""规则与投递: what the rules match and how right they are; which book is in force where; messages in delivery.py."""

# ruff: noqa: S608 - queries are made here once, of words that stand here
from __future__ import annotations

from deploy.grafana.build import board, delivery, words
from deploy.grafana.build.duty import HIDDEN, TIME
from deploy.grafana.build.panels import Look, Panel, bars, falling, lines, rising, rows, stats
from deploy.grafana.build.queries import BUCKET, WITHIN, Sql, instant, series

_PICKED = "subject = ANY(ARRAY[${subject:sqlstring}]::text[])"
_TITLE = "COALESCE(n.title, CASE {0} WHEN '*' THEN '未归类话题' ELSE {0} END)"


def made(desk: str) -> board.Board:
    subject = board.listed(
        "subject",
        "主题",
        "哪些主题，默认全部；演练和影子规则的主题随“范围”出现。",
        """
        SELECT title AS __text, mark || id AS __value FROM (SELECT id, title, rank FROM grafana_subjects
          UNION ALL SELECT '*', '未归类话题', 0) AS known
        CROSS JOIN (SELECT CASE ${kind:sqlstring} WHEN 'drill' THEN '!' WHEN 'shadow' THEN '~' ELSE '' END AS mark)
          AS of_kind ORDER BY rank""",
        many=True,
    )
    return board.Board(
        uid="wenxun-rules",
        title="规则与投递",
        description="规则匹配了什么、误报多少；通知有没有超出预算、有没有送到；每个进程用的是哪一本规则。",
        variables=[board.desk(desk), board.kind(), subject, *board.targets()],
        rows=[
            ("现在", _now()),
            ("匹配", _matches()),
            ("误报", _verdicts()),
            ("通知和预算", delivery.pages()),
            ("渠道和送达", delivery.channels()),
            ("规则", _books()),
        ],
    )


def _now() -> list[Panel]:
    return [
        stats(
            Look(
                "规则加载",
                "规则目录最近的状态是否已经生效；否则看 wenxun rules status。",
                "none",
                (4, 5),
                "规则角色没有运行",
                falling(0.5, 1),
                words={"0": ("没有生效", words.BAD), "1": ("已生效", words.GOOD)},
            ),
            instant("min(wenxun_rules_last_reload_successful{@})", "生效"),
        ),
        stats(
            Look("规则的问题", "使规则不能生效的错误数。", "none", (4, 5), "规则角色没有运行", rising(1, 1.5)),
            instant("max(wenxun_rules_problems{@})", "问题"),
        ),
        stats(
            Look(
                "待确认的规则",
                "改动会使许多事件升级时，等人确认。",
                "none",
                (4, 5),
                "规则角色没有运行",
                rising(1, 1.5),
                words={"0": ("无", words.GOOD), "1": ("等待确认", words.WARN)},
            ),
            instant("max(wenxun_rules_pending{@})", "待确认"),
        ),
        stats(
            Look(
                "在用的规则有几种",
                "各进程正在使用的不同规则；应当是一种，保存后的几秒里可以是两种。",
                "none",
                (4, 5),
                "还没有规则",
                rising(2, 3),
            ),
            instant("count(count by (hash) (wenxun_rules_config_hash_info{@}))", "种"),
        ),
        stats(
            Look("等待送达", "还没有确认送达的消息。", "none", (4, 5), "送达没有运行", rising(10, 100)),
            instant("max(wenxun_outbox_pending{@})", "等待"),
        ),
        stats(
            Look(
                "最久未送达", "最老的一条未送达消息等了多久。", "s", (4, 5), "送达没有运行", rising(60, 300), decimals=0
            ),
            instant("max(wenxun_outbox_oldest_seconds{@})", "最久"),
        ),
    ]


def _matches() -> list[Panel]:
    return [
        lines(
            Look(
                "各主题的匹配",
                "每个时间段匹配到的条目，按主题。",
                "none",
                (16, 9),
                "这段时间没有匹配",
                minimum=0,
                interval="1m",
            ),
            Sql(
                f"""
            SELECT m."time", {_TITLE.format("m.subject")} AS metric, m.items AS "条数" FROM (
              SELECT {BUCKET.format("first_seen_ms")} AS "time", subject, count(*) AS items FROM grafana_matches
              WHERE {_PICKED} AND {WITHIN.format("first_seen_ms")} GROUP BY 1, 2) AS m
            LEFT JOIN grafana_subjects n ON n.id = ltrim(m.subject, '~!') ORDER BY 1""",
                series=True,
            ),
            bars=True,
            stacked=True,
        ),
        rows(
            Look("主题一览", "所选时间里匹配的条目、开始的事件和首次通知。", "none", (8, 9), "没有主题"),
            Sql(f"""
            SELECT {_TITLE.format("k.subject")} AS "主题", COALESCE(m.items, 0) AS "匹配",
              COALESCE(e.events, 0) AS "事件",
              COALESCE(e.pages, 0) AS "首次通知"
            FROM unnest(ARRAY[${{subject:sqlstring}}]::text[]) AS k(subject)
            LEFT JOIN grafana_subjects n ON n.id = ltrim(k.subject, '~!')
            LEFT JOIN (SELECT subject, count(*) AS items FROM grafana_matches
              WHERE {_PICKED} AND {WITHIN.format("first_seen_ms")} GROUP BY 1) AS m ON m.subject = k.subject
            LEFT JOIN (SELECT v.subject, count(DISTINCT v.id) AS events, count(p.id) AS pages FROM grafana_events v
              LEFT JOIN grafana_escalations p ON p.event_id = v.id AND p.first
              WHERE v.{_PICKED} AND v.number > 0 AND {WITHIN.format("v.opened_ms")} GROUP BY 1) AS e
              ON e.subject = k.subject
            ORDER BY 2 DESC"""),
        ),
    ]


def _verdicts() -> list[Panel]:
    last = f"""SELECT DISTINCT ON (event_id, item_id) subject, kind FROM grafana_verdicts
        WHERE {_PICKED} AND {WITHIN.format("at_ms")} ORDER BY event_id, item_id, at_ms DESC"""
    return [
        rows(
            Look(
                "误报比例",
                "人对事件和匹配的评价，同一对象以最后一次为准；误报是判为“无关”的占比，少于五个评价时不算。",
                "none",
                (16, 8),
                "这段时间没有人评价",
                failure="verdict",
                columns={
                    "误报比例": {
                        "unit": "percentunit",
                        "decimals": 0,
                        "custom.cellOptions": {"type": "color-text"},
                        "thresholds": {
                            "mode": "absolute",
                            "steps": [{"value": value, "color": color} for value, color in rising(0.2, 0.5)],
                        },
                    }
                },
            ),
            Sql(f"""
            SELECT {_TITLE.format("v.subject")} AS "主题", count(*) AS "评价",
              count(*) FILTER (WHERE v.kind = 'relevant') AS "有关",
              count(*) FILTER (WHERE v.kind = 'not_relevant') AS "无关",
              count(*) FILTER (WHERE v.kind = 'duplicate') AS "重复",
              count(*) FILTER (WHERE v.kind = 'wrong_level') AS "级别不对",
              CASE WHEN count(*) >= 5 THEN count(*) FILTER (WHERE v.kind = 'not_relevant')::float8 / count(*) END
                AS "误报比例"
            FROM ({last}) AS v LEFT JOIN grafana_subjects n ON n.id = ltrim(v.subject, '~!')
            GROUP BY 1 ORDER BY 2 DESC"""),
        ),
        lines(
            Look(
                "评价",
                "每个时间段的评价，按种类。",
                "none",
                (8, 8),
                "这段时间没有人评价",
                minimum=0,
                interval="1h",
                failure="verdict",
            ),
            Sql(
                f"""
            SELECT {BUCKET.format("at_ms")} AS "time", {
                    words.case("kind", words.VERDICTS)
                } AS metric, count(*) AS "评价"
            FROM grafana_verdicts WHERE {_PICKED} AND {WITHIN.format("at_ms")} GROUP BY 1, 2 ORDER BY 1""",
                series=True,
            ),
            bars=True,
            stacked=True,
        ),
    ]


def _books() -> list[Panel]:
    return [
        rows(
            Look(
                "各进程的规则",
                "每个进程正在使用的规则。几秒之后还不一样，说明有进程没有跟上。",
                "none",
                (12, 8),
                "还没有规则",
                columns={
                    "Time": HIDDEN,
                    "Value": HIDDEN,
                    "instance": {"displayName": "进程"},
                    "hash": {"displayName": "规则"},
                },
            ),
            instant("max by (instance, hash) (wenxun_rules_config_hash_info{@})", table=True),
        ),
        rows(
            Look(
                "用过的规则",
                "存档里的每一本规则：什么时候第一次、最近一次生效。",
                "none",
                (12, 8),
                "还没有规则",
                columns={"首次生效": TIME, "最近生效": TIME},
            ),
            Sql("""
            SELECT hash AS "规则", CASE WHEN first_ms > 0 THEN first_time END AS "首次生效",
              CASE WHEN at_ms > 0 THEN at_time END AS "最近生效", shadow_ms > 0 AS "当过影子规则"
            FROM grafana_books ORDER BY greatest(at_ms, shadow_ms) DESC LIMIT 100"""),
        ),
        bars(
            Look("规则的内容", "正在使用的规则里各种条目的数目。", "none", (8, 8), "还没有规则", minimum=0, decimals=0),
            instant("max by (kind) (wenxun_rules_loaded{@})", "{{kind}}"),
        ),
        lines(
            Look("规则目录的变化", "按结果。", "none", (8, 8), "无变化", minimum=0),
            series("sum by (outcome) (increase(wenxun_rules_reloads_total{@}[$__rate_interval]))", "{{outcome}}"),
            bars=True,
        ),
        stats(
            Look(
                "距最近一次生效",
                "正在使用的规则是多久以前装入的，取最近的进程。",
                "s",
                (8, 8),
                "还没有规则",
                decimals=0,
            ),
            instant("time() - max(wenxun_rules_last_reload_timestamp_seconds{@})", "距今"),
        ),
    ]
