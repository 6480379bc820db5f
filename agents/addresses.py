"""Which addresses an outbound connection may reach. Pure: resolving and dialling are in outbound/.

Only addresses that the public internet routes are allowed; every other one (loopback, private, link-local, carrier NAT,
cloud metadata, reserved, multicast, and all of these wrapped in an IPv6 transition form) needs an entry of
WENXUN_FEED_ALLOW_PRIVATE_CIDRS: a network (`10.1.0.0/16`) or a single `host:port`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from pipeline.errors import SettingsError

VARIABLE = "WENXUN_FEED_ALLOW_PRIVATE_CIDRS"
WEB_PORTS = frozenset((80, 443))

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# is_global of the standard library is True for these, in some version that we support.
_DENIED: tuple[Network, ...] = tuple(ip_network(text) for text in (
    "192.0.0.0/24", "192.88.99.0/24",       # protocol assignments, 6to4 relays
    "168.63.129.16/32",                     # a cloud's metadata and control address inside public space
    "2001::/23", "3fff::/20",               # protocol assignments with Teredo, documentation
))
_UNICAST_V6 = IPv6Network("2000::/3")       # the only IPv6 space that is routed publicly
_NAT64 = IPv6Network("64:ff9b::/96")
_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]*|[0-9]+)")


def is_public(address: Address) -> bool:
    """Whether the public internet routes this address, seen through mapped, NAT64 and 6to4 forms."""
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
        if address not in _UNICAST_V6:
            return False
    denied = any(address.version == net.version and address in net for net in _DENIED)
    return address.is_global and not address.is_multicast and not denied


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def literal(host: str) -> Address | None:
    """The address that a host spells out, or None for a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_odd_number(host: str) -> bool:
    """Whether a host ends in a number and yet is no plain address: 2130706433, 0x7f.1, 127.1, 0177.0.0.1."""
    last = host.rstrip(".").rpartition(".")[2]
    return _NUMBER.fullmatch(last) is not None and literal(host) is None


@dataclass(frozen=True, slots=True)
class Allow:
    """What may be reached besides the public internet: networks, and single endpoints with their port."""

    networks: tuple[Network, ...] = ()
    endpoints: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Allow:
        """From the entries of the setting; SettingsError names the one that is neither network nor host:port."""
        networks: list[Network] = []
        endpoints: set[tuple[str, int]] = set()
        for entry in entries:
            network = _network(entry)
            if network is not None:
                networks.append(network)
            else:
                endpoints.add(_endpoint(entry))
        return cls(tuple(networks), frozenset(endpoints))

    def endpoint(self, host: str, port: int) -> bool:
        return (host.strip("[]").lower().rstrip("."), port) in self.endpoints

    def address(self, host: str, port: int, address: Address) -> bool:
        """Whether a connection to this address, for this host and port, may be made."""
        if is_public(address) or self.endpoint(host, port):
            return True
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        plain = mapped or address
        return any(plain.version == net.version and plain in net for net in self.networks)

    def port(self, host: str, port: int) -> bool:
        """Whether the web may be spoken on this port: 80, 443, or an endpoint that is named."""
        return port in WEB_PORTS or self.endpoint(host, port)


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry)
    except ValueError:
        return None


def _endpoint(entry: str) -> tuple[str, int]:
    host, colon, port = entry.rpartition(":")
    host = host.strip("[]").lower().rstrip(".")
    if not colon or not host or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(
            f"{VARIABLE}: {entry!r} is neither a network (10.1.0.0/16) nor host:port (127.0.0.1:8080, [::1]:8080)")
    return host, int(port)
