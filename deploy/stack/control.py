"""Starting and stopping the stack, stage by stage. `say` shows a line of progress to whoever asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from agents.supervisor import locked
from deploy.stack import config, database, health, needs, ours, ports, programs
from deploy.stack.layout import (
    ALERT_TOKEN,
    PARTS,
    STAGES,
    Folder,
    StackError,
    rows,
    write,
)
from deploy.stack.programs import Choices, Program
from deploy.stack.supervisor import Supervisor

READY_SECONDS = 480
"""Long, as the machine may be slow; a program that ends for good is told of at once."""
MONITOR = "monitor"
"""The desk's account in whose name Alertmanager reports."""

Say = Callable[[str], None]


@contextmanager
def alone(folder: Folder) -> Iterator[None]:
    """One `start` or `stop` at a time; the kernel forgets the lock when its holder dies."""
    folder.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(folder.run / "lock", lambda holder: StackError(
            f"{folder.root}：另一个启动或停止命令（进程 {holder or '未知'}）正在进行，请等它结束")):
        yield


class Stack:
    def __init__(self, folder: Folder, choices: Choices, say: Say) -> None:
        self.folder, self.choices, self._say = folder, choices, say
        self.supervisor = Supervisor(folder)
        self.programs: dict[str, Program] = programs.programs(folder, choices, os.environ)

    # ------------------------------------------------------------ start

    def start(self, holder: ports.Held) -> None:
        """Everything that does not run yet. StackError when something does not come."""
        if not self.supervisor.alive():
            self._sweep()
            self._prepare(holder)
            self.supervisor.start()
        until = time.monotonic() + READY_SECONDS
        for stage in STAGES:
            names = [name for name in stage if name in self.programs]
            self._begin(names)
            if "kafka" in names:
                self._wait(names, until)
                self._after_stores(until)
            elif "archive" in names:                    # its tables are there when its probes answer; ready it is later
                self._wait(names, until, alive=True)
                self._token()
            elif "feeds" in names:
                self._wait(names, until)
        self._wait(list(self.programs), until)

    def _prepare(self, holder: ports.Held) -> None:
        ports.require_free(holder, self.choices.ports, frozenset({*self.programs, "desk_page"}))
        needs.fetch_jars()
        database.make_secrets(self.folder)
        database.make_cluster(self.folder)
        ports.move_kafka(self.folder, self.choices.ports["kafka"])
        if not self.choices.feeds and not self.choices.rules and not self.folder["rules"].exists():
            self._wenxun("init", str(self.folder["rules"]))
        config.save(self.folder, self.choices, self.programs)

    def _sweep(self) -> None:
        """What a supervisor that was killed left running."""
        found = ours.processes(self.folder)
        if found:
            self._say(f"上次的监督进程不在了，先结束它留下的 {len(found)} 个进程："
                      + "、".join(sorted({each.program for each in found})))
            ours.end(self.folder)

    def _begin(self, names: Collection[str]) -> None:
        states = self.supervisor.states()
        for name in names:
            if not states[name].up:
                (self.folder.run / f"{name}.starts").unlink(missing_ok=True)
                self.supervisor.begin(name)
                self._say(f"启动 {name}")

    def _wait(self, names: list[str], until: float, *, alive: bool = False) -> None:
        """Until all of them are ready, or only answer. StackError for one that ended for good or is late."""
        while True:
            found = health.of_all(names, self.folder, self.choices, alive=alive)
            missing = {name: text for name, text in found.items() if text}
            if not missing:
                return
            states = self.supervisor.states()
            for name in missing:
                if states[name].gone:
                    raise StackError(self._ended(name, states[name].status))
            if time.monotonic() > until:
                raise StackError("\n".join([
                    f"等了 {READY_SECONDS} 秒，还没有就绪：", *(f"  {name}：{text}{self._last(name)}"
                                                   for name, text in missing.items()),
                    "它们还在运行；make stack ARGS=status 再看，或 make stack-down 停下"]))
            time.sleep(0.3)

    def _after_stores(self, until: float) -> None:
        database.make_roles(self.folder, self.choices.ports["postgres"], programs.base_environ(os.environ))
        while True:                                     # the broker listens a moment before it works
            done = self._run("topics", "create")
            if done.returncode == 0:
                return
            if done.returncode == 2 or time.monotonic() > until:
                raise StackError(f"Kafka 的主题没有建成：{done.stderr.strip()[-500:]}")
            time.sleep(0.5)

    def _token(self) -> None:
        """With which Alertmanager reports to the desk; made once, read from its file by Alertmanager at each call."""
        path = self.folder.secret(ALERT_TOKEN)
        if path.exists() and path.stat().st_size:
            return
        if self._run("user", "list").stdout.find(f"{MONITOR}\t") < 0:
            self._wenxun("user", "add", MONITOR, "--role", "reporter")
        token = self._wenxun("token", "create", "--name", "alertmanager", "--account", MONITOR,
                             "--scope", "alertmanager")
        write(path, token.strip() + "\n")

    # ------------------------------------------------------------ stop

    def stop(self) -> None:
        """Everything, collect first and what stores last; data stay. Also what a killed supervisor left."""
        if self.supervisor.alive():
            for stage in reversed(STAGES):
                self.stop_some([name for name in stage if name in self.supervisor.states()])
            self.supervisor.shutdown()
        ours.end(self.folder)                           # the supervisor itself, and whatever it does not know
        for left in (self.folder.socket, *self.folder.run.glob("*.starts")):
            left.unlink(missing_ok=True)

    def stop_some(self, names: Collection[str]) -> None:
        running = [name for name, state in self.supervisor.states().items() if name in names and not state.gone]
        if running:
            self._say(f"停止 {'、'.join(running)}")
            self.supervisor.end(running, max(self.programs[name].grace if name in self.programs else 45
                                             for name in running) + 15)

    def restart_some(self, names: Collection[str]) -> None:
        self.stop_some(names)
        self.start_some(names)

    def start_some(self, names: Collection[str]) -> None:
        self._begin(names)
        self._wait(list(names), time.monotonic() + READY_SECONDS)

    # ------------------------------------------------------------ what commands print

    def environ(self) -> dict[str, str]:
        """For `wenxun` commands about this stack."""
        return programs.settings(self.folder, self.choices, os.environ)

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 (our own command)
            [sys.executable, "-m", "agents", *words], env={**programs.base_environ(os.environ), **self.environ()},
            cwd=programs.CWD, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def _wenxun(self, *words: str) -> str:
        done = self._run(*words)
        if done.returncode:
            raise StackError(f"wenxun {' '.join(words)} 没有成功：{done.stderr.strip()[-500:]}")
        return done.stdout

    def _ended(self, name: str, status: int) -> str:
        return (f"{name} 已经退出（退出码 {status}）{self._last(name)}\n  完整日志：{self.folder.log(name)}\n"
                "其余的还在运行：改好后再 make stack 接着启动，或 make stack-down 全部停下")

    def _last(self, name: str) -> str:
        return last_words(self.folder, name)


def last_words(folder: Folder, name: str) -> str:
    """The end of its log, and a hint where the log says that the disk is full."""
    lines = rows(folder.log(name), 3)
    full = any("No space left" in line or "disk is full" in line for line in rows(folder.log(name), 200))
    said = f"，它最后说：{lines[-1][-300:]}" if lines else ""
    return said + ("\n  磁盘满了：请腾出空间，再 make stack" if full else "")


def delete(folder: Folder) -> None:
    """All that the stack wrote into its folder, but run/ with the lock that is held; anything else in it stays."""
    for name in PARTS[1:]:
        path = folder[name]
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

