"""事件: one event by its number, all of it from PostgreSQL; level changes, pages and what people did as annotations."""

# ruff: noqa: S608 - queries are made here once, of words that stand here; what people choose is Grafana's to quote
from __future__ import annotations

from deploy.grafana.build import board, words
from deploy.grafana.build.duty import EVENT_LINKS, LEFT, TIME
from deploy.grafana.build.panels import Look, Panel, lines, rising, rows, stats
from deploy.grafana.build.queries import BUCKET, NOW, SUBJECT_TITLE, WITHIN, Sql
from deploy.grafana.build.words import case

THIS = "event_id = ${event_id:sqlstring}"
_MEMBER = f"m.{THIS} AND {WITHIN.format('m.at_ms')}"
_GROWN = """
    SELECT at_ms, greatest(0, total - lag(total) OVER (PARTITION BY item_id ORDER BY at_ms)) AS grown FROM (
      SELECT c.item_id, c.at_ms, COALESCE(c.comments, 0) + COALESCE(c.forwards, 0) + COALESCE(c.likes, 0) AS total
      FROM grafana_members m JOIN grafana_counts c ON c.item_id = m.item_id WHERE m.event_id = ${event_id:sqlstring}
    ) AS counted"""
"""Comments, forwards and likes that came since the item was looked at before."""


def made(desk: str) -> board.Board:
    return board.Board(
        uid="wenxun-event",
        title="事件",
        description="一个事件的来龙去脉：条数、来源、情感、热度随时间的变化，级别变化和通知标在图上；时限、通知和送达。文字在值班台看。",
        variables=[board.desk(desk), board.kind(), *_variables()],
        marks=_marks(),
        rows=[("概况", _summary()), ("随时间", _over_time()), ("处置", _handling()), ("来源", [_sources()])],
    )


def _variables() -> list[board.Variable]:
    return [
        board.listed(
            "event",
            "事件",
            "事件的编号，如 E-0317；处置中的在前，然后是所选时间里有动静的。",
            """
            SELECT short AS __text, short AS __value FROM grafana_events
            WHERE kind = ${kind:sqlstring} AND number > 0 AND (status = 'open' OR last_item_ms >= $__from)
            ORDER BY (status = 'open') DESC, level DESC, changed_ms DESC LIMIT 1000""",
        ),
        board.listed(
            "event_id",
            "事件的内部编号",
            "由编号查得，图上的查询用它。",
            """
            SELECT id FROM grafana_events WHERE short = ${event:sqlstring}
            AND number = substring(${event:sqlstring} FROM '[0-9]+')::integer
            ORDER BY opened_ms DESC LIMIT 1""",
            hidden=True,
        ),
    ]


def _marks() -> list[board.Mark]:
    acts = {
        "ack": "确认",
        "snooze": "暂缓",
        "hand_over": "转交",
        "close": "关闭",
        "answered": "权威发布",
        "clock_stopped": "时限停止",
    }
    listed = ", ".join(words.quoted(act) for act in acts)
    return [
        board.sql_mark(
            "级别变化",
            f"""
            SELECT l.at_time AS "time", COALESCE(b.name,
              '未达级') || ' → ' || COALESCE(NULLIF(l.name, ''), '未达级') AS text,
              '级别变化' AS tags
            FROM grafana_levels l LEFT JOIN grafana_ladder b ON b.rank = l.previous
            WHERE l.{THIS} AND {WITHIN.format("l.at_ms")} ORDER BY l.at_ms""",
            words.BAD,
        ),
        board.sql_mark(
            "通知",
            f"""
            SELECT at_time AS "time", {case("kind", words.MESSAGES)} || ' ' || COALESCE(level_name, '') AS text,
              '通知' AS tags
            FROM grafana_escalations WHERE {THIS} AND {WITHIN.format("at_ms")} ORDER BY at_ms LIMIT 500""",
            words.WARN,
        ),
        board.sql_mark(
            "处置",
            f"""
            SELECT at_time AS "time", {case("kind", {act: (text, "") for act, text in acts.items()})} AS text,
              '处置' AS tags
            FROM grafana_timeline WHERE {THIS} AND kind IN ({listed}) AND {WITHIN.format("at_ms")}
            ORDER BY at_ms LIMIT 500""",
            words.GOOD,
            failure="ack",
        ),
    ]


