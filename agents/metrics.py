"""Every metric of every role, in one table: name, kind, help, labels, who exports it, when it is absent.

Names follow the Prometheus practices. No label is unbounded: no URL, title, keyword, person, event or alert id.
`source` is a source id of sources.yml, `channel` a channel id of channels.yml or its type.

A process exposes the metrics of its own roles alone, and a gauge without labels only once it was set: a 0 that nobody
measured would look like an answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric as Family

from agents.deadletter import Reason
from pipeline.collect.schedule import Outcome
from pipeline.model import EscalationKind, Why

LATENCY = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600)
"""From first sight to a stage, or from decided to confirmed: under a second in a chain that keeps up, hours if not."""
WORK = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
"""One record, one commit, one write: an event's deadline is 30 s."""
CALL = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60)
"""One attempt at another's server."""
PAGE = (0.005, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
"""One request to the desk."""
AGE = (10, 60, 180, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400)
"""Of an item at first sight: from a ticker to a site that shows yesterday's news."""

COLLECT, SCORE, TRACK, ESCALATE = "collect", "score", "track", "escalate"
DELIVER, ARCHIVE, DESK, RULES = "deliver", "archive", "desk", "rules"
EVERY = (COLLECT, SCORE, TRACK, ESCALATE, DELIVER, ARCHIVE, DESK, RULES)
STREAMS = (SCORE, TRACK, ESCALATE)
CONSUMERS = (COLLECT, *STREAMS, DELIVER, ARCHIVE)


@dataclass(frozen=True, slots=True)
class Metric:
    """roles: whose processes expose it. absent: when it has no samples although such a role runs.

    values: of labels that have few, known beforehand. A counter with no others (but `role`) begins at 0 with each, so
    that the first one after a start is an increase too.
    """

    name: str
    kind: type[MetricWrapperBase]
    help: str
    labels: tuple[str, ...] = ()
    roles: tuple[str, ...] = EVERY
    absent: str = ""
    buckets: tuple[float, ...] = ()
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def begins(self, roles: Sequence[str]) -> Iterable[tuple[str, ...]]:
        """The label values with which a counter of a process of these roles is 0."""
        known = {"role": [each for each in self.roles if each in roles], **self.values}
        if self.kind is Counter and self.labels and known.keys() >= set(self.labels):
            return itertools.product(*(known[label] for label in self.labels))
        return ()

    @property
    def unit(self) -> str:
        """As the name says it."""
        stem = self.name.removesuffix("_total")
        for end, unit in (("_timestamp_seconds", "Unix time in s"), ("_seconds", "s"), ("_bytes", "bytes"),
                          ("_records", "records")):
            if stem.endswith(end):
                return unit
        return "count" if self.kind is not Gauge or self.name != stem else "number"


def counter(
    name: str, help: str, labels: tuple[str, ...] = (), roles: tuple[str, ...] = EVERY, **values: Sequence[str]
) -> Metric:
    begins = {"role", *values} >= set(labels)
    return Metric(name, Counter, help, labels, roles, "" if begins else "before the first one", (), values)


def gauge(
    name: str, help: str, labels: tuple[str, ...] = (), roles: tuple[str, ...] = EVERY, absent: str = ""
) -> Metric:
    return Metric(name, Gauge, help, labels, roles, absent)


def histogram(
    name: str, help: str, buckets: tuple[float, ...], labels: tuple[str, ...] = (), roles: tuple[str, ...] = EVERY
) -> Metric:
    return Metric(name, Histogram, help, labels, roles, "before the first one" if labels else "", buckets)


TABLE: tuple[Metric, ...] = (
    # every process
    gauge("build_info", "1, with the version.", ("version",)),
    gauge("role_info", "1 for each role that this process runs.", ("role",)),
    gauge("ready", "1 if a role is ready, as /readyz says.", ("role",)),
    counter("records_total", "Records handled, by role and outcome.", ("role", "outcome")),
    counter("dead_letters_total", "Records set aside, by role and reason.", ("role", "reason"), CONSUMERS,
            reason=(*Reason, "undelivered")),
    counter("agent_errors_total", "Errors that an agent survived.", ("role",)),
    gauge("clock_ahead_seconds", "How far the newest records of other processes are dated after our own clock: the "
          "clocks of two hosts differ. 0 if they are not.", ("role",), absent="in the first seconds"),
    gauge("data_disk_free_bytes", "Free on the file system of the data folder.",
          absent="where there is no data folder"),
    gauge("data_disk_size_bytes", "Size of the file system of the data folder.",
          absent="where there is no data folder"),
    gauge("memory_limit_bytes", "What this process and its neighbours may use: the cgroup's limit, else the machine's "
          "memory.", absent="where neither can be read"),
    gauge("rules_last_reload_timestamp_seconds", "When the book in force was loaded.",
          absent="before the first rule book"),
    gauge("rules_loaded", "Entries of the book in force.", ("kind",), absent="before the first rule book"),
    gauge("rules_config_hash_info", "1 for the hash of the book in force.", ("hash",),
          absent="before the first rule book"),
    # collect
    counter("feed_fetches_total", "Feed requests by outcome.", ("outcome",), (COLLECT,), outcome=[*Outcome]),
    gauge("feed_last_success_timestamp_seconds", "When a source last answered well.", ("source",), (COLLECT,),
          "for a source that never did, or that another collector polls"),
    gauge("feed_consecutive_failures", "Failed polls in a row of a source that fails and is not blind yet.",
          ("source",), (COLLECT,), "when it does not fail, or when source_blind_since_timestamp_seconds says so"),
    histogram("feed_lateness_seconds", "From when a poll was due to when its request was made.", LATENCY,
              roles=(COLLECT,)),
    gauge("feed_polls_assigned", "Sources that this collector polls.", roles=(COLLECT,),
          absent="before partitions are assigned"),
    counter("feed_dates_odd_total", "Entries whose date is in the future or cannot be read.", ("kind",), (COLLECT,),
            kind=("future", "unreadable")),
    gauge("feed_loop_lag_seconds", "Worst delay of the collector's event loop in the last minute.", roles=(COLLECT,)),
    gauge("sources", "Sources polled here by state of health.", ("state",), (COLLECT,)),
    gauge("source_blind_since_timestamp_seconds", "Since when a source cannot be heard, and why.",
          ("source", "outcome"), (COLLECT,), "while a source is heard"),
    counter("feed_pages_total", "Linked pages asked for their full text, by how that ended.", ("outcome",), (COLLECT,)),
    counter("counts_changed_total", "Changes of comment, forward, like and view counts sent on.", roles=(COLLECT,)),
    gauge("feed_waiting", "1 while the collector waits because a partition has too many unread bytes.",
          roles=(COLLECT,), absent="with a broker that keeps its records, where nothing waits"),
    counter("items_collected_total", "New items and revisions sent on.", ("kind",), (COLLECT,),
            kind=("new", "revision", "backfill")),
    histogram("item_age_seconds", "From an item's publication, by its own date, to its first sight here; without what "
              "lay there at a source's first poll, and without drills.", AGE, roles=(COLLECT,)),
    # score, track, escalate: Faust
    histogram("stream_event_seconds", "Time an agent works on one record.", WORK, ("role",), STREAMS),
    gauge("stream_events_active", "Records in work.", ("role",), STREAMS),
    histogram("commit_seconds", "Time of one commit of offsets, with the wait for what was sent before it.", WORK,
              ("role",), STREAMS),
    gauge("last_commit_timestamp_seconds", "When offsets were last committed, real time.", ("role",),
          (*STREAMS, DELIVER, ARCHIVE), "before the first record since the start, or without partitions"),
    histogram("produce_seconds", "From handing a record to the producer to the broker's acknowledgement.", WORK,
              ("role",), STREAMS),
    counter("produce_errors_total", "Records that the broker did not take.", ("role",), STREAMS),
    counter("rebalances_total", "Times that partitions were shared out anew.", ("role",), STREAMS),
    gauge("assigned_partitions", "Partitions that this worker has of what its role reads; archive: of all topics.",
          ("role",), CONSUMERS),
    gauge("table_keys", "Keys of a table, each a record of its journal, of this worker's partitions.",
          ("role", "table"), (TRACK, ESCALATE)),
    gauge("recovery_seconds", "How long the last recovery of tables took, after partitions were shared out.",
          ("role",), STREAMS, "before the first one"),
    gauge("uncommitted_records", "Records handled and not yet committed on the worst partition.", ("role",), STREAMS),
    counter("items_scored_total", "Items scored, by whether a watch subject matched.", ("matched",), (SCORE,),
            matched=("yes", "no")),
    histogram("event_e2e_latency_seconds", "From an item's first sight to a stage: score (once a record), track (a "
              "raise that it decided), escalate (the first page of that), deliver (that page, confirmed). What waits "
              "by rule (a later step, quiet hours, a digest) is left out, and so are drills.",
              LATENCY, ("stage",), (SCORE, TRACK, ESCALATE, DELIVER)),
    counter("level_decisions_total", "Level decisions by reason.", ("why",), (TRACK,),
            why=[why for why in Why if why is not Why.BELOW]),
    gauge("open_events", "Open events by level, on this worker's partitions.", ("level",), (TRACK,),
          "before the first tick"),
    counter("escalations_total", "Escalations decided.", ("kind",), (ESCALATE,),
            kind=[kind for kind in EscalationKind if kind not in (EscalationKind.SYSTEM, EscalationKind.TEST)]),
    counter("escalations_suppressed_total", "Escalations held back by a silence or by quiet hours.", ("by",),
            (ESCALATE,), by=("silence", "quiet")),
    gauge("alerts", "Alerts of open events by status, on this worker's partitions: new, notified, acked, snoozed, "
          "exhausted (nobody answered so far), expired (and nobody is told any more). Without drills and shadow rules.",
          ("status",), (ESCALATE,), "before the first tick"),
    gauge("response_clocks", "Response clocks that are not stopped, by their id: running, overdue.", ("clock", "state"),
          (ESCALATE,), "before the first tick, or without clocks in levels.yml"),
    gauge("response_clock_left_seconds", "Least time left on a response clock, negative: overdue.", ("clock",),
          (ESCALATE,), "when none of the kind runs"),
    # deliver
    counter("deliveries_total", "Deliveries by channel type and outcome.", ("channel", "outcome"), (DELIVER,)),
    histogram("delivery_attempt_seconds", "Time of one delivery attempt.", CALL, ("channel",), (DELIVER,)),
    histogram("delivery_latency_seconds", "From decided to confirmed, by our clock.", LATENCY, ("channel",),
              (DELIVER,)),
    gauge("outbox_pending", "Deliveries not yet confirmed.", roles=(DELIVER,)),
    gauge("outbox_oldest_seconds", "Age of the oldest delivery not yet confirmed.", roles=(DELIVER,)),
    gauge("circuit_state", "A channel's breaker: 0 closed, 1 trying again, 2 open.", ("channel",), (DELIVER,),
          "without channels in channels.yml"),
    gauge("unaccounted_alerts", "Decided alerts of the last day, older than 2 minutes, of which deliver knows nothing: "
          "neither sent nor waiting nor dead nor suppressed.", roles=(DELIVER,)),
    gauge("page_budget", "Alerts a day that routes.yml expects to page somebody at most.", ("level",), (DELIVER,),
          "without a budget for the level"),
    gauge("pages_today", "Alerts that paged somebody since midnight of the installation's zone, without drills.",
          ("level",), (DELIVER,)),
    counter("alertmanager_rounds_total", "Rounds of sending standing alerts to Alertmanager again.", ("outcome",),
            (DELIVER,), outcome=("ok", "failed")),
    gauge("heartbeat_latency_seconds", "From the collector through every stage to deliver, of the last beat.",
          roles=(DELIVER,), absent="before the first beat"),
    gauge("heartbeat_age_seconds", "Age of the oldest last beat of any partition, at deliver or the archive; of one "
          "that never came, since deliver's start.", roles=(DELIVER,)),
    gauge("heartbeat_interval_seconds", "How often a heartbeat is sent, by the rule book.", roles=(DELIVER,)),
    counter("heartbeat_calls_total", "Calls of the dead-man URL.", ("outcome",), (DELIVER,),
            outcome=("ok", "failed")),
    # archive and the store
    gauge("store_reachable", "1 if the last use of the store worked; 0 too until its tables are of this version.",
          ("role",), (DELIVER, ARCHIVE, DESK), "in the first second"),
    counter("archive_rows_total", "Rows written to the store.", ("table",), (ARCHIVE,)),
    counter("archive_errors_total", "Writes to the store that failed and are tried again.", roles=(ARCHIVE,)),
    histogram("archive_write_seconds", "Time to write one batch into the store.", WORK, roles=(ARCHIVE,)),
    # desk
    counter("desk_requests_total", "Requests to the desk by class of their answer: 2xx to 5xx; without probes and "
            "static files.", ("code",), (DESK,), code=("2xx", "3xx", "4xx", "5xx")),
    histogram("desk_request_seconds", "Time of one of these requests.", PAGE, roles=(DESK,)),
    counter("intake_reports_total", "Reports filed by people.", ("via",), (DESK,), via=("form", "api")),
    counter("alertmanager_received_total", "Alerts of an Alertmanager that came in, by what became of them.",
            ("outcome",), (DESK,)),
    # rules: one process; it also looks at all roles from the broker's side
    gauge("rules_last_reload_successful", "1 if the rule directory's last state is in force.", roles=(RULES,)),
    gauge("rules_problems", "Problems that keep the rule directory's last state from being in force.", roles=(RULES,)),
    gauge("rules_pending", "1 while a changed rule book waits for a person.", roles=(RULES,)),
    gauge("rules_pending_raises", "Open events that the waiting rule book would raise.", roles=(RULES,)),
    counter("rules_reloads_total", "Changes of the rule directory, by what became of them.", ("outcome",), (RULES,)),
    gauge("consumer_lag_records", "Records not yet committed by a role, as the broker sees it.", ("topic", "group"),
          (RULES,), "while the broker does not answer"),
    gauge("consumer_oldest_wait_seconds", "How long a role's oldest unread record has waited, as seen at the broker.",
          ("group",), (RULES,), "while the broker does not answer"),
    gauge("broker_reachable", "1 if the broker answered the last look.", roles=(RULES,),
          absent="before the first look"),
)


class Metrics:
    """All metrics of one process: `metrics["items_scored_total"].labels("yes").inc()`. `registry` exposes those of its
    roles."""

    def __init__(self, registry: CollectorRegistry | None = None, *, roles: Iterable[str] = EVERY) -> None:
        prometheus_client.disable_created_metrics()     # type: ignore[no-untyped-call]    # as many series again
        self.registry = registry or CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.roles = tuple(roles)
        own = set(self.roles)
        self._by_name: dict[str, Any] = {}
        for each in TABLE:
            kind: Any = Measured if each.kind is Gauge and not each.labels else each.kind
            extra = {"buckets": each.buckets} if each.buckets else {}
            self._by_name[each.name] = kind(
                f"wenxun_{each.name}", each.help, each.labels,
                registry=self.registry if own & set(each.roles) else None, **extra)
            for values in each.begins(self.roles):
                self._by_name[each.name].labels(*values)

    def __getitem__(self, name: str) -> Any:
        return self._by_name[name]


class Measured(Gauge):
    """A gauge without labels that has no sample before it was set, nor after `drop`."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._known = False

    def set(self, value: float) -> None:
        super().set(value)
        self._known = True

    def drop(self) -> None:
        """What it said is not known any more."""
        self._known = False

    def collect(self) -> Iterable[Family]:
        families = list(super().collect())
        if not self._known:
            for family in families:
                family.samples = []
        return families
