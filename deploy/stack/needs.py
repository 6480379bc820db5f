"""What must be so before anything is started; each problem names what to do."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from deploy.stack import programs
from deploy.stack.layout import DEPLOY, PARTS, ROOT, Folder, StackError

ROOM_BYTES = 512 * 1024**2
"""Less free space than this and nothing is started: Kafka and PostgreSQL would stop in the middle."""
SOCKET_LENGTH = 95
"""Of the 107 bytes that the kernel allows a socket's path, supervisor adds up to ten while it makes it."""


def check(folder: Folder, rules: Path | None) -> None:
    """StackError with everything that is missing. Whether the folder fits is asked before, by every command."""
    programs_are_there(folder)
    room(folder)
    rules_are_there(rules)


def rules_are_there(rules: Path | None) -> None:
    if rules is not None and not any(rules.glob("*.yml")):
        raise StackError(f"规则目录 {rules} 里没有规则文件；请先 wenxun init {rules}，或检查 --rules")


def folder_fits(folder: Folder) -> None:
    """Ours, of this user, with a path that supervisor and its socket can have."""
    text = str(folder.root)
    if set(text) & set(";\"'\\\n\r"):
        raise StackError(f"--data {text}：路径里不能有引号、分号、反斜杠")
    if len(os.fsencode(folder.socket)) > SOCKET_LENGTH:
        raise StackError(f"--data {text}：路径太长（其中的 {folder.socket.name} 最多 {SOCKET_LENGTH} 字节）；"
                         "请换一个短些的目录")
    if not folder.root.exists():
        return
    if not folder.root.is_dir():
        raise StackError(f"--data {text}：是一个文件，不是目录")
    owner = folder.root.stat().st_uid
    if owner != os.geteuid():
        raise StackError(f"{text} 属于用户 {_name(owner)}，现在的用户是 {_name(os.geteuid())}；"
                         f"请用 {_name(owner)} 运行，或用 --data 另选目录")
    strangers = sorted(each.name for each in folder.root.iterdir() if each.name not in PARTS)
    if strangers and not folder.choices.exists():
        raise StackError(f"--data {text}：里面有别的东西（{'、'.join(strangers[:3])}）；请用 --data 指定一个新目录")


def programs_are_there(folder: Folder) -> None:
    """StackError with one apt-get line for all that is missing."""
    jars = Path(os.environ.get("WENXUN_KAFKA_LIBS")
                or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wenxun" / "kafka-4.3.1")
    wanted = {"java": "openjdk-17-jre-headless", "prometheus": "prometheus",
              programs.alertmanager(): "prometheus-alertmanager", "psql": "postgresql"}
    if not (jars / ".complete").exists():
        wanted["mvn"] = "maven"
    missing = {name: package for name, package in wanted.items() if shutil.which(name) is None}
    if programs.postgres_bin(folder) is None:
        version = folder["postgres"] / "data" / "PG_VERSION"
        kept = version.read_text("ascii").strip() if version.exists() else ""
        missing[f"PostgreSQL {kept}".strip()] = f"postgresql-{kept}" if kept else "postgresql"
    if missing:
        raise StackError(f"缺少程序：{'、'.join(missing)}。请安装：\n"
                         f"  sudo apt-get install {' '.join(sorted(set(missing.values())))}")
    if os.geteuid() == 0:
        _other_user(folder)


def _other_user(folder: Folder) -> None:
    """As root PostgreSQL runs as `postgres`, who must be able to reach the folder."""
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        raise StackError("PostgreSQL 不能以 root 运行，这台机器又没有用户 postgres；"
                         "请用普通用户运行 make stack") from None
    there = next(path for path in (folder.root, *folder.root.parents) if path.exists())
    done = subprocess.run(  # noqa: S603 (our own command)
        ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(there)], user="postgres", group="postgres", extra_groups=[],
        capture_output=True, check=False, cwd="/")
    if done.returncode:
        raise StackError(f"PostgreSQL 不能以 root 运行，而用户 postgres 进不了 {there}；请用普通用户运行 make stack，"
                         "或用 --data 选一个它进得去的目录，例如 /var/lib/wenxun-stack")


def room(folder: Folder) -> None:
    there = next(path for path in (folder.root, *folder.root.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < ROOM_BYTES:
        raise StackError(f"{there} 所在的磁盘只剩 {free // 1024**2} MiB，至少要 {ROOM_BYTES // 1024**2} MiB；"
                         "请腾出空间，或用 --data 换一个目录")


def fetch_jars() -> None:
    """Kafka's jars, from Maven Central the first time: minutes. StackError if they cannot be had."""
    done = subprocess.run(  # noqa: S603 (our own script)
        [DEPLOY / "kafka" / "run", "jars"], stdout=subprocess.DEVNULL, cwd=ROOT, check=False)
    if done.returncode:
        raise StackError("Kafka 的程序包没有取到，原因见上；需要能访问 Maven Central，"
                         "或用 WENXUN_KAFKA_LIBS 指定已有的目录")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