def _summary() -> list[Panel]:
    return [
        rows(
            Look(
                "概况",
                "事件现在的样子；点编号到值班台看内容和处置。",
                "none",
                (14, 4),
                "没有选事件，或没有这个编号",
                levels=("级别", "最高级别"),
                columns={"编号": EVENT_LINKS, "首见": TIME, "最近一条": TIME, "状态": words.column(words.EVENTS)},
            ),
            Sql(f"""
            SELECT e.short AS "编号", {SUBJECT_TITLE.format("e")} AS "主题", e.status AS "状态",
              NULLIF(e.level_name, '') AS "级别", peak.name AS "最高级别", e.opened_time AS "首见",
              e.last_item_time AS "最近一条"
            FROM grafana_events e LEFT JOIN grafana_subjects s ON s.id = e.subject_id
            LEFT JOIN grafana_ladder peak ON peak.rank = e.peak WHERE e.id = ${{event_id:sqlstring}}"""),
        ),
        stats(
            Look("条数", "归入这个事件的不同条目。", "none", (3, 4), "没有选事件"),
            Sql('SELECT items AS "条数" FROM grafana_events WHERE id = ${event_id:sqlstring}'),
        ),
        stats(
            Look("独立来源", "这些条目来自多少个独立的来源。", "none", (3, 4), "没有选事件"),
            Sql('SELECT sources AS "独立来源" FROM grafana_events WHERE id = ${event_id:sqlstring}'),
        ),
        stats(
            Look(
                "负面占比",
                "判得出情感的条目里负面的占多少。负面本身不会使事件升级。",
                "percentunit",
                (4, 4),
                "没有判得出情感的条目",
                decimals=0,
            ),
            Sql("""
            SELECT avg(CASE WHEN s.polarity = 'negative' THEN 1.0 ELSE 0.0 END) AS "负面占比"
            FROM grafana_events e JOIN grafana_members m ON m.event_id = e.id
            JOIN grafana_matches s ON s.item_id = m.item_id AND s.subject = e.subject
            WHERE e.id = ${event_id:sqlstring} AND s.polarity <> 'unsure'"""),
        ),
    ]


def _over_time() -> list[Panel]:
    return [
        lines(
            Look(
                "条目",
                "每个时间段归入的条目，按条目自己的时间。",
                "none",
                (12, 8),
                "这段时间没有条目",
                minimum=0,
                interval="1m",
            ),
            Sql(
                f"""
            SELECT {BUCKET.format("m.at_ms")} AS "time", '条目' AS metric, count(*) AS "条数"
            FROM grafana_members m WHERE {_MEMBER} GROUP BY 1 ORDER BY 1""",
                series=True,
            ),
            bars=True,
        ),
        lines(
            Look(
                "累计条目和独立来源",
                "到那时为止归入的条目，和它们来自多少个独立来源；级别就看这两条线在窗口里涨了多少。",
                "none",
                (12, 8),
                "还没有条目",
                minimum=0,
                interval="1m",
            ),
            Sql(
                f"""
            SELECT "time", '条目' AS metric, sum(count(*)) OVER (ORDER BY "time") AS "累计"
            FROM (SELECT {BUCKET.format("m.at_ms")} AS "time" FROM grafana_members m WHERE m.{THIS}) AS joined
            GROUP BY 1 ORDER BY 1""",
                series=True,
            ),
            Sql(
                f"""
            SELECT "time", '独立来源' AS metric, sum(count(*)) OVER (ORDER BY "time") AS "累计" FROM (
              SELECT s.origin, {BUCKET.format("min(m.at_ms)")} AS "time"
              FROM grafana_events e JOIN grafana_members m ON m.event_id = e.id
              JOIN grafana_matches s ON s.item_id = m.item_id AND s.subject = e.subject
              WHERE e.id = ${{event_id:sqlstring}} GROUP BY s.origin) AS firsts
            GROUP BY 1 ORDER BY 1""",
                "B",
                series=True,
            ),
        ),
        lines(
            Look(
                "情感",
                "每个时间段的条目，按情感；判不准的算“不确定”。",
                "none",
                (12, 8),
                "这段时间没有条目",
                minimum=0,
                interval="1m",
            ),
            Sql(
                f"""
            SELECT {BUCKET.format("m.at_ms")} AS "time", {case("s.polarity", words.POLARITIES)} AS metric,
              count(*) AS "条数"
            FROM grafana_events e JOIN grafana_members m ON m.event_id = e.id
            JOIN grafana_matches s ON s.item_id = m.item_id AND s.subject = e.subject
            WHERE e.id = ${{event_id:sqlstring}} AND {_MEMBER} GROUP BY 1, 2 ORDER BY 1""",
                series=True,
            ),
            bars=True,
            stacked=True,
        ),
        lines(
            Look(
                "热度",
                "每个时间段的条数，再加评论、转发、点赞的增长，每一次按规则 events.interaction 折算。",
                "none",
                (12, 8),
                "这段时间没有条目",
                minimum=0,
                decimals=1,
                interval="1m",
            ),
            Sql(
                f"""
            SELECT "time", '热度' AS metric, sum(heat) AS "热度" FROM (
              SELECT {BUCKET.format("m.at_ms")} AS "time", 1.0::float8 AS heat FROM grafana_members m WHERE {_MEMBER}
              UNION ALL
              SELECT {BUCKET.format("at_ms")}, grown * (SELECT interaction FROM grafana_book) FROM ({_GROWN}) AS growth
              WHERE grown > 0 AND {WITHIN.format("at_ms")}) AS summed GROUP BY 1 ORDER BY 1""",
                series=True,
            ),
        ),
        lines(
            Look(
                "评论、转发、点赞",
                "每个时间段的增长；来源不给数字的不在内。",
                "none",
                (24, 7),
                "来源没有给出评论、转发、点赞的数字",
                minimum=0,
                failure="interactions",
                interval="1m",
            ),
            Sql(
                f"""
            SELECT {BUCKET.format("at_ms")} AS "time", '增长' AS metric, sum(grown) AS "增长"
            FROM ({_GROWN}) AS growth WHERE grown > 0 AND {WITHIN.format("at_ms")} GROUP BY 1 ORDER BY 1""",
                series=True,
            ),
            bars=True,
        ),
    ]


