"""When a source is polled again, with which validators and at which address. Values in, values out; milliseconds.

After a good answer the wait follows the source's own rhythm, around the operator's interval; what the publisher asks
for (ttl, max-age, Expires) is a floor, up to `max_interval`. After trouble it is tried again soon, so that a blip is no
gap and two intervals without an answer are known to be trouble, then twice as long each time. Retry-After is obeyed up
to a day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from statistics import median

import msgspec

from pipeline.ids import digest
from pipeline.model import Millis, SourceState
from pipeline.rulebook.schema import DAY, MINUTE, Source

RETRY_AFTER_CAP = DAY
DISABLED_WAIT = DAY
UNCONDITIONAL_EVERY = DAY
"""Validators can go stale for good on a broken server: once a day the whole document is asked for."""
JITTER = 0.1
BLIND_FAILURES = 3
MISSING = 10
"""So many 404s in a row say what a 410 says."""
SIGHTINGS = 3
"""A permanent redirect is believed when so many polls in a row led to the same place; so many failures there end it."""
ARRIVALS = 16
RHYTHM_FROM = 4
"""Arrivals from which there is a rhythm."""
QUICK = 2
"""Failures that are tried again soon."""


class Outcome(StrEnum):
    """How a poll ended: stored in SourceState.outcome and the label of feed_fetches_total."""

    OK = "ok"
    NOT_MODIFIED = "not_modified"
    NOT_A_FEED = "not_a_feed"
    RATE_LIMITED = "rate_limited"        # 429, or 503 with Retry-After; without a failure: another feed of the host was
    GONE = "gone"                        # 410, or 404 ten times in a row
    REFUSED_BY_SITE = "refused_by_site"  # 401, 403, 451
    NOT_FOUND = "not_found"              # 404
    SERVER_ERROR = "server_error"        # 5xx
    BAD_STATUS = "bad_status"            # any other status
    NO_ANSWER = "no_answer"              # DNS, connection, certificate, time-out, a body over a limit
    BLOCKED = "blocked"                  # our own outbound rules forbid it
    ROBOTS = "robots"                    # the site's robots.txt forbids it

    @property
    def good(self) -> bool:
        return self in (Outcome.OK, Outcome.NOT_MODIFIED)


TOLD_TO_WAIT = frozenset((Outcome.RATE_LIMITED, Outcome.GONE, Outcome.REFUSED_BY_SITE, Outcome.ROBOTS))
"""Outcomes whose wait is the site's wish, kept over a restart."""


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
    """What a poll said about the next one. failures: in a row, this one included. arrivals: SourceState.arrivals."""

    outcome: Outcome
    failures: int = 0
    retry_after: Millis | None = None
    asked: Millis | None = None
    """How long the publisher asks to wait after a good answer (ttl, max-age, Expires)."""
    fresh: bool = False
    arrivals: tuple[Millis, ...] = ()


def next_poll(policy: Policy, result: Result, now: Millis, seed: str) -> Millis:
    """When to poll again. seed: anything stable per poll; it spreads sources that were polled together."""
    wait, wished = _wait(policy, result, now)
    spread = (int(digest(seed, size=4), 16) / 0xFFFFFFFF * 2 - 1) * JITTER
    if wished:
        spread = abs(spread)                            # later than asked is polite, earlier is not
    return now + max(policy.min_interval, round(wait * (1 + spread)))


