"""Secrets of channels: read from their files at the moment of sending, so that replacing a file is enough."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import WenxunError
from pipeline.rulebook.schema import Channel

MAX_BYTES = 16 * 1024


class SecretError(WenxunError):
    """A secret file that cannot be used. The text names the channel and the file, never the content."""


class Secrets:
    def __init__(self, rules_dir: Path) -> None:
        self._dir = rules_dir

    def read(self, channel: str, name: str) -> str:
        """The file's text without surrounding white space; relative names are below the rule directory."""
        path = self._dir / name
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise SecretError(f"通道 {channel}：无法读取密钥文件 {path}（{error.strerror}）") from None
        try:
            text = raw.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise SecretError(f"通道 {channel}：密钥文件 {path} 不是 UTF-8 文本") from None
        if not text or len(raw) > MAX_BYTES:
            raise SecretError(f"通道 {channel}：密钥文件 {path} 为空或过大")
        return text

    def address(self, channel: Channel) -> tuple[str, str]:
        """(URL, secret) of a channel that is called at one address; the secret is empty without a secret_file."""
        url = self.read(channel.id, channel.url_file) if channel.url_file else channel.url
        return url, self.read(channel.id, channel.secret_file) if channel.secret_file else ""
