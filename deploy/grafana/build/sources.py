"""来源: whether the sources can be heard, and how they are read."""

# ruff: noqa: S608 - queries are made here once, of words that stand here; what people choose is Grafana's to quote
from __future__ import annotations

from deploy.grafana.build import board, words
from deploy.grafana.build.duty import HIDDEN, TIME
from deploy.grafana.build.panels import Look, Panel, bars, lines, rising, rows, stats
from deploy.grafana.build.queries import BUCKET, NOW, WITHIN, Sql, instant, quantile, series

_PICKED = "source_id = ANY(ARRAY[${source:sqlstring}]::text[])"


def made(desk: str) -> board.Board:
    source = board.listed(
        "source",
        "来源",
        "哪些来源，默认全部；只管“条目”和“清单”两行。",
        """
        SELECT COALESCE(n.name, s.id) AS __text, s.id AS __value FROM grafana_sources s
        LEFT JOIN grafana_source_names n ON n.id = s.id ORDER BY 1""",
        many=True,
    )
    return board.Board(
        uid="wenxun-sources",
        title="来源",
        description="每个来源听不听得到、多久没有新内容、采集得顺不顺。网址和错误原文在值班台看。",
        variables=[board.desk(desk), source, *board.targets()],
        rows=[("现在", _now()), ("听不到的来源", _deaf()), ("采集", _polls()), ("条目", _items()), ("清单", [_list()])],
    )


def _now() -> list[Panel]:
    return [
        bars(
            Look(
                "来源状态",
                "各状态的来源数。沉默：能采集，但比平时久得多没有新内容。",
                "none",
                (9, 8),
                "采集没有运行",
                minimum=0,
                decimals=0,
                columns=words.named(words.HEALTH),
            ),
            instant("sum by (state) (wenxun_sources{@})", "{{state}}"),
        ),
        stats(
            Look("数据新鲜度", "最近一次成功采集距今多久。", "s", (5, 8), "没有采集过", rising(600, 1800), decimals=0),
            instant("time() - max(wenxun_feed_last_success_timestamp_seconds{@})", "新鲜度"),
        ),
        stats(
            Look(
                "最久没有成功的来源",
                "所有来源里，最近一次成功采集最早的那个，距今多久。",
                "s",
                (5, 8),
                "没有采集过",
                rising(7200, 43_200),
                decimals=0,
            ),
            instant("time() - min(wenxun_feed_last_success_timestamp_seconds{@})", "最久"),
        ),
        stats(
            Look("负责的来源", "所有采集进程一共负责多少来源；应当等于启用的来源数。", "none", (5, 8), "采集没有运行"),
            instant("sum(wenxun_feed_polls_assigned{@})", "负责"),
        ),
    ]


def _deaf() -> list[Panel]:
    return [
        rows(
            Look(
                "失联的来源",
                "从什么时候起听不到、为什么。先用 wenxun sources check 网址 看对方的应答。",
                "none",
                (12, 8),
                "无失联来源",
                failure="blind_source",
                columns={
                    "Time": HIDDEN,
                    "Value": {"unit": "dateTimeFromNow", "displayName": "从何时起"},
                    "source": {"displayName": "来源"},
                    "outcome": {"displayName": "原因"},
                },
            ),
            instant("1000 * max by (source, outcome) (wenxun_source_blind_since_timestamp_seconds{@})", table=True),
        ),
        rows(
            Look(
                "正在失败的来源",
                "最近一次采集失败的来源；失败得久了就是失联。",
                "none",
                (12, 8),
                "无失败来源",
                failure="bad_source",
                columns={"从何时起": TIME, "上次成功": TIME},
            ),
            Sql("""
            SELECT COALESCE(n.name, s.id) AS "来源", s.outcome AS "原因", s.failures AS "连续失败",
              s.failed_since_time AS "从何时起", s.succeeded_time AS "上次成功"
            FROM grafana_sources s LEFT JOIN grafana_source_names n ON n.id = s.id
            WHERE s.failures > 0 ORDER BY s.failures DESC LIMIT 200"""),
        ),
    ]


