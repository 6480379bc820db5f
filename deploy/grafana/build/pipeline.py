"""管道: rates, latency, what waits, errors, the store, the machine: per role."""

# ruff: noqa: S608 - queries are made here once, of words that stand here; what people choose is Grafana's to quote
from __future__ import annotations

from deploy.grafana.build import board, machine, words
from deploy.grafana.build.duty import HIDDEN, TIME
from deploy.grafana.build.panels import Look, Panel, falling, lines, rising, rows, stats
from deploy.grafana.build.queries import WITHIN, Sql, instant, quantile, series


def made(desk: str) -> board.Board:
    return board.Board(
        uid="wenxun-pipeline",
        title="管道",
        description="系统本身：每个环节的速率、时延、积压、错误，存储和机器。系统告警标在图上。",
        variables=[*board.targets(shown=True), board.role()],
        marks=[board.alert_mark()],
        time="now-6h",
        rows=[
            ("现在", _now()),
            ("速率", _rates()),
            ("时延", _latency()),
            ("积压和提交", _waiting()),
            ("错误", _errors()),
            ("流处理和消息队列", machine.stream()),
            ("存储和值班台", machine.store()),
            ("机器", machine.machine()),
        ],
    )


def _now() -> list[Panel]:
    return [
        stats(
            Look(
                "在运行的角色",
                "至少有一个进程在运行的角色数；完整的一套是八个。",
                "none",
                (3, 5),
                "没有进程",
                falling(7, 8),
            ),
            instant("count(count by (role) (wenxun_role_info{@role}))", "角色"),
        ),
        stats(
            Look("未就绪", "在运行而还没有就绪的角色（/readyz）。", "none", (3, 5), "没有进程", rising(1, 2)),
            instant("count(wenxun_ready{@role}) - sum(wenxun_ready{@role})", "未就绪"),
        ),
        stats(
            Look("采集不到指标的进程", "Prometheus 联系不上的进程。", "none", (3, 5), "没有目标", rising(1, 2)),
            instant("count(up{@}) - sum(up{@})", "联系不上"),
        ),
        stats(
            Look(
                "消息队列",
                "最近一次查看时 Kafka 有没有应答。",
                "none",
                (3, 5),
                "还没有查看",
                falling(0.5, 1),
                words=words.YES_NO,
            ),
            instant("min(wenxun_broker_reachable{@})", "应答"),
        ),
        stats(
            Look(
                "存储",
                "最近一次用到数据库的角色，是不是都成功。",
                "none",
                (3, 5),
                "还没有用到",
                falling(0.5, 1),
                words=words.YES_NO,
            ),
            instant("min(wenxun_store_reachable{@role})", "成功"),
        ),
        stats(
            Look(
                "最久等待",
                "最老的未读记录等了多久；几分钟以上说明有角色停了或跟不上。",
                "s",
                (3, 5),
                "Kafka 没有应答",
                rising(60, 300),
                decimals=0,
            ),
            instant("max(wenxun_consumer_oldest_wait_seconds{@})", "等待"),
        ),
        stats(
            Look(
                "下落不明的告警",
                "决定了而送达环节不知道的告警，应当总是零。",
                "none",
                (3, 5),
                "送达没有运行",
                rising(1, 2),
            ),
            instant("max(wenxun_unaccounted_alerts{@})", "告警"),
        ),
        stats(
            Look(
                "死信（所选时间）",
                "搁置的记录；看原因，修好后用 wenxun dlq replay 重放。",
                "none",
                (3, 5),
                "无死信",
                rising(1, 10),
                decimals=0,
                failure="dead_letter",
            ),
            Sql(f"""SELECT count(*) AS "死信" FROM grafana_dead_letters WHERE {WITHIN.format("at_ms")}"""),
        ),
    ]


def _rates() -> list[Panel]:
    per = "rate({}[$__rate_interval])"
    return [
        lines(
            Look("各角色处理的记录", "一条记录是一批条目。", "suffix: 条/秒", (12, 8), "没有处理过记录", minimum=0),
            series(f"sum by (role, outcome) ({per.format('wenxun_records_total{@role}')})", "{{role}} {{outcome}}"),
        ),
        lines(
            Look(
                "采集和打分的条目",
                "采集到的新条目和修改，打分的条目按是否匹配主题。",
                "suffix: 条/分",
                (12, 8),
                "没有条目",
                minimum=0,
            ),
            series(f"60 * sum by (kind) ({per.format('wenxun_items_collected_total{@}')})", "采集 {{kind}}"),
            series(
                f"60 * sum by (matched) ({per.format('wenxun_items_scored_total{@}')})", "打分 匹配={{matched}}", "B"
            ),
        ),
        lines(
            Look("级别判定", "按原因。", "suffix: 次/分", (8, 7), "没有判定", minimum=0),
            series(f"60 * sum by (why) ({per.format('wenxun_level_decisions_total{@}')})", "{{why}}"),
        ),
        lines(
            Look(
                "决定的消息",
                "按种类。",
                "suffix: 条/分",
                (8, 7),
                "没有消息",
                minimum=0,
                columns=words.named(words.MESSAGES),
            ),
            series(f"60 * sum by (kind) ({per.format('wenxun_escalations_total{@}')})", "{{kind}}"),
        ),
        lines(
            Look("归档写入", "写入数据库的行，按表。", "suffix: 行/秒", (8, 7), "没有写入", minimum=0),
            series(f"sum by (table) ({per.format('wenxun_archive_rows_total{@}')})", "{{table}}"),
        ),
    ]


