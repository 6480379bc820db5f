"""When a source is polled again, and with which validators. Values in, values out; times are milliseconds.

The operator's interval is the least wait; a publisher may ask for more (ttl, max-age), up to `max_interval`. Failures
wait twice as long each time, up to `max_interval`. Retry-After is obeyed up to a day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

import msgspec

from pipeline.ids import digest
from pipeline.model import Millis, SourceState
from pipeline.rulebook.schema import DAY, MINUTE, Source

RETRY_AFTER_CAP = DAY
GONE_WAIT = DAY
UNCONDITIONAL_EVERY = DAY
"""Validators can go stale for good on a broken server: once a day the whole document is asked for."""
JITTER = 0.1
BLIND_FAILURES = 3
BLIND_AFTER = 30 * MINUTE


class Outcome(StrEnum):
    """How a poll ended: stored in SourceState.outcome and the label of feed_fetches_total."""

    OK = "ok"
    NOT_MODIFIED = "not_modified"
    NOT_A_FEED = "not_a_feed"
    RATE_LIMITED = "rate_limited"        # 429, or 503 with Retry-After
    GONE = "gone"                        # 410
    REFUSED_BY_SITE = "refused_by_site"  # 401, 403, 451
    NOT_FOUND = "not_found"              # 404
    SERVER_ERROR = "server_error"        # 5xx
    BAD_STATUS = "bad_status"            # any other status
    NO_ANSWER = "no_answer"              # DNS, connection, certificate, time-out, a body over a limit
    BLOCKED = "blocked"                  # our own outbound rules forbid it

    @property
    def good(self) -> bool:
        return self in (Outcome.OK, Outcome.NOT_MODIFIED)


@dataclass(frozen=True, slots=True)
class Policy:
    """How often one source may be polled, milliseconds."""

    interval: Millis
    min_interval: Millis
    max_interval: Millis

    @classmethod
    def of(cls, source: Source) -> Policy:
        lowest = max(1, source.min_interval)
        interval = max(lowest, source.interval)
        return cls(interval, lowest, max(interval, source.max_interval))


@dataclass(frozen=True, slots=True)
class Result:
    """What a poll said about the next one. failures: in a row, this one included."""

    outcome: Outcome
    failures: int = 0
    retry_after: Millis | None = None
    asked: Millis | None = None
    """How long the publisher asks to wait after a good answer (ttl, max-age, Expires)."""


def next_poll(policy: Policy, result: Result, now: Millis, seed: str) -> Millis:
    """When to poll again. seed: anything stable per poll; it spreads sources that were polled together."""
    wait = _wait(policy, result)
    spread = (int(digest(seed, size=4), 16) / 0xFFFFFFFF * 2 - 1) * JITTER
    if result.retry_after is not None:
        spread = abs(spread)                            # later than asked is polite, earlier is not
    return now + max(policy.min_interval, round(wait * (1 + spread)))


def _wait(policy: Policy, result: Result) -> Millis:
    if result.outcome is Outcome.GONE:
        return max(GONE_WAIT, policy.max_interval)
    if result.retry_after is not None and not result.outcome.good:
        return max(policy.interval, min(result.retry_after, RETRY_AFTER_CAP))
    if result.outcome.good:
        return min(max(policy.interval, result.asked or 0), policy.max_interval)
    if result.outcome is Outcome.REFUSED_BY_SITE:
        return policy.max_interval
    return min(policy.interval << min(max(0, result.failures - 1), 32), policy.max_interval)


def outcome_of(status: int, retry_after: Millis | None) -> Outcome:
    """What an HTTP status means for a poll; 200 is OK only once its body was read as a feed."""
    if status == 304:
        return Outcome.NOT_MODIFIED
    if 200 <= status < 300:
        return Outcome.OK
    if status == 429 or (status == 503 and retry_after is not None):
        return Outcome.RATE_LIMITED
    named = {410: Outcome.GONE, 404: Outcome.NOT_FOUND, **dict.fromkeys((401, 403, 451), Outcome.REFUSED_BY_SITE)}
    return named.get(status) or (Outcome.SERVER_ERROR if status >= 500 else Outcome.BAD_STATUS)


# ---------------------------------------------------------------- headers (names in lower case)


def retry_after(headers: Mapping[str, str], now: Millis) -> Millis | None:
    """Retry-After in seconds or as a date, as a length; None without one."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal() and value.isascii():
        return min(int(value[:9]) * 1000, RETRY_AFTER_CAP)
    until = _http_date(value)
    if until is None:
        return None
    return min(max(0, until - (_http_date(headers.get("date", "")) or now)), RETRY_AFTER_CAP)


