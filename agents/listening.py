"""An address that cannot be listened on, in one line: which, why, which setting names it, and what to do."""

from __future__ import annotations

import errno
import socket

from pipeline.errors import SettingsError


def refused(setting: str, host: str, port: int, error: OSError) -> SettingsError:
    """What to raise instead of the system's error. setting: the variable or option that named the address."""
    return SettingsError(f"{setting}={host}:{port}: {_why(setting, port, error)}")


def _why(setting: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (f"another program listens there already (`ss -ltnp 'sport = :{port}'` shows which): stop it, or set "
                f"{setting} to another port")
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return (f"this machine has no such address: set {setting} to 127.0.0.1 (this machine only), 0.0.0.0 (all its "
                "networks) or one that `ip address` lists")
    if error.errno == errno.EACCES:
        return f"this user may not listen on ports below 1024: set {setting} to a higher port"
    return f"cannot be listened on ({error.strerror or error}): set {setting} to another address"