def _handling() -> list[Panel]:
    return [
        rows(
            Look(
                "级别变化",
                "每次升降和原因，新的在前。",
                "none",
                (10, 8),
                "没有达到过任何级别",
                levels=("从", "到"),
                columns={"时间": TIME},
            ),
            Sql(f"""
            SELECT l.at_time AS "时间", COALESCE(b.name, '未达级') AS "从",
              COALESCE(NULLIF(l.name, ''), '未达级') AS "到"
            FROM grafana_levels l LEFT JOIN grafana_ladder b ON b.rank = l.previous
            WHERE l.{THIS} ORDER BY l.at_ms DESC LIMIT 200"""),
        ),
        rows(
            Look(
                "回应时限",
                "这个事件的每个时钟：到期、提醒到百分之几、谁停的。",
                "none",
                (14, 8),
                "没有开始过时钟",
                columns={"到期": TIME, "停止": TIME, "剩余": LEFT, "已提醒": {"unit": "percent"}},
            ),
            Sql(f"""
            SELECT name AS "时限", CASE WHEN stopped_ms IS NULL THEN (due_ms - {NOW}) / 1000 END AS "剩余",
              due_time AS "到期", warned AS "已提醒", stopped_time AS "停止", NULLIF(stopped_by, '') AS "停止者"
            FROM grafana_clocks WHERE {THIS} ORDER BY due_ms"""),
        ),
        rows(
            Look(
                "告警",
                "这个事件的告警：到了哪一步，谁确认了。",
                "none",
                (10, 6),
                "没有告警",
                columns={"状态": words.column(words.ALERTS), "升级时间": TIME, "确认时间": TIME},
            ),
            Sql(f"""
            SELECT status AS "状态", NULLIF(acked_by, '') AS "确认人", acked_time AS "确认时间",
              NULLIF(handed_to, '') AS "转给", raised_time AS "升级时间" FROM grafana_alerts WHERE {THIS}"""),
        ),
        rows(
            Look(
                "通知",
                "决定发出的消息；被静默或安静时段挡下的注明原因。",
                "none",
                (14, 6),
                "没有通知",
                columns={"时间": TIME, "种类": words.column(words.MESSAGES)},
                levels=("级别",),
            ),
            Sql(f"""
            SELECT at_time AS "时间", kind AS "种类", NULLIF(level_name, '') AS "级别",
              NULLIF(suppressed_by, '') AS "被挡下" FROM grafana_escalations WHERE {THIS}
            ORDER BY at_ms DESC LIMIT 200"""),
        ),
        rows(
            Look(
                "送达",
                "每条消息送给谁、走哪个渠道、结果怎样、用了多久。",
                "none",
                (24, 8),
                "没有送达记录",
                columns={"时间": TIME, "结果": words.column(words.DELIVERIES), "用时": {"unit": "ms"}},
            ),
            Sql(f"""
            SELECT at_time AS "时间", person AS "收件人", channel AS "渠道", status AS "结果", attempts AS "次数",
              at_ms - decided_ms AS "用时", NULLIF(suppressed_by, '') AS "被挡下"
            FROM grafana_deliveries WHERE {THIS} ORDER BY at_ms DESC LIMIT 500"""),
        ),
    ]


def _sources() -> Panel:
    return rows(
        Look(
            "条目来自哪些来源",
            "来源的名称取自正在使用的规则。条目的标题和内容在值班台看。",
            "none",
            (24, 8),
            "没有条目",
            columns={"最早": TIME, "最近": TIME},
            steps=rising(10_000, 100_000),
        ),
        Sql(f"""
            SELECT COALESCE(n.name, i.source_id) AS "来源", n."group" AS "分组", count(*) AS "条数",
              min(m.at_ms) AS "最早", max(m.at_ms) AS "最近"
            FROM grafana_members m JOIN grafana_items i ON i.id = m.item_id
            LEFT JOIN grafana_source_names n ON n.id = i.source_id
            WHERE m.{THIS} GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 200"""),
    )
