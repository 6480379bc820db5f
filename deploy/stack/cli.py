"""deploy/stack/run [start|stop|restart|status|logs|env]: the commands of the stack, and what they print."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
import xmlrpc.client
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.stack import config, health, needs, ours, ports
from deploy.stack.control import Stack, alone, delete, last_words
from deploy.stack.layout import NAMES, ROOT, Folder, StackError, make_folders, rows
from deploy.stack.programs import Choices
from deploy.stack.supervisor import State, Supervisor
from pipeline.errors import WenxunError

NOT_RUNNING = 3
GRAFANA = ("Grafana：Debian 没有它的软件包，这里不启动；已有 Grafana 的，看板在 deploy/grafana/dashboards，"
           "数据源的地址在 stack.json 的 grafana 一项")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="deploy/stack/run", description="一台机器上的整套系统，不用 Docker。不写命令就是 start。")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    start = verbs.add_parser("start", help="启动全部（或写出的几个），等到就绪；已在运行的不动")
    _start_options(start)
    verbs.add_parser("stop", help="按次序停下全部（或写出的几个），数据都留着")
    verbs.add_parser("restart", help="重新启动写出的几个")
    status = verbs.add_parser("status", help="每个进程的状态，以及各处的地址；全部就绪时退出码是 0")
    status.add_argument("--json", action="store_true", help="输出 JSON")
    logs = verbs.add_parser("logs", help="一个进程日志的末尾")
    logs.add_argument("--lines", type=int, default=40, metavar="N", help="行数")
    verbs.add_parser("env", help='让 wenxun 命令用这套系统：eval "$(deploy/stack/run env)"')
    for name, verb in verbs.choices.items():
        verb.add_argument("--data", type=Path, default=usual_folder(), metavar="DIR", help="所有文件所在的目录")
        if name in ("start", "stop", "restart", "logs"):
            many = "+" if name in ("restart", "logs") else "*"
            verb.add_argument("names", nargs=many, choices=(*NAMES, []), metavar="NAME", help="、".join(NAMES))
    return top


def usual_folder() -> Path:
    return Path(os.environ.get("WENXUN_STACK_DATA") or ROOT / "wenxun-stack")


def _start_options(start: argparse.ArgumentParser) -> None:
    feeds = start.add_mutually_exclusive_group()
    feeds.add_argument("--feeds", action="store_true", default=None, help="演示的信源和规则（第一次启动时的默认）")
    feeds.add_argument("--no-feeds", action="store_false", dest="feeds", help="不要演示；规则在目录的 rules 里")
    start.add_argument("--rules", type=Path, metavar="DIR", help="用自己的规则目录，不要演示")
    start.add_argument("--speed", type=float, metavar="N", help="演示的一天比真实快几倍，默认 30")
    numbers = start.add_mutually_exclusive_group()
    numbers.add_argument("--ports-from", type=int, metavar="N", help="从 N 起的连续端口")
    numbers.add_argument("--free-ports", action="store_true", help="由系统选空闲的端口")
    start.add_argument("--monitoring", type=Path, metavar="DIR",
                       help="Prometheus 和 Alertmanager 的配置，默认 deploy 里的 prometheus/ 和 alertmanager/")
    start.add_argument("--fresh", action="store_true", help="先删掉这个目录里的全部数据（会先问）")
    start.add_argument("--yes", action="store_true", help="不问就删")


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 1 when something did not come, 2 when a person has to mend something first, 3: status, and nothing runs."""
    args = parser().parse_args(with_verb(sys.argv[1:] if arguments is None else arguments))
    folder = Folder(args.data.absolute())
    try:
        needs.folder_fits(folder)
        return int({"start": start, "stop": stop, "restart": restart, "status": status, "logs": logs,
                    "env": env}[args.verb](args, folder))
    except (StackError, WenxunError) as error:
        print(f"stack: {error}", file=sys.stderr)
        return 2
    except (OSError, xmlrpc.client.Error) as error:
        print(f"stack: {_system(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstack: 中断了。已启动的还在运行：再 make stack 接着启动，或 make stack-down 全部停下", file=sys.stderr)
        return 130


def _system(error: Exception) -> str:
    hint = "；磁盘满了，请腾出空间再试" if getattr(error, "errno", 0) in (28, 122) else ""
    return f"{error}{hint}"


def with_verb(words: Sequence[str]) -> list[str]:
    """`make stack ARGS=--no-feeds` starts: the command may be left out."""
    named = bool(words) and (not words[0].startswith("-") or words[0] in ("-h", "--help"))
    return [*([] if named else ["start"]), *words]


def say(text: str) -> None:
    print(text, flush=True)


# ---------------------------------------------------------------- commands


def start(args: argparse.Namespace, folder: Folder) -> int:
    if args.names:
        return _some(args, folder)
    before = config.load(folder)
    if args.fresh and not _agreed(args, folder, before):
        return 2
    with ports.held() as holder:
        make_folders(folder)
        with alone(folder):
            if args.fresh:
                _erase(folder, before)
                make_folders(folder)
                before = None
            choices = chosen(args, before, holder)
            stack = Stack(folder, choices, say)
            if stack.supervisor.alive() and choices != before:
                raise StackError(f"{folder.root} 已在运行，改选项前请先 make stack-down")
            needs.check(folder, Path(choices.rules) if choices.rules else None)
            stack.start(holder)
    _shown(folder, choices)
    return 0


