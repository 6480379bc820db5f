"""管道, its second half: Faust and Kafka's clients, the store and the desk, the machine."""

from __future__ import annotations

from deploy.grafana.build import words
from deploy.grafana.build.panels import Look, Panel, falling, lines, rising, states
from deploy.grafana.build.queries import quantile, series


def stream() -> list[Panel]:
    return [
        lines(
            Look("提交用时", "一次提交，含等待此前发出的记录，p95。", "s", (8, 7), "没有提交", minimum=0),
            quantile(0.95, "wenxun_commit_seconds", "role", "A", ',role=~"$role"'),
        ),
        lines(
            Look("发送用时", "从交给客户端到 Kafka 确认，p95。", "s", (8, 7), "没有发送", minimum=0),
            quantile(0.95, "wenxun_produce_seconds", "role", "A", ',role=~"$role"'),
        ),
        lines(
            Look("正在处理的记录", "各角色手里的记录。", "none", (8, 7), "没有流处理的角色", minimum=0),
            series("sum by (role) (wenxun_stream_events_active{@role})", "{{role}}"),
        ),
        lines(
            Look(
                "分到的分区",
                "各角色所有进程合计；少于分区数说明有分区没有人读。",
                "none",
                (8, 7),
                "没有分到分区",
                minimum=0,
            ),
            series("sum by (role) (wenxun_assigned_partitions{@role})", "{{role}}"),
        ),
        lines(
            Look("重新分配", "分区重新分配的次数；启动和停止进程时会有。", "none", (8, 7), "无", minimum=0),
            series("sum by (role) (increase(wenxun_rebalances_total{@role}[$__rate_interval]))", "{{role}}"),
            bars=True,
        ),
        lines(
            Look("状态表", "各状态表的行数。", "none", (8, 7), "没有状态表", minimum=0),
            series("sum by (role, table) (wenxun_table_keys{@role})", "{{role}} {{table}}"),
        ),
        lines(
            Look("恢复状态用时", "最近一次分到分区后，恢复状态表花的时间。", "s", (8, 7), "还没有恢复过", minimum=0),
            series("max by (role) (wenxun_recovery_seconds{@role})", "{{role}}"),
        ),
        lines(
            Look("心跳走完全程", "从采集经过每一环到送达。", "s", (8, 7), "还没有心跳", rising(60, 120), minimum=0),
            series("max(wenxun_heartbeat_latency_seconds{@})", "走完全程"),
            series("max(wenxun_heartbeat_age_seconds{@})", "最老的心跳", "B"),
        ),
        lines(
            Look(
                "时钟相差",
                "别的进程的记录比本机的钟早走多少；应当是零。",
                "s",
                (8, 7),
                "还没有听到别的进程",
                rising(1, 5),
                minimum=0,
            ),
            series("max by (role) (wenxun_clock_ahead_seconds{@role})", "{{role}}"),
        ),
    ]


def store() -> list[Panel]:
    return [
        states(
            Look(
                "存储可用",
                "各角色最近一次用数据库是否成功。",
                "none",
                (12, 7),
                "还没有用到",
                falling(0.5, 1),
                words=words.YES_NO,
            ),
            series("min by (role) (wenxun_store_reachable{@role})", "{{role}}"),
        ),
        lines(
            Look(
                "值班台的请求", "按应答的类别；5xx 是值班台自己出错。", "suffix: 次/秒", (6, 7), "没有请求", minimum=0
            ),
            series("sum by (code) (rate(wenxun_desk_requests_total{@}[$__rate_interval]))", "{{code}}"),
        ),
        lines(
            Look("值班台的应答时间", "每个请求。", "s", (6, 7), "没有请求", minimum=0),
            quantile(0.5, "wenxun_desk_request_seconds", "", "A"),
            quantile(0.95, "wenxun_desk_request_seconds", "", "B"),
        ),
    ]


def machine() -> list[Panel]:
    who = "{{instance}}"
    return [
        lines(
            Look("内存", "各进程占用的内存，和它与邻居一共可用的。", "bytes", (12, 8), "读不到", minimum=0),
            series("process_resident_memory_bytes{@}", who),
            series("min(wenxun_memory_limit_bytes{@})", "可用", "B"),
        ),
        lines(
            Look("处理器", "各进程占用的核数。", "none", (12, 8), "读不到", minimum=0, decimals=2),
            series("sum by (instance) (rate(process_cpu_seconds_total{@}[$__rate_interval]))", who),
        ),
        lines(
            Look(
                "数据目录剩余空间",
                "占文件系统的比例；虚线是 15% 和 5%。",
                "percentunit",
                (8, 7),
                "没有数据目录",
                falling(0.05, 0.15),
                minimum=0,
                maximum=1,
            ),
            series("min by (instance) (wenxun_data_disk_free_bytes{@} / wenxun_data_disk_size_bytes{@})", who),
        ),
        lines(
            Look("打开的文件", "各进程打开的文件和连接。", "none", (8, 7), "读不到", minimum=0),
            series("process_open_fds{@}", who),
        ),
        lines(
            Look(
                "重新启动",
                "所选间隔里进程换过几次；没有人重启而有数字，是它自己死过。",
                "none",
                (8, 7),
                "读不到",
                minimum=0,
            ),
            series("changes(process_start_time_seconds{@}[$__rate_interval])", who),
            bars=True,
        ),
    ]
