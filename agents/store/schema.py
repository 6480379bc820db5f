"""Tables, once, for SQLite and PostgreSQL. Times are epoch milliseconds (BigInteger). Who writes a table is said here.

JSON columns hold records as codec.encode wrote them (text), so that what the topics said can be read back whole.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData()

SUBJECT = String(64).with_variant(String(65), "postgresql")
"""A subject's id, with `~` before it in shadow. SQLite minds no lengths."""

# ---------------------------------------------------------------- written by archive

items = Table(
    "items", metadata,
    Column("id", String(20), primary_key=True),
    Column("source_id", String(64), nullable=False),
    Column("revision", String(16), nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("published_at", BigInteger),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),               # when this revision was collected; orders revisions
    Column("revised_at", BigInteger),                            # seen_at, of an item that was edited
    Column("backfill", Boolean, nullable=False),
    Column("html", Text, nullable=False, server_default=""),     # by the allow-list of collect/sanitize.py
    Column("ref", String(64), nullable=False, server_default=""),   # of a report: the ticket's number
    Column("urgent", Boolean, nullable=False, server_default=false()),
    Column("expired", Boolean, nullable=False, default=False),   # text dropped after the retention time
    Column("drill", Boolean, nullable=False, server_default=false()),    # made up by a drill: in no figure
    Index("items_by_source", "source_id", "seen_at"),
    Index("items_by_time", "first_seen_at"),
    Index("items_to_expire", "expired", "seen_at"),
)

revisions = Table(                                               # earlier contents of an edited item
    "revisions", metadata,
    Column("item_id", String(20), primary_key=True),
    Column("revision", String(16), primary_key=True),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)

counts = Table(                                                  # what people did with an item, each time it changed
    "counts", metadata,
    Column("item_id", String(20), primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("comments", BigInteger),                              # NULL where the feed does not say
    Column("forwards", BigInteger),
    Column("likes", BigInteger),
    Column("views", BigInteger),
    Column("since", BigInteger),                                 # NULL: it was read a few minutes before, too
    Index("counts_by_time", "at"),
)

scored = Table(                                                  # an item as one subject
    "scored", metadata,
    Column("item_id", String(20), primary_key=True),
    Column("subject", SUBJECT, primary_key=True),
    Column("revision", String(16), nullable=False),
    Column("origin", String(128), nullable=False),
    Column("weight", Float, nullable=False),
    Column("polarity", String(8), nullable=False),
    Column("confidence", Float, nullable=False),
    Column("question", Boolean, nullable=False),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),                      # ScoredItem as JSON; emptied with the text
    Column("book", String(16), nullable=False),
    Column("expired", Boolean, nullable=False, default=False),
    Index("scored_by_subject", "subject", "first_seen_at"),
    Index("scored_to_expire", "expired", "first_seen_at"),       # and to warm up from
)

