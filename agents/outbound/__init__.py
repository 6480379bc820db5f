"""The only way an HTTP request leaves this system, for feeds and for webhooks (and `pinned_address` for SMTP).

A name is resolved once per connection, refused when ANY answer is not allowed, and the connection goes to that literal
address, so a name that changes its answer gains nothing; SNI, certificate and Host stay the name. Proxy variables,
netrc and cookies are ignored. Redirects are followed by hand, each hop checked. Bodies are capped raw and decoded.
Errors never contain a URL's path or query: webhook URLs carry keys.
"""

from agents.outbound.dial import PinnedBackend, PinnedTransport, Resolver, pinned_address
from agents.outbound.exchange import USER_AGENT, client, feed_client, request
from agents.outbound.faults import Fault, Limits, OutboundError, Response

__all__ = [
    "USER_AGENT", "Fault", "Limits", "OutboundError", "PinnedBackend", "PinnedTransport", "Resolver", "Response",
    "client", "feed_client", "pinned_address", "request",
]
