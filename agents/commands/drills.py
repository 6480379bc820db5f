"""`wenxun drill run|list|score|end`: a made-up event through the real chain, marked 演练 everywhere, and its score."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.commands.acting import WAITS, account_of, length, place, print_json, reader_of, sent
from agents.commands.drill_words import listed, number_of, scored
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from agents.clock import Clock
    from agents.commands.acting import Place
    from agents.store.drill_reads import Run
    from pipeline.drill import Line
    from pipeline.rulebook.drills import Drill

OK, MISSED, LEFT = 0, 1, 130
LOOK_SECONDS = 1.0
FIRST_SECONDS = 15.0
"""Within which the desk has to have sent the first item."""


def add(groups: Any) -> None:
    actions = groups.add_parser("drill", help="play a made-up event through the real chain and score the answer"
                                ).add_subparsers(dest="action", required=True, metavar="ACTION")
    one = actions.add_parser("run", help="play one; every message says 演练, no figure has it; "
                                         "0 if all targets were met, else 1")
    one.add_argument("file", metavar="FILE", help="a drill file, or the name of one in rules/drills")
    one.add_argument("--rules", type=Path, metavar="DIR", help="where drills/ is looked for (rules)")
    one.add_argument("--wait", default="", metavar="30m", help="how long to wait for the last target after the last "
                                                               "item; default: until none can be met any more")
    one.add_argument("--keep", action="store_true", help="leave its events open when it is over")
    one.add_argument("--yes", action="store_true", help="do not ask: on-call will really be paged")
    _common(one)
    one.set_defaults(run=run)
    many = actions.add_parser("list", help="runs, the newest first")
    _common(many)
    many.set_defaults(run=run_list)
    sheet = actions.add_parser("score", help="the score sheet of a run; 0 if all targets were met, else 1")
    sheet.add_argument("id", metavar="RUN", help="or its first digits, as the list shows them")
    _common(sheet)
    sheet.set_defaults(run=run_score)
    end = actions.add_parser("end", help="close the events of a run that was broken off")
    end.add_argument("id", metavar="RUN")
    _common(end)
    end.set_defaults(run=run_end)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--as", dest="account", metavar="ACCOUNT", default="",
                        help="in whose name (wenxun user list); default: the only admin")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(args: argparse.Namespace) -> int:
    wait = length(args.wait, "--wait") if args.wait else None
    with place() as at:
        account = account_of(at, args.account)
        script = _script(at, args.file, args.rules)
        foretold = _foretold(at, script)
        if args.format == "text":
            print(foretold)
        if not args.yes and not _agreed():
            print("没有开始。")
            return LEFT
        return asyncio.run(_Play(at, account, script, keep=args.keep, form=args.format).play(wait))


def run_list(args: argparse.Namespace) -> int:
    from agents.desk import audit
    from agents.store import drill_reads

    with place() as at:
        with at.engine.begin() as connection:
            audit.write(connection, at.now, reader_of(at, args.account), "drills.read", "drills", "cli")
            found = drill_reads.runs(connection)
        if args.format == "json":
            return print_json({"runs": [{"id": one.id, "drill": one.drill.id, "title": one.drill.title, "by": one.by,
                                         "began_at": one.began_at, "ended_at": one.ended_at} for one in found]})
        print(listed(found, at.settings.zone))
    return OK


def run_score(args: argparse.Namespace) -> int:
    with place() as at:
        found = _known(at, args.id)
        at.write_read(reader_of(at, args.account), "drills.read", found.id)
        return _print(at, found, args.format, at.now)


def run_end(args: argparse.Namespace) -> int:
    from agents.desk import drill_commands

    with place() as at:
        found = _known(at, args.id)
        closed = drill_commands.end(at.engine, at.order(account_of(at, args.account)), found)
        print(f"演练 {found.id[:8]} 已结束，关闭 {closed} 个演练事件。")
    return OK


class _Play:
    """One run: its items at their times by the installation's clock, then the wait for people."""

    def __init__(self, at: Place, account: str, script: Drill, *, keep: bool, form: str) -> None:
        from agents.clock import Clock

        self._at, self._account, self._script, self._keep, self._form = at, account, script, keep, form
        self._clock: Clock = Clock.parse(at.settings.clock)
        self._quiet = form == "json"

    async def play(self, wait: int | None) -> int:
        from agents.desk import drill_commands

        run = drill_commands.begin(self._at.engine, self._order(), self._script)
        self._say(f"演练 {run.id[:8]} 开始：{self._script.title}。消息前面标【演练】，任何统计都不算它。"
                  "Ctrl-C 提前结束。")
        try:
            await self._items(run)
            await self._people(run, wait)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._say("提前结束。")
        finally:
            if not self._keep:
                closed = drill_commands.end(self._at.engine, self._order(), run)
                self._say(f"演练结束，关闭 {closed} 个演练事件。")
        return _print(self._at, run, self._form, self._clock.now())

    async def _items(self, run: Run) -> None:
        from agents.desk import drill_commands
        from agents.desk.commands import Refused
        from pipeline.drill import turns

        for number, turn in enumerate(turns(self._script)):
            await self._clock.sleep(max(0, run.began_at + turn.at - self._clock.now()))
            try:
                accepted = drill_commands.send(self._at.engine, self._order(), run, number, turn)
            except Refused as refused:
                self._say(str(refused))
                return
            self._say(f"  条目  {turn.source.name}：{turn.title}")
            if number == 0 and not await asyncio.to_thread(sent, self._at.engine, accepted.id, FIRST_SECONDS):
                self._say(WAITS)

    async def _people(self, run: Run, wait: int | None) -> None:
        from agents.desk import drill_commands
        from pipeline.drill import over

        until = None if wait is None else self._clock.now() + wait
        told: set[str] = set()
        while until is None or self._clock.now() < until:
            lines = self._lines(run)
            for line in lines:
                if line.took is not None and line.what not in told:
                    told.add(line.what)
                    self._say(f"  {scored(line)}")
            if over(lines) or drill_commands.ended(self._at.engine, run):
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _lines(self, run: Run) -> list[Line]:
        return _lines(self._at, run, self._clock.now())

    def _order(self) -> Any:
        from agents.clock import Clock
        from agents.desk.commands import Order

        return Order("", self._account, self._clock.now(), Clock().now(), "cli")

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(text, flush=True)