def chosen(args: argparse.Namespace, before: Choices | None, holder: ports.Held) -> Choices:
    """What the options say; what they leave open is as before, or as usual."""
    if args.rules is not None and args.feeds:
        raise StackError("--rules 和 --feeds 不能同时用：演示的信源要用演示的规则")
    made = before or Choices(ports.usual())
    if args.ports_from is not None:
        made = replace(made, ports=ports.counted_from(args.ports_from))
    elif args.free_ports and before is None:
        made = replace(made, ports=holder.free())
    if args.rules is not None:
        made = replace(made, rules=str(args.rules.absolute()), feeds=False)
    elif args.feeds is not None:
        made = replace(made, feeds=args.feeds, rules=None if args.feeds else made.rules)
    if args.monitoring is not None:
        made = replace(made, monitoring=str(args.monitoring.absolute()))
    return replace(made, speed=args.speed) if args.speed is not None else made


def stop(args: argparse.Namespace, folder: Folder) -> int:
    if args.names:
        return _some(args, folder)
    choices = config.load(folder) if folder.root.exists() else None
    if choices is None:
        say(f"{folder.root}：没有启动过")
        return 0
    with alone(folder):
        stack = Stack(folder, choices, say)
        if not stack.supervisor.alive() and not ours.processes(folder):
            say("没有在运行")
            return 0
        stack.stop()
    say(f"已全部停下；数据在 {folder.root}，make stack 接着用")
    return 0


def restart(args: argparse.Namespace, folder: Folder) -> int:
    return _some(args, folder)


def _some(args: argparse.Namespace, folder: Folder) -> int:
    """Start, stop or restart some processes of a stack that runs."""
    choices = config.load(folder)
    if choices is None or not Supervisor(folder).alive():
        raise StackError("没有在运行；先 make stack")
    with alone(folder):
        stack = Stack(folder, choices, say)
        if unknown := [name for name in args.names if name not in stack.supervisor.states()]:
            raise StackError(f"这套系统没有 {'、'.join(unknown)}")
        {"start": stack.start_some, "stop": stack.stop_some, "restart": stack.restart_some}[args.verb](args.names)
    return 0


def status(args: argparse.Namespace, folder: Folder) -> int:
    choices = config.load(folder)
    if choices is None:
        raise StackError(f"{folder.root}：没有启动过；make stack 启动")
    if args.json:
        print(json.dumps({**config.state(folder, choices), "processes": looked(folder, choices)},
                         indent=2, ensure_ascii=False))
        return 0 if Supervisor(folder).alive() else NOT_RUNNING
    return _shown(folder, choices)


def logs(args: argparse.Namespace, folder: Folder) -> int:
    for name in args.names:
        print("\n".join(rows(folder.log(name), args.lines)) or f"{folder.log(name)}：还没有内容")
    return 0


def env(args: argparse.Namespace, folder: Folder) -> int:
    choices = config.load(folder)
    if choices is None:
        raise StackError(f"{folder.root}：没有启动过；make stack 启动")
    for name, value in Stack(folder, choices, say).environ().items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"export WENXUN_STACK_DATA={shlex.quote(str(folder.root))}")
    print(f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH")
    return 0


# ---------------------------------------------------------------- helpers


def looked(folder: Folder, choices: Choices) -> dict[str, dict[str, Any]]:
    """Every process: state, pid, seconds since its start, and what it lacks (empty: ready)."""
    supervisor = Supervisor(folder)
    states = supervisor.states() if supervisor.alive() else {}
    lacks = health.of_all([name for name, state in states.items() if state.up], folder, choices)
    now = int(time.time())
    return {name: {"state": state.name, "pid": state.pid, "status": state.status,
                   "seconds": now - state.since if state.up else 0, "missing": _lack(state, lacks.get(name, ""))}
            for name in NAMES if (state := states.get(name)) is not None}


def _lack(state: State, text: str) -> str:
    if state.up:
        return text
    return "已停下" if state.name == "STOPPED" else f"已退出，退出码 {state.status}"


def _shown(folder: Folder, choices: Choices) -> int:
    """Print processes and addresses. 0 when all are ready."""
    found = looked(folder, choices)
    if not found:
        left = ours.processes(folder)
        say("没有在运行；make stack 启动" if not left else
            f"监督进程不在了，它的 {len(left)} 个进程还在；make stack 结束它们再启动，make stack-down 只结束它们")
        return NOT_RUNNING
    for name, each in found.items():
        words = "就绪" if not each["missing"] else each["missing"] + (
            last_words(folder, name) if each["state"] == "EXITED" else "")
        say(f"  {name:<13}{each['pid'] or '-':>7}  {_lasted(each['seconds']):>8}  {words}")
    told = config.state(folder, choices)
    say(f"值班台：{told['desk']}/（用户 admin，口令在 {told['admin_password_file']}）")
    say(f"Prometheus：{told['prometheus']}/　Alertmanager：{told['alertmanager']}/")
    if told["phone"]:
        say(f"演示的值班手机：{told['phone']}")
    say(f"规则：{told['rules']}　日志：{folder.logs}　地址都在：{folder.state}")
    say(GRAFANA)
    return 0 if not any(each["missing"] for each in found.values()) else 1


def _lasted(seconds: int) -> str:
    hours, rest = divmod(max(0, seconds), 3600)
    return f"{hours}h{rest // 60:02d}m" if hours else f"{rest // 60}m{rest % 60:02d}s"


def _agreed(args: argparse.Namespace, folder: Folder, before: Choices | None) -> bool:
    if before is None or args.yes:
        return True
    if not sys.stdin.isatty():
        say("--fresh 会删掉全部数据，需要确认：在终端里运行，或加 --yes")
        return False
    return input(f"删掉 {folder.root} 里的全部数据（消息、数据库、口令、日志）？输入 yes 确认：").strip() == "yes"


def _erase(folder: Folder, before: Choices | None) -> None:
    if before is not None:
        Stack(folder, before, say).stop()
    delete(folder)
    say(f"已删掉 {folder.root} 里的数据")

