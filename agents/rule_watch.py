"""Role `rules`: watches the rule directory and publishes the whole book. A bad file changes nothing, and says so.

However a file is saved, the book is made when nobody is writing (rule_dir.py). A book that would raise more open events
than `levels.events.confirm_above` of the book in force waits for a person. What became of the last change is on topic
`rules` (key `state`); what was published, and what waited, can be had back (rule_history.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from msgspec.structs import replace

from agents.bus import Bus
from agents.deps import Deps
from agents.notices import notice
from agents.rule_dir import Directories, Found
from agents.rule_expiry import Expiry
from agents.rule_feed import KEY, RETRY_SECONDS, STATE, Seen, newest
from agents.rule_files import RuleFiles
from agents.rule_history import History, Line, What
from agents.rule_impact import Impact, impact
from agents.settings import Settings
from pipeline import topics
from pipeline.errors import Problem, RuleBookError, WenxunError
from pipeline.model import Millis, RulesAnswer, RulesState
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import RuleBook

log = logging.getLogger("wenxun.rules")

POLL_SECONDS = 0.1
BUSY_SHARE = 10
"""Between two looks at a large directory passes so many times as long as a look takes."""
BAD_SECONDS = 0.4
"""Files with problems rest so much longer before anybody is told: an unfinished save is no news."""
BAD_AT_MOST = 5.0
SHOWN = 5
"""Problems told in a notice."""
IN_STATE = 200
"""Problems told to the desk and the log: a file of 1 MiB may have 60,000. `wenxun rules check` says all."""
STATES_AFTER_BOOK = 100
"""The embedded broker drops the oldest records: after so many the book is sent again, or a new process had none."""


async def run(deps: Deps) -> None:
    """Watch and publish until cancelled. While the broker is away nothing is lost: the directory is still there."""
    while True:
        try:
            async with Bus(deps.settings, deps.clock, "rules", max_bytes=topics.MAX_BOOK_BYTES) as bus:
                await Watch(deps, bus, await newest(deps.settings)).run()
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("rules: broker not reachable (%s: %s); trying again", type(error).__name__, error)
            await asyncio.sleep(RETRY_SECONDS)


def watched(settings: Settings) -> tuple[Path, ...]:
    """The directories that a book is made of, the live one first."""
    return settings.rules_dir, *((settings.shadow_rules_dir,) if settings.shadow_rules_dir is not None else ())


def made(
    found: Sequence[RuleFiles], settings: Settings, before: RuleBook | None = None,
) -> tuple[RuleBook, list[Problem]]:
    """The book of the watched directories, in the order of `watched`, and problems that do not keep it from being used:
    of the shadow directory, then what ran in shadow in the book `before` goes on.

    Raises RuleBookError when the live directory cannot be used. The only place where a book is made of files.
    """
    book = found[0].parse(settings.timezone)
    if len(found) == 1:
        return book, []
    try:
        return replace(book, shadow=found[1].parse(settings.timezone)), []
    except RuleBookError as error:
        shown = [dataclasses.replace(each, file=f"{settings.shadow_rules_dir}/{each.file}") for each in error.problems]
        return replace(book, shadow=before.shadow if before is not None else None), shown


@dataclass(frozen=True, slots=True)
class Waiting:
    """A book that waits for a person since `read_at`, with the texts it was made of."""

    book: RuleBook
    texts: dict[str, str]
    impact: Impact
    read_at: Millis


class Watch:
    """One watch over the directory. seen: what the topic held at its start."""

    def __init__(self, deps: Deps, bus: Bus, seen: Seen | None = None) -> None:
        self._deps, self._bus, self._seen = deps, bus, seen or Seen()
        self._directories = Directories(watched(deps.settings))
        self._history = History(deps.settings.data_dir)
        self._expiry = Expiry(deps, bus)
        self._in_force = self._seen.book
        self._on_topic, self._first = self._seen.book is not None, True
        self._digest = ""
        self._bad_since: float | None = None
        self._told = self._shadow_bad = False
        self._waiting: Waiting | None = None
        self._read_at: Millis = 0
        self._problems: tuple[str, ...] = ()
        self._state: RulesState | None = None
        self._states = 0

    async def run(self) -> None:
        if self._in_force is None:
            self._in_force = await asyncio.to_thread(self._last_good)
        while True:
            found = await self._directories.settled(self._digest)
            if found.digest != self._digest and await self._changed(found):
                self._digest, self._first = found.digest, False
            await self._answered()
            await self._expiry.tell(self._in_force)
            await asyncio.sleep(min(1.0, max(POLL_SECONDS, BUSY_SHARE * self._directories.cost)))

    # ---------------------------------------------------------------- a change of the files

    async def _changed(self, found: Found) -> bool:
        """Whether this state of the files is dealt with; else it is looked at again."""
        try:
            book, problems = await asyncio.to_thread(made, found.files, self._deps.settings, self._in_force)
        except RuleBookError as error:
            if not await self._rests(found):
                return False
            await self._refuse(found.files[0].written_at, error.problems)
        else:
            self._bad_since, self._told = None, False
            problems = _without_numbers(problems)
            self._read_at, self._problems = self._deps.clock.now(), _lines(problems)
            await self._mind_shadow(found, problems)
            await self._judge(book, found.files[0].texts)
        return True

    async def _rests(self, found: Found) -> bool:
        """Whether files with problems stay as they are for a while, or have had problems for long."""
        self._bad_since = self._bad_since or time.monotonic()
        await asyncio.sleep(BAD_SECONDS)
        same = (await self._directories.look()).digest == found.digest
        return same or time.monotonic() - self._bad_since > BAD_AT_MOST

    async def _judge(self, book: RuleBook, texts: dict[str, str]) -> None:
        """Publish the book, or let it wait."""
        known = self._in_force
        if known is None or book.hash == known.hash:
            return await self._publish(book, texts)
        earlier = self._earlier(book)
        if earlier is not None and earlier.what is What.REJECTED:
            return await self._leave(book.hash, earlier.by)
        found = await asyncio.to_thread(impact, self._deps.settings, known, book, self._deps.clock.now())
        confirmed = earlier is not None and earlier.what is What.CONFIRMED
        if found.count <= known.levels.events.confirm_above or confirmed:
            return await self._publish(book, texts)
        await self._hold(Waiting(book, texts, found, earlier.at if earlier is not None else self._read_at))

    def _earlier(self, book: RuleBook) -> Line | None:
        """What was said of this very change before this start: by the topic, else (if it was lost) by the history.

        PENDING since when, CONFIRMED, or REJECTED by whom. Who saves the same again later is asked again.
        """
        if self._waiting is not None and self._waiting.book.hash == book.hash:
            return Line(self._waiting.read_at, book.hash, What.PENDING)
        if not self._first:
            return None
        state, answer = self._seen.state, self._seen.answer
        if state is not None:
            if state.pending == book.hash:
                return Line(state.read_at, book.hash, What.PENDING)
            refused = answer is not None and not answer.accept and answer.hash == book.hash
            if answer is not None and refused and answer.at >= state.read_at:
                return Line(answer.at, book.hash, What.REJECTED, answer.by)
            return None
        line = self._history.last(book.hash)
        return line if line is not None and line.what in (What.PENDING, What.CONFIRMED, What.REJECTED) else None

    # ---------------------------------------------------------------- in force

    async def _publish(self, book: RuleBook, texts: dict[str, str]) -> None:
        """Send the book, also an unchanged one at the first look: the topic may have been lost with its broker."""
        changed = self._in_force is None or self._in_force.version != book.version
        try:
            if changed or self._first or not self._on_topic:
                await self._send(book)
        except MessageSizeTooLargeError:
            if book.shadow is not None:                 # what runs in shadow is in nobody's way
                self._problems += (f"{self._deps.settings.shadow_rules_dir}：和正式规则合起来超过 "
                                   f"{topics.MAX_BOOK_BYTES >> 20} MiB，影子规则没有运行。",)
                return await self._publish(replace(book, shadow=None), texts)
            size = f"规则太多：整本超过 {topics.MAX_BOOK_BYTES >> 20} MiB，消息队列放不下。"
            return await self._refuse(self._read_at, [Problem("subjects", 1, 1, "", size, "合并词表，删去不用的主题")])
        self._in_force, self._waiting = book, None
        self._deps.metrics["rules_last_reload_successful"].set(1)
        log.info("rules: %s book %s", "published" if changed else "the files say what is in force:", book.version)
        self._count("published" if changed else "unchanged")
        await self._keep(Line(self._deps.clock.now(), book.hash, What.PUBLISHED), texts)
        await self._say()

    async def _send(self, book: RuleBook) -> None:
        await self._bus.send(topics.RULES, KEY, book, ident=book.version, partition=0)
        self._on_topic, self._states = True, 0

    async def _hold_on(self) -> None:
        """The earlier book stays in force, also where the broker has lost it."""
        if self._in_force is not None and not self._on_topic:
            await self._send(self._in_force)

    def _last_good(self) -> RuleBook | None:
        """The newest snapshot that still parses: the embedded broker forgets what was in force."""
        for hash in self._history.newest():
            try:
                book = parse_book(self._history.texts(hash), self._deps.settings.timezone)
            except WenxunError as error:
                log.warning("rules: snapshot %s cannot be used: %s", hash, error)
                continue
            log.info("rules: book %s was in force last", book.hash)
            return book
        return None

    # ---------------------------------------------------------------- waiting for a person

    async def _hold(self, waiting: Waiting) -> None:
        new = self._waiting is None or self._waiting.book.hash != waiting.book.hash
        self._waiting, self._read_at = waiting, waiting.read_at
        self._deps.metrics["rules_last_reload_successful"].set(0)
        await self._hold_on()
        await self._say()
        if not new:
            return
        assert self._in_force is not None
        book, found = waiting.book, waiting.impact
        log.warning("rules: book %s would raise %d open events and waits for `wenxun rules confirm`; book %s stays in "
                    "force", book.hash, found.count, self._in_force.version)
        self._count("pending")
        note = f"会升级 {found.count} 个事件"
        await self._keep(Line(waiting.read_at, book.hash, What.PENDING, note=note), waiting.texts)
        lines = [f"{each.short} {each.title}：{each.previous} → {each.level}".strip() for each in found.raises[:SHOWN]]
        if found.count > SHOWN:
            lines.append(f"……共 {found.count} 个")
        do = (f"确认后生效：值班台“规则”页，或 wenxun rules confirm {book.hash}；不要就改回文件，或加 --reject。"
              f"在此之前仍用上一份规则（{self._in_force.hash}）。")
        text = "\n".join([f"保存的规则（{book.hash}）{note}，先不生效：", *lines, do])
        await notice(self._bus, key=f"rules-pending:{book.hash}", episode=waiting.read_at, at=self._deps.clock.now(),
                     title="规则变更待确认", text=text)

    async def _answered(self) -> None:
        """A person's answer to what waits. One to an earlier question, about the same rules, does not count."""
        waiting = self._waiting
        answer: RulesAnswer | None = self._deps.rules.answer or self._seen.answer
        if waiting is None or answer is None or answer.hash != waiting.book.hash or answer.at < waiting.read_at:
            return
        what = What.CONFIRMED if answer.accept else What.REJECTED
        log.info("rules: book %s %s by %s", answer.hash, what, answer.by)
        self._count(str(what))
        await self._keep(Line(self._deps.clock.now(), answer.hash, what, answer.by))
        self._waiting = None
        if answer.accept:
            await self._publish(waiting.book, waiting.texts)
        else:
            await self._leave(answer.hash, answer.by)

    async def _leave(self, hash: str, by: str) -> None:
        """Refused: it stays out until something else is saved."""
        self._waiting = None
        self._deps.metrics["rules_last_reload_successful"].set(0)
        self._problems = (f"规则变更 {hash} 被 {by} 否决，没有生效。改回文件，或另存一版。",)
        await self._hold_on()
        await self._say()

    # ---------------------------------------------------------------- problems

    async def _refuse(self, written_at: Millis, problems: Sequence[Problem]) -> None:
        self._deps.metrics["rules_last_reload_successful"].set(0)
        problems = _without_numbers(problems)
        for problem in problems[:IN_STATE]:
            log.error("rules: %s", problem)
        kept = f"book {self._in_force.version} stays in force" if self._in_force else "there is no book in force yet"
        log.error("rules: %d problem(s) in %s; %s", len(problems), self._deps.settings.rules_dir, kept)
        self._count("refused")
        self._waiting, self._problems, self._read_at = None, _lines(problems), self._deps.clock.now()
        await self._hold_on()
        await self._say()
        if not self._told:
            await self._tell(written_at, problems)
        self._told = True

    async def _mind_shadow(self, found: Found, problems: Sequence[Problem]) -> None:
        """A shadow directory that cannot be used stops nothing; ops hear of it once until it is right again."""
        if problems and not self._shadow_bad:
            for problem in problems:
                log.error("rules: in shadow: %s", problem)
            lines = [str(problem) for problem in problems[:SHOWN]]
            text = "正式规则照常生效；影子规则仍用上一份，之前没有就不运行。改好保存后自动生效。"
            await notice(self._bus, key="rules-shadow", episode=found.files[1].written_at, at=self._deps.clock.now(),
                         title="影子规则目录有错", text="\n".join([text, *lines]))
        self._shadow_bad = bool(problems)

    async def _tell(self, written_at: Millis, problems: Sequence[Problem]) -> None:
        """Once per episode. The newest file's time names it, so that a restart does not tell the same twice."""
        lines = [str(problem) for problem in problems[:SHOWN]]
        if len(problems) > SHOWN:
            lines.append(f"……共 {len(problems)} 处")
        kept = "目前没有可用的规则，采集和告警都没有开始。"
        if self._in_force:
            kept = f"仍在用上一份规则（{self._in_force.hash}）。"
        mend = f"改好保存后自动生效，不用重启；可先用 wenxun rules check {self._deps.settings.rules_dir} 检查。"
        await notice(self._bus, key="rules", episode=written_at, at=self._deps.clock.now(),
                     title="规则文件有错，改动没有生效", text="\n".join([kept, *lines, mend]))

    # ---------------------------------------------------------------- what is said and kept

    async def _say(self) -> None:
        """RulesState and metrics, when they are other than before."""
        waiting = self._waiting
        found = waiting.impact if waiting is not None else Impact()
        state = RulesState(
            at=self._deps.clock.now(), in_force=self._in_force.version if self._in_force else "",
            read_at=self._read_at, problems=self._problems, pending=waiting.book.hash if waiting else "",
            raises=found.raises, raise_count=found.count)
        metrics = self._deps.metrics
        metrics["rules_problems"].set(len(self._problems))
        metrics["rules_pending"].set(waiting is not None)
        metrics["rules_pending_raises"].set(found.count)
        if self._state is None or _but_for_time(state) != _but_for_time(self._state):
            await self._bus.send(topics.RULES, STATE, state, ident=f"state-{state.at}", partition=0)
            self._state = state
            self._states += 1
            if self._deps.settings.embedded and self._in_force is not None and self._states >= STATES_AFTER_BOOK:
                await self._send(self._in_force)

    async def _keep(self, line: Line, texts: dict[str, str] | None = None) -> None:
        """Into the history. A full disk costs the snapshot, not the rules."""
        try:
            await asyncio.to_thread(self._history.keep, line, texts)
        except OSError as error:
            self._deps.metrics["agent_errors_total"].labels("rules").inc()
            log.error("rules: no snapshot of book %s in %s: %s", line.hash, self._history.folder, error)

    def _count(self, outcome: str) -> None:
        self._deps.metrics["rules_reloads_total"].labels(outcome).inc()


def _lines(problems: Sequence[Problem]) -> tuple[str, ...]:
    return tuple(str(each) for each in problems[:IN_STATE])


def _without_numbers(problems: Sequence[Problem]) -> list[Problem]:
    """What goes into the log, to ops and onto the desk does not say whose number was written wrongly as what."""
    said, hint = "手机号的写法不对。", "号码不写进日志和通知，用 wenxun rules check 看改法"
    return [dataclasses.replace(each, message=said, hint=hint) if each.path.endswith(".mobile") else each
            for each in problems]


def _but_for_time(state: RulesState) -> RulesState:
    return replace(state, at=0)