def _script(at: Place, name: str, rules: Path | None) -> Drill:
    """The drill in this file, or of this name in the rule directory."""
    from pipeline.errors import RuleBookError
    from pipeline.rulebook.drills import FOLDER, read_drill

    book = at.book()
    if book is None:
        raise SettingsError("存档里还没有规则：先让闻讯用规则运行起来（wenxun up 或 wenxun run）。")
    file = Path(name)
    if not file.is_file():
        folder = (rules or at.settings.rules_dir) / FOLDER
        file = folder / f"{name.removesuffix('.yml')}.yml"
        if not file.is_file():
            known = "、".join(sorted(each.stem for each in folder.glob("*.yml"))) if folder.is_dir() else ""
            raise SettingsError(f"没有演练 {name}。{folder} 里有：{known or '没有'}；也可以写文件的路径。")
    try:
        return read_drill(file.name, file.read_text("utf-8"), book)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: 无法读取：{error}") from error
    except RuleBookError as error:
        raise SettingsError(f"{file} 有问题：\n" + "\n".join(str(each) for each in error.problems)) from error


def _foretold(at: Place, script: Drill) -> str:
    """What the rules in force make of its items; SettingsError when they match nothing."""
    from pipeline.drill import item, turns
    from pipeline.model import DRILL, OPEN_SUBJECT
    from pipeline.score.score import Scorer

    book = at.book()
    assert book is not None
    scorer = Scorer(book)
    subjects = {subject.removeprefix(DRILL) for number, turn in enumerate(turns(script))
                for subject in scorer.score(item(turn, "look", number, at.now))}
    matched = sorted(subjects - {OPEN_SUBJECT})
    if not matched:
        raise SettingsError(f"演练 {script.id} 的条目按现在的规则不匹配任何主题，演练不会有告警。改条目的用词，"
                            "用 wenxun rules explain --text 试。")
    titles = {each.id: each.title for each in book.subjects}
    return f"匹配主题：{'、'.join(titles.get(each, each) for each in matched)}；{number_of(script)}"


def _agreed() -> bool:
    import sys

    if not sys.stdin.isatty():
        raise SettingsError("演练会真的通知值班人员：在脚本里运行要加 --yes。")
    return input("值班人员会真的收到标有【演练】的通知。开始吗？(y/N) ").strip().lower() in ("y", "yes", "是")


def _known(at: Place, ident: str) -> Run:
    from agents.store import drill_reads

    with at.engine.connect() as connection:
        found = drill_reads.run(connection, ident)
    if found is None:
        raise SettingsError(f"没有演练 {ident}，或有几个以它开头。用 wenxun drill list 看有哪些。")
    return found


def _lines(at: Place, run: Run, now: int) -> list[Line]:
    from agents.store import drill_reads
    from pipeline.drill import sheet

    with at.engine.connect() as connection:
        return sheet(run.drill, drill_reads.facts(connection, run), now)


def _print(at: Place, run: Run, form: str, now: int) -> int:
    """The score sheet; whether every target was met."""
    lines = _lines(at, run, now)
    met = all(line.met for line in lines)
    if form == "json":
        print_json({"run": run.id, "drill": run.drill.id, "began_at": run.began_at, "met": met, "lines": [
            {"what": line.what, "target_ms": line.target, "took_ms": line.took, "met": line.met} for line in lines]})
    else:
        done = sum(bool(line.met) for line in lines)
        print(f"记分  {run.drill.title}  （{run.id[:8]}，目标 {len(lines)} 项，做到 {done} 项）")
        for line in lines:
            print(f"  {scored(line)}")
    return OK if met else MISSED