def max_age(headers: Mapping[str, str], now: Millis) -> Millis | None:
    """How long the answer stays fresh: Cache-Control max-age, else Expires; None when neither says."""
    parts = [part.strip().lower() for part in headers.get("cache-control", "").split(",")]
    if "no-store" in parts or "no-cache" in parts:
        return None
    for part in parts:
        name, _, value = part.partition("=")
        if name == "max-age" and (digits := value.strip('"')).isdecimal() and digits.isascii():
            return int(digits[:9]) * 1000
    expires = _http_date(headers.get("expires", ""))
    if expires is None:
        return None
    return max(0, expires - (_http_date(headers.get("date", "")) or now))


def _http_date(value: str) -> Millis | None:
    try:
        return int(parsedate_to_datetime(value).timestamp() * 1000)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def validators(headers: Mapping[str, str]) -> tuple[str, str]:
    """(ETag, Last-Modified), byte for byte; none when the server says `Expires: 0`, whose validators are stale."""
    if headers.get("expires", "").strip() == "0":
        return "", ""
    return headers.get("etag", ""), headers.get("last-modified", "")


def conditional(state: SourceState | None, url: str, now: Millis) -> dict[str, str]:
    """The headers that ask for the document only if it changed; none for another URL and once a day."""
    if state is None or state.url != url or now - (state.unconditional_at or 0) >= UNCONDITIONAL_EVERY:
        return {}
    pairs = (("If-None-Match", state.etag), ("If-Modified-Since", state.last_modified))
    return {name: value for name, value in pairs if value}


MAX_ERROR = 300


@dataclass(frozen=True, slots=True)
class Poll:
    """What one poll of a source brought, whatever way it ended. seen: hashes of the document's entries, None if unread.

    etag and last_modified are what to send next time; asked_all: no validators were sent with this request.
    """

    outcome: Outcome
    error: str = ""
    retry_after: Millis | None = None
    asked: Millis | None = None
    etag: str = ""
    last_modified: str = ""
    seen: bytes | None = None
    asked_all: bool = False
    fresh: bool = False


def next_state(source: Source, before: SourceState | None, poll: Poll, now: Millis) -> SourceState:
    """What is remembered of a source after a poll. A failure keeps what was known and counts up."""
    known = before if before is not None and before.url == source.url else None
    failures = 0 if poll.outcome.good else (known.failures if known else 0) + 1
    result = Result(poll.outcome, failures, poll.retry_after, poll.asked)
    state = msgspec.structs.replace(
        known or SourceState(source_id=source.id, url=source.url, polled_at=now, next_poll_at=now), polled_at=now,
        next_poll_at=next_poll(Policy.of(source), result, now, f"{source.id}/{now}"), failures=failures,
        outcome=str(poll.outcome), error=poll.error[:MAX_ERROR])
    if not poll.outcome.good:
        return state
    state = msgspec.structs.replace(
        state, etag=poll.etag, last_modified=poll.last_modified, succeeded_at=now,
        new_item_at=now if poll.fresh else state.new_item_at,
        unconditional_at=now if poll.asked_all else state.unconditional_at)
    if poll.seen is None:
        return state
    return msgspec.structs.replace(state, seen=poll.seen, backfilled=True)


def is_blind(state: SourceState, policy: Policy, now: Millis) -> bool:
    """Whether nothing can be heard of a source: three failures in a row, or too long without a good answer."""
    if not state.failures:
        return False
    silent = state.succeeded_at is not None and now - state.succeeded_at > max(3 * policy.interval, BLIND_AFTER)
    return state.failures >= BLIND_FAILURES or silent or state.outcome == Outcome.GONE
