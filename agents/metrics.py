"""Every metric of every role, in one table: name, kind, help, labels. Names follow the Prometheus practices.

No label is unbounded: no URL, title, keyword, event or alert id. `source` is a source id of sources.yml.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

LATENCY = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600)


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    kind: type[MetricWrapperBase]
    help: str
    labels: tuple[str, ...] = ()


TABLE: tuple[Metric, ...] = (
    Metric("feed_fetches_total", Counter, "Feed requests by outcome.", ("outcome",)),
    Metric("feed_last_success_timestamp_seconds", Gauge, "When a source last answered well.", ("source",)),
    Metric("feed_consecutive_failures", Gauge, "Failed polls of a source in a row.", ("source",)),
    Metric("feed_lateness_seconds", Histogram, "From when a poll was due to when its request was made."),
    Metric("feed_polls_assigned", Gauge, "Sources that this collector polls."),
    Metric("feed_dates_odd_total", Counter, "Entries whose date is in the future or cannot be read.", ("kind",)),
    Metric("feed_loop_lag_seconds", Gauge, "Worst delay of the collector's event loop in the last minute."),
    Metric("sources", Gauge, "Sources polled here by state of health.", ("state",)),
    Metric("source_blind_since_timestamp_seconds", Gauge, "Since when a source cannot be heard, and why.",
           ("source", "outcome")),
    Metric("feed_pages_total", Counter, "Linked pages asked for their full text, by how that ended.", ("outcome",)),
    Metric("counts_changed_total", Counter, "Changes of comment, forward, like and view counts sent on."),
    Metric("intake_reports_total", Counter, "Reports filed by people.", ("via",)),
    Metric("feed_waiting", Gauge, "1 while the collector waits because a partition has too many unread bytes."),
    Metric("items_collected_total", Counter, "New items and revisions sent on.", ("kind",)),
    Metric("records_total", Counter, "Records handled, by role and outcome.", ("role", "outcome")),
    Metric("items_scored_total", Counter, "Items scored, by whether a watch subject matched.", ("matched",)),
    Metric("level_decisions_total", Counter, "Level decisions by reason.", ("why",)),
    Metric("open_events", Gauge, "Open events by level, on this worker's partitions.", ("level",)),
    Metric("escalations_total", Counter, "Escalations decided.", ("kind",)),
    Metric("escalations_suppressed_total", Counter, "Escalations held back by a silence or by quiet hours.", ("by",)),
    Metric("deliveries_total", Counter, "Deliveries by channel type and outcome.", ("channel", "outcome")),
    Metric("delivery_attempt_seconds", Histogram, "Time of one delivery attempt.", ("channel",)),
    Metric("delivery_latency_seconds", Histogram, "From decided to confirmed, by our clock.", ("channel",)),
    Metric("outbox_pending", Gauge, "Deliveries not yet confirmed."),
    Metric("outbox_oldest_seconds", Gauge, "Age of the oldest delivery not yet confirmed."),
    Metric("circuit_state", Gauge, "A channel's breaker: 0 closed, 1 trying again, 2 open.", ("channel",)),
    Metric("unaccounted_alerts", Gauge, "Decided alerts of the last day, older than 2 minutes, of which deliver knows "
           "nothing: neither sent nor waiting nor dead nor suppressed."),
    Metric("alertmanager_rounds_total", Counter, "Rounds of sending standing alerts to Alertmanager again.",
           ("outcome",)),
    Metric("alertmanager_received_total", Counter, "Alerts of an Alertmanager that came in, by what became of them.",
           ("outcome",)),
    Metric("dead_letters_total", Counter, "Records set aside, by role and reason.", ("role", "reason")),
    Metric("agent_errors_total", Counter, "Errors that an agent survived.", ("role",)),
    Metric("consumer_lag_records", Gauge, "Records not yet committed, as the broker sees it.", ("topic", "group")),
    Metric("uncommitted_records", Gauge, "Records handled and not yet committed on the worst partition.", ("role",)),
    Metric("archive_rows_total", Counter, "Rows written to the store.", ("table",)),
    Metric("archive_errors_total", Counter, "Writes to the store that failed and are tried again."),
    Metric("heartbeat_latency_seconds", Gauge, "From the collector through every stage to deliver, of the last beat."),
    Metric("heartbeat_age_seconds", Gauge, "Age of the oldest last beat of any partition, at deliver or the archive."),
    Metric("heartbeat_calls_total", Counter, "Calls of the dead-man URL.", ("outcome",)),
    Metric("rules_last_reload_successful", Gauge, "1 if the rule directory's last state is in force."),
    Metric("rules_problems", Gauge, "Problems that keep the rule directory's last state from being in force."),
    Metric("rules_pending", Gauge, "1 while a changed rule book waits for a person."),
    Metric("rules_pending_raises", Gauge, "Open events that the waiting rule book would raise."),
    Metric("rules_reloads_total", Counter, "Changes of the rule directory, by what became of them.", ("outcome",)),
    Metric("rules_last_reload_timestamp_seconds", Gauge, "When the book in force was loaded."),
    Metric("rules_loaded", Gauge, "Entries of the book in force.", ("kind",)),
    Metric("rules_config_hash_info", Gauge, "1 for the hash of the book in force.", ("hash",)),
    Metric("event_e2e_latency_seconds", Histogram, "From an item's first sight to a stage's decision.", ("stage",)),
    Metric("build_info", Gauge, "1, with the version.", ("version",)),
)


class Metrics:
    """All metrics of one process, on the registry it is given. `metrics["items_scored_total"].labels("yes").inc()`"""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._by_name: dict[str, Any] = {}
        for each in TABLE:
            extra = {"buckets": LATENCY} if each.kind is Histogram else {}
            self._by_name[each.name] = each.kind(
                f"wenxun_{each.name}", each.help, each.labels, registry=self.registry, **extra)  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> Any:
        return self._by_name[name]