def _wait(policy: Policy, result: Result, now: Millis) -> tuple[Millis, bool]:
    """The wait, and whether it is the site's wish."""
    if result.outcome.good:
        wait, asked = _by_rhythm(policy, result, now), min(result.asked or 0, policy.max_interval)
        return max(wait, asked), asked >= wait
    if result.outcome in (Outcome.GONE, Outcome.ROBOTS):
        return max(DISABLED_WAIT, policy.max_interval), False
    if result.retry_after is not None:
        return max(policy.interval, min(result.retry_after, RETRY_AFTER_CAP)), True
    if result.outcome is Outcome.REFUSED_BY_SITE:
        return policy.max_interval, False
    if result.outcome is Outcome.RATE_LIMITED:
        return min(_doubled(policy.interval, result.failures - 1), policy.max_interval), False
    soon = max(policy.min_interval, policy.interval // 4)
    return min(_doubled(soon, result.failures - QUICK), policy.max_interval), False


def _doubled(wait: Millis, times: int) -> Millis:
    return wait << min(max(0, times), 32)


# ---------------------------------------------------------------- rhythm


def usual_gap(arrivals: tuple[Millis, ...]) -> Millis | None:
    """How long it usually is from one poll that brought something to the next; None while that is not known."""
    if len(arrivals) < RHYTHM_FROM:
        return None
    return round(median(later - earlier for earlier, later in zip(arrivals, arrivals[1:], strict=False)))


def silence_from(arrivals: tuple[Millis, ...], pause: Millis) -> Millis | None:
    """How long nothing new may come before that is odd: six usual gaps, half more than the longest pause lately, two
    hours; None with fewer than 8 arrivals.

    The pause is there for nights and weekends: a county's news that comes every 20 minutes from nine to five would
    else be called silent every evening. A source that speaks round the clock is missed within hours.
    """
    gap = usual_gap(arrivals)
    return None if gap is None or len(arrivals) < 8 else max(6 * gap, pause * 3 // 2, 120 * MINUTE)


def longest_pause(before: SourceState, now: Millis) -> Millis:
    """SourceState.pause at an arrival. It fades by a seventh of the time that passes, so that Friday still knows the
    last weekend; a source that is not known yet may sleep for a day."""
    if not before.arrivals:
        return DAY
    gap = max(0, now - before.arrivals[-1])
    return max(gap, before.pause - gap // 7)


def _by_rhythm(policy: Policy, result: Result, now: Millis) -> Millis:
    """A quarter of the usual gap, within bounds around the operator's interval; no faster than that one while the
    source is unusually quiet, no slower after news."""
    gap = usual_gap(result.arrivals)
    if gap is None:
        return policy.interval
    wait = min(max(gap // 4, policy.min_interval, policy.interval // 5), policy.max_interval, 6 * policy.interval)
    if result.fresh:
        return min(wait, policy.interval)
    return max(wait, policy.interval) if now - result.arrivals[-1] > 6 * gap else wait


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


def address(source: Source, state: SourceState | None) -> str:
    """Where a source is asked: where it moved for good, once that is believed, else its own URL."""
    moved = state is not None and state.url == source.url and state.moves >= SIGHTINGS
    return state.moved_to if moved and state is not None else source.url


# ---------------------------------------------------------------- state


MAX_ERROR = 300


@dataclass(frozen=True, slots=True)
class Poll:
    """What one poll of a source brought, whatever way it ended. seen: hashes of the document's entries, None if unread.

    etag and last_modified are what to send next time, from the answer of `url`; asked_all: no validators were sent with
    this request. moved_to: where only permanent redirects led, empty when there were none. by_link: as in SourceState.
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
    kind: str = ""
    url: str = ""
    moved_to: str = ""
    by_link: bool = False


def next_state(source: Source, before: SourceState | None, poll: Poll, now: Millis) -> SourceState:
    """What is remembered of a source after a poll. A failure keeps what was known and counts up."""
    known = before if before is not None and before.url == source.url else SourceState(
        source_id=source.id, url=source.url, polled_at=now, next_poll_at=now)
    return _after_success(source, known, poll, now) if poll.outcome.good else _after_failure(source, known, poll, now)


def _after_failure(source: Source, known: SourceState, poll: Poll, now: Millis) -> SourceState:
    missing = known.missing + 1 if poll.outcome is Outcome.NOT_FOUND else 0
    outcome, error = poll.outcome, poll.error
    if missing >= MISSING:
        outcome, error = Outcome.GONE, f"地址连续 {missing} 次不存在（404），每天只再看一次。请更换或删除这个来源"
    failures = known.failures + 1
    result = Result(outcome, failures, poll.retry_after)
    state = msgspec.structs.replace(
        known, polled_at=now, next_poll_at=next_poll(Policy.of(source), result, now, f"{source.id}/{now}"),
        failures=failures, missing=missing, outcome=str(outcome), error=error[:MAX_ERROR],
        failed_since=now if known.failed_since is None else known.failed_since)
    if known.moves >= SIGHTINGS and failures >= SIGHTINGS:  # back to where it was, whose validators are long gone
        return msgspec.structs.replace(state, moved_to="", moves=0, etag="", last_modified="", etag_url="")
    return state


def _after_success(source: Source, known: SourceState, poll: Poll, now: Millis) -> SourceState:
    arrived = poll.fresh and known.backfilled           # a first poll brings the past, which is no rhythm
    arrivals = (*known.arrivals, now)[-ARRIVALS:] if arrived else known.arrivals
    result = Result(poll.outcome, 0, None, poll.asked, poll.fresh, arrivals)
    moved_to, moves = _moved(known, poll)
    state = msgspec.structs.replace(
        known, polled_at=now, next_poll_at=next_poll(Policy.of(source), result, now, f"{source.id}/{now}"),
        failures=0, missing=0, outcome=str(poll.outcome), error="", failed_since=None, etag=poll.etag,
        last_modified=poll.last_modified, etag_url="" if poll.url == source.url else poll.url,
        succeeded_at=now, new_item_at=now if poll.fresh else known.new_item_at, arrivals=arrivals,
        pause=longest_pause(known, now) if arrived else known.pause, moved_to=moved_to, moves=moves,
        unconditional_at=now if poll.asked_all else known.unconditional_at)
    if poll.seen is None:
        return state
    return msgspec.structs.replace(
        state, seen=poll.seen, by_link=poll.by_link, backfilled=True, kind=poll.kind or known.kind)


def _moved(known: SourceState, poll: Poll) -> tuple[str, int]:
    """(moved_to, moves) after a good answer."""
    if not poll.moved_to:                               # believed, it was asked there; any other way there is no move
        return (known.moved_to, known.moves) if known.moves >= SIGHTINGS else ("", 0)
    return poll.moved_to, known.moves + 1 if poll.moved_to == known.moved_to else 1


def postponed(source: Source, before: SourceState | None, until: Millis, error: str, now: Millis) -> SourceState:
    """The state of a source whose host asked another of its feeds to wait: not polled, so no failure; not heard."""
    known = before if before is not None and before.url == source.url else SourceState(
        source_id=source.id, url=source.url, polled_at=now, next_poll_at=now)
    spread = round(int(digest(f"{source.id}/{until}", size=4), 16) / 0xFFFFFFFF * JITTER * Policy.of(source).interval)
    return msgspec.structs.replace(
        known, next_poll_at=until + spread, outcome=str(Outcome.RATE_LIMITED), error=error[:MAX_ERROR],
        failed_since=now if known.failed_since is None else known.failed_since)


# ---------------------------------------------------------------- blindness


def heard_until(state: SourceState) -> Millis | None:
    """The last moment up to which a source in trouble was heard; None when nobody knows."""
    return state.succeeded_at if state.succeeded_at is not None else state.failed_since


def is_blind(state: SourceState, policy: Policy, now: Millis) -> bool:
    """Whether nothing can be heard of a source. At the latest two of its intervals after the last good answer.

    Its interval is the operator's, or the longer one it was really polled at before the trouble began.
    """
    if not state.failures and state.failed_since is None:
        return False
    if state.failures >= BLIND_FAILURES or state.outcome in (Outcome.GONE, Outcome.ROBOTS):
        return True
    heard = heard_until(state)
    if heard is None:
        return False
    usual = policy.interval
    if state.succeeded_at is not None and state.failed_since is not None:
        usual = max(usual, min(state.failed_since - state.succeeded_at, policy.max_interval))
    deaf = now - heard
    certain = state.failures >= BLIND_FAILURES - 1 or state.next_poll_at > heard + 2 * usual
    return 2 * deaf >= 3 * usual if certain else deaf >= 2 * usual
