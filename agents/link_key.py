"""The key of the links in messages: deliver signs with it, the desk checks with it, whoever needs it first makes it."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from agents.settings import Settings
from pipeline.errors import SettingsError
from pipeline.model import Escalation
from pipeline.notify.signed import LIFE, MIN_KEY, Claim, sign

NAME = "WENXUN_LINK_KEY_FILE"
MAX_BYTES = 4096
_MADE = 48
"""Random bytes of a key made here."""


def load(settings: Settings) -> bytes:
    """The key; made when there is none. SettingsError names the file and what to do, never its content."""
    path = settings.link_key_path
    with contextlib.suppress(FileExistsError):
        if not path.exists():
            _make(path)
    return _read(path)


def answer_link(settings: Settings, key: bytes, escalation: Escalation, person: str) -> str:
    """The URL where an alert is answered; empty when it has no alert or nobody could open it. person: empty in a group.

    The same escalation gives the same link: a message that is sent again is the same message.
    """
    if not settings.link_url or not escalation.event_id or not escalation.alert_id:
        return ""
    claim = Claim(escalation.event_id, escalation.alert_id, person, escalation.at + LIFE)
    return f"{settings.link_url}/a/{sign(key, claim)}"


def why_no_link(settings: Settings) -> str:
    """What to tell an operator whose messages carry no link; empty when they do."""
    if settings.link_url:
        return ""
    if not settings.external_url:
        return "消息里不带链接：没有设置 WENXUN_EXTERNAL_URL。请设为收件人手机打得开的值班台地址，例如 https://值班台的域名。"
    return (f"消息里不带链接：WENXUN_EXTERNAL_URL={settings.external_url} 是本机地址，别人打不开。"
            "请改为收件人手机打得开的值班台地址。")


def _make(path: Path) -> None:
    """Whole or not at all, readable by its owner alone from its first byte on; the first of two makers wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(_MADE) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError as error:
        raise SettingsError(f"{NAME}={path}: 无法写入链接密钥（{error.strerror}）；"
                            "请检查目录的权限和空间，或指定另一个文件") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{NAME}={path}: 无法读取链接密钥（{error.strerror}）") from None
    if mode & stat.S_IRWXO:
        raise SettingsError(f"{NAME}={path}: 链接密钥所有用户都能读取（权限 {mode:03o}）；请执行 chmod 600 {path}，"
                            "它可能已经泄露，最好删除后重新生成")
    key = raw.strip()
    if not MIN_KEY <= len(key) <= MAX_BYTES:
        raise SettingsError(f"{NAME}={path}: 链接密钥只有 {len(key)} 字节，应有 {MIN_KEY} 到 {MAX_BYTES} 字节；"
                            "删除这个文件会自动重新生成（已发出的链接随之失效）")
    return key
