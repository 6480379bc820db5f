"""Secrets are files. One that cannot be used is said at start: which setting, which file, what to do.

The text names the file and never its content.
"""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import SettingsError
from pipeline.rulebook.schema import RuleBook


def read(setting: str, path: Path) -> str:
    """The file's text without the white space around it; SettingsError says what to mend."""
    try:
        text = path.read_text("utf-8").strip()
    except FileNotFoundError:
        raise _refused(setting, path, "there is no such file: write the secret into it (one line, mode 600), or "
                                      "correct the setting") from None
    except IsADirectoryError:
        raise _refused(setting, path, "this is a folder, and a file is expected (a container makes one where the file "
                                      "to mount is missing)") from None
    except PermissionError:
        raise _refused(setting, path, "this user may not read it: give the file to the user that runs Wenxun, "
                                      "mode 600") from None
    except UnicodeDecodeError:
        raise _refused(setting, path, "this is no text in UTF-8: write the secret anew") from None
    except OSError as error:
        raise _refused(setting, path, f"cannot be read ({error.strerror})") from None
    if not text:
        raise _refused(setting, path, "the file is empty: write the secret into it (one line)")
    return text


def _refused(setting: str, path: Path, why: str) -> SettingsError:
    return SettingsError(f"{setting}={path}: {why}")


def of_channels(book: RuleBook, root: Path) -> dict[str, str]:
    """Channels whose secret files cannot be read, and why. Whether the endpoint answers, `wenxun notify test` tells."""
    found: dict[str, str] = {}
    for each in book.channels:
        for field in (name for name in each.__struct_fields__ if name.endswith("_file") and getattr(each, name)):
            if why := _unusable(root / getattr(each, field)):
                found.setdefault(each.id, f"{field} 指的 {getattr(each, field)} {why}")
    return found


def _unusable(path: Path) -> str:
    try:
        if not path.is_file():
            return "不存在"
        if os.access(path, os.R_OK):
            return "" if path.stat().st_size else "是空的"
    except OSError:                             # a folder above it that this user may not enter
        pass
    return "读不了，要属于运行 wenxun 的用户"