events = Table(
    "events", metadata,
    Column("id", String(20), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("subject", SUBJECT, nullable=False),
    Column("status", String(10), nullable=False),
    Column("level", Integer, nullable=False),
    Column("level_name", String(32), nullable=False),
    Column("peak", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("items", Integer, nullable=False),
    Column("sources", Integer, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("last_item_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("head", Text, nullable=False),                        # EventHead as JSON, without `joined`
    Column("expired", Boolean, nullable=False, default=False),   # texts dropped after the retention time
    Column("shadow", Boolean, nullable=False, server_default=false()),   # of a shadow rule: no list has it unasked
    Column("drill", Boolean, nullable=False, server_default=false()),    # of a drill: no list or figure has it unasked
    Index("events_by_number", "number"),
    Index("events_by_subject", "subject", "opened_at", "number"),
    Index("events_by_status", "status", "level"),
    Index("events_by_change", "changed_at"),
)

members = Table(
    "members", metadata,
    Column("event_id", String(20), primary_key=True),
    Column("item_id", String(20), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),                  # of the head that brought the row; the newest stays
    Column("row", Text, nullable=False),                         # MemberRow as JSON
    Index("members_by_item", "item_id"),
)

timeline = Table(                                                # append only; `ref` makes a repeat the same row
    "timeline", metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("event_id", String(20), nullable=False),
    Column("ref", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),                  # a readmodel.Kind
    Column("detail", Text, nullable=False),                      # JSON; no texts of items, so that it need never change
    UniqueConstraint("event_id", "ref", name="timeline_once"),
    Index("timeline_by_event", "event_id", "at"),
)

alerts = Table(
    "alerts", metadata,
    Column("event_id", String(20), primary_key=True),
    Column("event_version", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("status", String(10), nullable=False),
    Column("due_at", BigInteger),
    Column("state", Text, nullable=False),                       # AlertState as JSON
)

escalations = Table(
    "escalations", metadata,
    Column("id", String(20), primary_key=True),
    Column("event_id", String(20), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),                      # Escalation as JSON
    Column("shadow", Boolean, nullable=False, server_default=false()),   # recorded, never sent
    Column("first", Boolean, nullable=False, server_default=false()),    # the first page of its alert, no later step
    Column("drill", Boolean, nullable=False, server_default=false()),
    Column("suppressed_by", Text, nullable=False, server_default=""),    # recorded, never sent: `silence:ID` or `quiet`
    Index("escalations_by_event", "event_id", "at"),
    Index("escalations_by_time", "at"),
)

deliveries = Table(
    "deliveries", metadata,
    Column("id", String(20), primary_key=True),
    Column("escalation_id", String(20), nullable=False),
    Column("event_id", String(20), nullable=False),
    Column("person", String(64), nullable=False),
    Column("channel", String(64), nullable=False),
    Column("status", String(10), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("decided_at", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
    Column("suppressed_by", Text, nullable=False),
    Index("deliveries_by_event", "event_id", "at"),
    Index("deliveries_by_time", "at"),
)

sources = Table(
    "sources", metadata,
    Column("id", String(64), primary_key=True),
    Column("url", Text, nullable=False),
    Column("polled_at", BigInteger, nullable=False),
    Column("next_poll_at", BigInteger, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("error", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("succeeded_at", BigInteger),
    Column("new_item_at", BigInteger),
    Column("backfilled", Boolean, nullable=False),
    Column("kind", String(32), nullable=False, server_default=""),
    Column("failed_since", BigInteger),
    Column("state", Text, nullable=False, server_default=""),    # SourceState as JSON, without `seen` and validators
)

books = Table(                                                   # every rule book that was in force, or in shadow
    "books", metadata,
    Column("hash", String(16), primary_key=True),
    Column("at", BigInteger, nullable=False),                    # when it was last published as the live one; 0: never
    Column("book", Text, nullable=False),                        # without its shadow book, which has a row of its own
    Column("first_at", BigInteger, nullable=False, server_default="0"),     # when it was first live; 0: never
    Column("shadow_at", BigInteger, nullable=False, server_default="0"),    # when it was last in shadow; 0: never
    Index("books_by_time", "at"),
)

verdicts = Table(                                                # of an event or a match the latest counts
    "verdicts", metadata,
    Column("id", String(20), primary_key=True),
    Column("subject", String(65), nullable=False),
    Column("kind", String(16), nullable=False),                  # a VerdictKind
    Column("by", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("event_id", String(20), nullable=False),              # one of these two is empty
    Column("item_id", String(20), nullable=False),
    Column("note", Text, nullable=False),
    Column("book", String(16), nullable=False),                  # of the rules that had matched
    Index("verdicts_by_event", "event_id"),
    Index("verdicts_by_item", "item_id"),
    Index("verdicts_by_subject", "subject", "at"),
)

clocks = Table(                                                  # the response clocks of an event
    "clocks", metadata,
    Column("event_id", String(20), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("open", Boolean, nullable=False),                     # one at least is not stopped
    Column("next_due_at", BigInteger),                           # of those that are not stopped
    Column("state", Text, nullable=False),                       # EventClocks as JSON; texts of statements are theirs
    Index("clocks_open", "open", "next_due_at"),
)

statements = Table(                                              # the office's own words on an event
    "statements", metadata,
    Column("id", String(20), primary_key=True),
    Column("event_id", String(20), nullable=False),
    Column("at", BigInteger, nullable=False),                    # when a person confirmed, or rejected, it
    Column("by", String(64), nullable=False),
    Column("title", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("clocks", Text, nullable=False),                      # ids, space-separated; empty: the first one
    Column("rejected", Boolean, nullable=False),
    Column("item_id", String(20), nullable=False),               # of a proposed item; its words expire as items do
    Column("detail", Text, nullable=False),                      # Statement as JSON; emptied with the words
    Index("statements_by_event", "event_id", "at"),
    Index("statements_to_expire", "item_id", "at"),
)

silences = Table(                                                # the record with the greatest `at` counts
    "silences", metadata,
    Column("id", String(20), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("expired_at", BigInteger),                            # a person ended it early
    Column("record", Text, nullable=False),                      # Silence as JSON
    Index("silences_by_end", "ends_at"),
)

heartbeats = Table(                                              # the last one of each end of the chain; real time
    "heartbeats", metadata,
    Column("stage", String(16), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),                    # when the collector sent it
    Column("seen_at", BigInteger, nullable=False),
)

dead_letters = Table(
    "dead_letters", metadata,
    Column("id", String(20), primary_key=True),
    Column("topic", String(64), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),                      # DeadLetter as JSON; emptied after the retention time
    Column("replayed_at", BigInteger),                           # written by `wenxun dlq replay`
    Index("dead_letters_by_time", "at"),
)

# ---------------------------------------------------------------- written by deliver

outbox = Table(                                                  # the ledger: one row per message and receiver
    "outbox", metadata,
    Column("id", String(20), primary_key=True),
    Column("escalation", Text, nullable=False),                  # Escalation as JSON
    Column("person", String(64), nullable=False),
    Column("channel", String(64), nullable=False),
    Column("status", String(10), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("decided_at", BigInteger, nullable=False),
    Column("next_try_at", BigInteger, nullable=False),           # real time, not the demo's
    Column("lease_until", BigInteger, nullable=False, default=0),  # real time; a worker that died loses it
    Column("error", Text, nullable=False, default=""),
    Column("confirmed_at", BigInteger),
    Column("reported", Boolean, nullable=False, default=False),  # its end is on topic deliveries
    Column("escalation_id", String(20), nullable=False, server_default=""),
    Column("event_id", String(20), nullable=False, server_default=""),
    Column("alert_id", String(20), nullable=False, server_default=""),
    Column("kind", String(8), nullable=False, server_default=""),
    Column("level", Integer, nullable=False, server_default="0"),
    Column("place", BigInteger, nullable=False, server_default="-1"),   # its escalation's offset on its partition
    Column("drill", Boolean, nullable=False, server_default=false()),
    Column("suppressed_by", Text, nullable=False, server_default=""),       # why it never went out
    Column("next_channels", Text, nullable=False, server_default=""),       # JSON list: where it goes if this fails
    Index("outbox_due", "status", "next_try_at"),
    Index("outbox_by_channel", "channel", "status", "next_try_at"),
    Index("outbox_by_alert", "event_id", "status"),
    Index("outbox_by_escalation", "escalation_id"),
    Index("outbox_by_time", "decided_at"),
)

channel_state = Table(                                           # what all deliver processes share of a channel
    "channel_state", metadata,
    Column("channel", String(64), primary_key=True),
    Column("version", BigInteger, nullable=False, server_default="0"),      # compare-and-set
    Column("failures", Integer, nullable=False, server_default="0"),        # in a row
    Column("opened", Integer, nullable=False, server_default="0"),          # how often in a row the breaker opened
    Column("open_until", BigInteger, nullable=False, server_default="0"),   # real time; 0: the breaker is closed
    Column("trial_until", BigInteger, nullable=False, server_default="0"),  # real time; who tries it has it until then
    Column("tokens", Float, nullable=False, server_default="0"),
    Column("refilled_at", BigInteger, nullable=False, server_default="0"),  # real time
    Column("error", Text, nullable=False, server_default=""),               # the last one
)

# ---------------------------------------------------------------- written by desk

accounts = Table(
    "accounts", metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(8), nullable=False),                   # viewer duty admin
    Column("password", Text, nullable=False),                    # argon2
    Column("created_at", BigInteger, nullable=False),
    Column("disabled", Boolean, nullable=False, default=False),
)

sessions = Table(
    "sessions", metadata,
    Column("id", String(64), primary_key=True),                  # sha256 of the cookie's token
    Column("account", String(64), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

tokens = Table(
    "tokens", metadata,
    Column("id", String(64), primary_key=True),                  # sha256 of the token
    Column("name", String(64), nullable=False),
    Column("account", String(64), nullable=False),
    Column("scopes", Text, nullable=False),                      # space-separated
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
)

commands = Table(                                                # accepted first here, then sent to its topic
    "commands", metadata,
    Column("id", String(20), primary_key=True),
    Column("event_id", String(20), nullable=False),
    Column("type", String(16), nullable=False),                  # codec type name
    Column("record", Text, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Index("commands_by_time", "accepted_at"),
)

drills = Table(                                                  # runs of drills
    "drills", metadata,
    Column("run", String(20), primary_key=True),
    Column("drill", String(64), nullable=False),
    Column("title", Text, nullable=False),
    Column("by", String(64), nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),                              # NULL: it runs, or was broken off
    Column("script", Text, nullable=False),                      # the Drill as JSON: what it is scored against
    Index("drills_by_time", "began_at"),
)

audit = Table(                                                   # append only
    "audit", metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("account", String(64), nullable=False),
    Column("action", String(32), nullable=False),
    Column("object", Text, nullable=False),
    Column("detail", Text, nullable=False, default=""),
    Index("audit_by_time", "at"),
)
