"""What a request brings: a response, or a named fault; and what it may cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.errors import WenxunError


class Fault(StrEnum):
    """Why a request brought no response. Stable: a metric label and part of stored outcomes."""

    REFUSED = "refused"                  # address, port, scheme or redirect not allowed
    DNS = "dns"
    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"
    TIMEOUT = "timeout"
    TOO_SLOW = "too_slow"
    TOO_BIG = "too_big"
    PROTOCOL = "protocol"                # an answer that is not HTTP, or a body that cannot be decoded


class OutboundError(WenxunError):
    """A request that brought no response. The text is Chinese, for the desk, and free of secrets."""

    def __init__(self, fault: Fault, text: str) -> None:
        self.fault = fault
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and real seconds. `min_rate` is bytes per second, checked once a body took longer than `rate_grace`."""

    raw: int = 5 * 1024**2
    decoded: int = 15 * 1024**2
    redirects: int = 5
    rate_grace: float = 5.0
    min_rate: float = 1024.0


SHIPPED = Limits()


@dataclass(frozen=True, slots=True)
class Response:
    """status, headers (names in lower case, values byte for byte as Latin-1), the decoded body, the final URL."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    redirects: tuple[tuple[int, str], ...] = field(default=())


def moved_to(redirects: Sequence[tuple[int, str]]) -> str:
    """Where permanent redirects alone led, of `Response.redirects`; empty when there were none or others among them."""
    permanent = redirects and all(status in (301, 308) for status, _ in redirects)
    return redirects[-1][1] if permanent else ""
