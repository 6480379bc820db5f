"""Topics as data: names, cleanup, retention, keys and partitions. The only place that knows them.

Every producer passes the partition explicitly (`partition_of`), so that stream, replay and any client agree.
Topics read by one Faust app together are co-partitioned; the count is chosen once per installation (WENXUN_PARTITIONS).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pipeline.model import DRILL, OPEN_SUBJECT, SHADOW, ScoredItem

ITEMS_RAW = "items.raw"
ITEMS_SCORED = "items.scored"
EVENTS = "events"
ESCALATIONS = "escalations"
DELIVERIES = "deliveries"
RULES = "rules"
WORKERS = "rules.workers"
COLLECTOR_STATE = "collector.state"
POLLS = "polls"
DEAD_LETTERS = "dead.letters"

DAY_MS = 86_400_000
MAX_RECORD_BYTES = 256 * 1024
PLAIN_RECORD_BYTES = 1_048_588
"""What a topic takes at most, with Kafka's overhead: 1 MiB, Kafka's default."""
MAX_BATCH_ITEMS = 64
MAX_BOOK_BYTES = 16 * 1024**2
"""A rule book is one record, however many rules it has."""
OPEN_SUBJECT_KEYS = 64
"""The open subject is spread over this many keys by similarity, so that it uses every partition."""


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    key: str
    """What the record key is, for people."""
    compact: bool = False
    retention_ms: int = 14 * DAY_MS
    partitions: int | None = None
    """None: the installation's count."""
    config: dict[str, str] = field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        """Topic configuration as Kafka names it."""
        cleanup = {"cleanup.policy": "compact"} if self.compact else {
            "cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}
        return {**cleanup, "max.message.bytes": str(PLAIN_RECORD_BYTES), **self.config}


READ_AT_ONCE = {
    "segment.bytes": str(8 * 1024**2), "max.compaction.lag.ms": "600000", "min.cleanable.dirty.ratio": "0.1"}
"""For a topic that is read whole before work begins: the open segment (1 GiB by default) is never compacted."""

CATALOG: tuple[Topic, ...] = (
    Topic(ITEMS_RAW, "source id"),
    Topic(ITEMS_SCORED, "subject"),
    Topic(EVENTS, "event id", retention_ms=30 * DAY_MS),
    Topic(ESCALATIONS, "event id", retention_ms=30 * DAY_MS),
    Topic(DELIVERIES, "event id", retention_ms=30 * DAY_MS),
    Topic(RULES, "'book', 'state' or 'answer'", compact=True, partitions=1, config={
        **READ_AT_ONCE, "max.message.bytes": str(MAX_BOOK_BYTES), "segment.bytes": str(2 * MAX_BOOK_BYTES)}),
    Topic(WORKERS, "worker", retention_ms=DAY_MS, partitions=1),
    Topic(COLLECTOR_STATE, "source id; partition by host", compact=True, config=READ_AT_ONCE),
    Topic(POLLS, "source id; partition by host", retention_ms=DAY_MS),
    Topic(DEAD_LETTERS, "source topic", retention_ms=30 * DAY_MS),
)


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key, for every topic."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % partitions


def partition_of_host(url: str, partitions: int) -> int:
    """The partition of `polls` and `collector.state` of a source: all sources of a host are one collector's."""
    return partition_of(host_of(url), partitions)


def host_of(url: str) -> str:
    """What counts as one host: name and port, as the URL writes them, in lower case."""
    return urlsplit(url).netloc.lower().rpartition("@")[2]


def partitions_of(name: str, installation: int) -> int:
    """The partition count of a topic: its own, or the installation's."""
    return next((each.partitions for each in CATALOG if each.name == name and each.partitions), installation)


def item_key(item: ScoredItem, subject: str) -> str:
    """Key of items.scored: the subject. The open subject is sliced so that like items meet, whichever came first."""
    if subject.removeprefix(SHADOW).removeprefix(DRILL) != OPEN_SUBJECT:
        return subject
    return f"{subject}/{min((term for term, _ in item.terms[:2]), default=0) % OPEN_SUBJECT_KEYS}"


class Groups:
    """Scored items by the record of items.scored they go into: `(key, subject, items)`, in order of first item.

    Items of one subject that go to one partition share a record, whatever slice of the open subject they are in:
    the key chooses the partition, and the tracker tells slices apart by item.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._items: dict[tuple[int, str], tuple[str, list[ScoredItem]]] = {}

    def add(self, scored: Mapping[str, ScoredItem]) -> None:
        """An item as each subject sees it."""
        for subject, item in scored.items():
            key = item_key(item, subject)
            self._items.setdefault((partition_of(key, self._partitions), subject), (key, []))[1].append(item)

    def __iter__(self) -> Iterator[tuple[str, str, tuple[ScoredItem, ...]]]:
        return ((key, subject, tuple(items)) for (_, subject), (key, items) in self._items.items())