def _polls() -> list[Panel]:
    return [
        lines(
            Look("请求", "按结果；not_modified 是对方说没有变。", "suffix: 次/分", (12, 8), "没有请求", minimum=0),
            series("60 * sum by (outcome) (rate(wenxun_feed_fetches_total{@}[$__rate_interval]))", "{{outcome}}"),
        ),
        lines(
            Look(
                "迟到",
                "从该采集的时间到请求发出；大说明采集进程忙不过来。",
                "s",
                (12, 8),
                "没有请求",
                rising(30, 300),
                minimum=0,
            ),
            quantile(0.5, "wenxun_feed_lateness_seconds", "", "A"),
            quantile(0.95, "wenxun_feed_lateness_seconds", "", "B"),
        ),
        lines(
            Look(
                "连续失败最多的来源", "还没有到失联的。", "none", (8, 7), "无失败来源", minimum=0, failure="bad_source"
            ),
            series("topk(10, max by (source) (wenxun_feed_consecutive_failures{@}))", "{{source}}"),
        ),
        lines(
            Look(
                "采集循环的停顿",
                "采集进程的事件循环最久被占住多久；大则请求和心跳都会迟。",
                "s",
                (8, 7),
                "采集没有运行",
                rising(0.5, 2),
                minimum=0,
            ),
            series("max by (instance) (wenxun_feed_loop_lag_seconds{@})", "{{instance}}"),
        ),
        lines(
            Look(
                "互动数字的变化",
                "评论、转发、点赞、阅读数变了而送出的次数。",
                "suffix: 次/分",
                (8, 7),
                "没有变化",
                minimum=0,
            ),
            series("60 * sum(rate(wenxun_counts_changed_total{@}[$__rate_interval]))", "变化"),
        ),
        lines(
            Look(
                "读不懂的日期",
                "日期在将来或读不出的条目，按种类。",
                "none",
                (8, 7),
                "无",
                minimum=0,
            ),
            series("sum by (kind) (increase(wenxun_feed_dates_odd_total{@}[$__rate_interval]))", "{{kind}}"),
            bars=True,
        ),
        lines(
            Look(
                "打开原文",
                "规则要求全文的来源，打开原文的结果。",
                "suffix: 次/分",
                (8, 7),
                "没有要求全文的来源",
                minimum=0,
                failure="full_text",
            ),
            series("60 * sum by (outcome) (rate(wenxun_feed_pages_total{@}[$__rate_interval]))", "{{outcome}}"),
        ),
        lines(
            Look("人工上报", "部门和热线报来的，按途径。", "none", (8, 7), "没有人工上报", minimum=0),
            series("sum by (via) (increase(wenxun_intake_reports_total{@}[$__rate_interval]))", "{{via}}"),
            bars=True,
        ),
    ]


def _items() -> list[Panel]:
    return [
        lines(
            Look(
                "条目最多的十个来源",
                "每个时间段采集到的条目；修改过的算在最近一次。",
                "none",
                (16, 9),
                "这段时间没有条目",
                minimum=0,
                interval="1m",
            ),
            Sql(
                f"""
            SELECT {BUCKET.format("i.seen_ms")} AS "time", COALESCE(n.name, top.source_id) AS metric, count(*) AS "条数"
            FROM (SELECT source_id FROM grafana_items WHERE {_PICKED} AND {WITHIN.format("seen_ms")}
              GROUP BY 1 ORDER BY count(*) DESC LIMIT 10) AS top
            JOIN grafana_items i ON i.source_id = top.source_id
            LEFT JOIN grafana_source_names n ON n.id = top.source_id
            WHERE {WITHIN.format("i.seen_ms")} GROUP BY 1, 2 ORDER BY 1""",
                series=True,
            ),
            bars=True,
            stacked=True,
        ),
        bars(
            Look(
                "各分组的条目",
                "所选时间里的条目，按来源的分组。",
                "none",
                (8, 9),
                "这段时间没有条目",
                minimum=0,
                decimals=0,
            ),
            Sql(
                f"""
            SELECT now() AS "time", COALESCE(n."group", '其他') AS metric, count(*) AS "条数"
            FROM grafana_items i LEFT JOIN grafana_source_names n ON n.id = i.source_id
            WHERE i.{_PICKED} AND {WITHIN.format("i.seen_ms")} GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 30""",
                series=True,
            ),
        ),
    ]


def _list() -> Panel:
    return rows(
        Look(
            "来源清单",
            "每个来源最近一次采集、最近一次有新内容，和所选时间里的条目数。",
            "none",
            (24, 14),
            "还没有采集过任何来源",
            columns={
                "上次采集": TIME,
                "上次成功": TIME,
                "上次有新内容": TIME,
                "下次采集": TIME,
                "距上次成功": {"unit": "s", "decimals": 0},
            },
        ),
        Sql(f"""
            SELECT COALESCE(n.name, s.id) AS "来源", n."group" AS "分组", NULLIF(n.region, '') AS "地区",
              s.outcome AS "最近结果", s.failures AS "连续失败", ({NOW} - s.succeeded_ms) / 1000 AS "距上次成功",
              s.polled_time AS "上次采集", s.new_item_time AS "上次有新内容", s.next_poll_time AS "下次采集",
              COALESCE(kept.items, 0) AS "条数"
            FROM grafana_sources s LEFT JOIN grafana_source_names n ON n.id = s.id
            LEFT JOIN (SELECT source_id, count(*) AS items FROM grafana_items
              WHERE {_PICKED} AND {WITHIN.format("seen_ms")} GROUP BY 1) AS kept ON kept.source_id = s.id
            WHERE s.id = ANY(ARRAY[${{source:sqlstring}}]::text[]) ORDER BY s.failures DESC, 1 LIMIT 2500"""),
    )