def _latency() -> list[Panel]:
    stage, age = "wenxun_event_e2e_latency_seconds", "wenxun_item_age_seconds"
    return [
        lines(
            Look(
                "首见到各环节",
                "从第一次看到条目，到打分、判定升级、决定通知、对方收到。虚线是 5 分钟。",
                "s",
                (12, 8),
                "还没有走完的条目",
                rising(300, 1800),
                minimum=0,
            ),
            quantile(0.5, stage, "stage", "A"),
            quantile(0.95, stage, "stage", "B"),
        ),
        lines(
            Look(
                "条目到手时有多旧",
                "从条目自称的发布时间到第一次看到；由来源的更新和采集间隔决定。",
                "s",
                (12, 8),
                "还没有条目",
                minimum=0,
            ),
            quantile(0.5, age, "", "A"),
            quantile(0.95, age, "", "B"),
        ),
        lines(
            Look("一条记录的处理时间", "各角色处理一条记录。", "s", (8, 7), "没有处理过记录", minimum=0),
            quantile(0.5, "wenxun_stream_event_seconds", "role", "A", ',role=~"$role"'),
            quantile(0.95, "wenxun_stream_event_seconds", "role", "B", ',role=~"$role"'),
        ),
        lines(
            Look("归档一批的时间", "写入数据库一批。", "s", (8, 7), "没有写入", minimum=0),
            quantile(0.5, "wenxun_archive_write_seconds", "", "A"),
            quantile(0.95, "wenxun_archive_write_seconds", "", "B"),
        ),
        lines(
            Look(
                "决定到送达",
                "从决定通知到对方的服务器确认，按渠道类型。",
                "s",
                (8, 7),
                "没有送达",
                rising(60, 300),
                minimum=0,
            ),
            quantile(0.5, "wenxun_delivery_latency_seconds", "channel", "A"),
            quantile(0.95, "wenxun_delivery_latency_seconds", "channel", "B"),
        ),
    ]


def _waiting() -> list[Panel]:
    return [
        lines(
            Look(
                "最老的未读记录等了多久",
                "按消费组；数量多不要紧，等得久才要紧。",
                "s",
                (12, 8),
                "Kafka 没有应答",
                rising(60, 300),
                minimum=0,
            ),
            series("max by (group) (wenxun_consumer_oldest_wait_seconds{@})", "{{group}}"),
        ),
        lines(
            Look("未提交的记录", "Kafka 看到的积压，按消费组和主题。", "none", (12, 8), "Kafka 没有应答", minimum=0),
            series("sum by (group, topic) (wenxun_consumer_lag_records{@})", "{{group}} {{topic}}"),
        ),
        lines(
            Look(
                "距最近一次提交",
                "各角色最近一次提交到现在；有积压而长久不提交，是卡住了。",
                "s",
                (12, 7),
                "还没有提交过",
                minimum=0,
            ),
            series("time() - max by (role) (wenxun_last_commit_timestamp_seconds{@role})", "{{role}}"),
        ),
        lines(
            Look("处理了而未提交", "最差的分区上已处理、未提交的记录。", "none", (12, 7), "没有处理过记录", minimum=0),
            series("max by (role) (wenxun_uncommitted_records{@role})", "{{role}}"),
        ),
    ]


def _errors() -> list[Panel]:
    return [
        lines(
            Look(
                "死信",
                "前 15 分钟里搁置的记录，按角色和原因。",
                "none",
                (12, 8),
                "无死信",
                minimum=0,
                failure="dead_letter",
            ),
            series(
                'sum by (role, reason) (wenxun:dead_letters:increase15m{role=~"$role"})',
                "{{role}} {{reason}}",
            ),
            bars=True,
            stacked=True,
        ),
        rows(
            Look(
                "死信清单",
                "最近的死信；内容用 wenxun dlq show 看。",
                "none",
                (12, 8),
                "无死信",
                failure="dead_letter",
                columns={"时间": TIME, "重放": TIME},
            ),
            Sql(f"""
            SELECT at_time AS "时间", topic AS "主题", reason AS "原因", replayed_time AS "重放", id AS "编号"
            FROM grafana_dead_letters WHERE {WITHIN.format("at_ms")} ORDER BY at_ms DESC LIMIT 200"""),
        ),
        lines(
            Look(
                "处理中的错误",
                "前 15 分钟里角色挺过来的错误；每一次都值得看日志。",
                "none",
                (8, 7),
                "无错误",
                minimum=0,
            ),
            series('sum by (role) (wenxun:agent_errors:increase15m{role=~"$role"})', "{{role}}"),
            bars=True,
        ),
        lines(
            Look("没有发出的记录", "Kafka 没有收下的记录；不会丢，会重来。", "none", (8, 7), "无", minimum=0),
            series("sum by (role) (increase(wenxun_produce_errors_total{@role}[$__rate_interval]))", "{{role}}"),
            bars=True,
        ),
        lines(
            Look("写入失败而重试", "归档写数据库失败的次数；不会丢，恢复后补写。", "none", (8, 7), "无", minimum=0),
            series("sum(increase(wenxun_archive_errors_total{@}[$__rate_interval]))", "失败"),
            bars=True,
        ),
        rows(
            Look(
                "正在触发的系统告警",
                "Prometheus 正在触发的规则；处理步骤见值班台的 /runbooks/名称。",
                "none",
                (24, 7),
                "无系统告警",
                failure="role_down",
                columns={
                    "Time": HIDDEN,
                    "Value": HIDDEN,
                    "alertname": {"displayName": "规则"},
                    "severity": {"displayName": "轻重", **words.column(words.SEVERITY)},
                },
            ),
            instant('max by (alertname, severity) (ALERTS{alertname=~"Wenxun.+",alertstate="firing"})', table=True),
        ),
    ]
