"""Links to entries, without what names a person; and one spelling of a link, which only names the entry.

The stored link leaves out logins, handles, profile pages and personal query parameters. The one spelling (`canonical`)
leaves out whatever may differ between two links to one page: it is hashed, never opened.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, unquote_to_bytes, urljoin, urlsplit, urlunsplit

MAX_URL = 2048

_PROFILE = re.compile(
    r"/(?:u|user|users|people|profile|profiles|member|members|author|authors|space|home)/[^/]+/?$"
    r"|/(?:u|users?|people|profiles?|authors?)/[^/]+/"
    r"(?:posts?|topics?|statuses|summary|activity|answers|articles|replies|home|followers|following)(?:/|$)"
    r"|/space-(?:uid|username)-|/profile-[^/]+\.html$|/(?:home|memberlist)\.php$", re.IGNORECASE)
_SITES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"https?://(?:www\.)?weibo\.com/\d{5,}/([A-Za-z0-9]{6,})(?:[/?#].*)?"), "https://m.weibo.cn/status/{}"),
    (re.compile(r"https?://(?:www\.|m(?:obile)?\.)?(?:x|twitter)\.com/(?!i/)\w+/status/(\d+)(?:[/?#].*)?"),
     "https://x.com/i/status/{}"),
    (re.compile(r"https?://(?:www\.)?weibo\.com/(?:u/)?\d{5,}(?:[/?#].*)?()"), "https://weibo.com/{}"),
    (re.compile(r"https?://space\.bilibili\.com/\d+(?:[/?#].*)?()"), "https://www.bilibili.com/{}"),
)
"""Sites whose links to a post lead with its author, and the site's own link to the same post without."""
_NAMING_HOSTS = ("weibo.com", "x.com", "twitter.com", "bilibili.com")
_PERSONAL = re.compile(
    r"^(?:tel|phone|mobile|e?mail|user|user_?name|user_?id|uid|fromuid|author(?:_?id)?|nick(?:name)?|id_?card|openid)$",
    re.IGNORECASE)


_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What no address has: control characters, directions that make it look like another, halves of characters."""


def absolute(link: str, base: str) -> str:
    """The link as it is when it says its scheme and host, else by the base; nothing for nothing. Raises ValueError."""
    return link if not link or link.startswith(("https://", "http://")) else urljoin(base, link)


def public_link(link: str, base: str) -> str:
    """An absolute http(s) link without what names a person, or nothing.

    Where the path itself names one (`/@name/1`, `/users/name`) only the site's front page is left.
    """
    try:
        link = _UNSEEN.sub("", link).strip()
        parts = urlsplit(absolute(link, base))
        _ = parts.port                                  # raises when it is none
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or len(link) > MAX_URL:
        return ""
    if parts.hostname.endswith(_NAMING_HOSTS):
        for pattern, without in _SITES:
            if (match := pattern.fullmatch(urlunsplit(parts))) is not None:
                return without.format(match[1])
    place = parts.netloc.rpartition("@")[2]
    path = unquote(parts.path)
    if "@" in path or _PROFILE.search(path):
        return urlunsplit((parts.scheme, place, "/", "", ""))
    fragment = "" if "@" in unquote(parts.fragment) else parts.fragment
    return urlunsplit((parts.scheme, place, parts.path, _impersonal(parts.query), fragment))


def _impersonal(query: str) -> str:
    """The query as it was written, without its personal parameters."""
    if not query:
        return ""
    return "&".join(part for part in query.split("&") if not _names_person(part))


def _names_person(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return _PERSONAL.match(unquote(name)) is not None or "@" in unquote(value)


# ---------------------------------------------------------------- identity

TRACKING = re.compile("|".join((
    # who sent the reader, by the big analytics, advertising and mailing systems
    r"utm_?\w*", r"pk_\w+", r"mtm_\w+", r"piwik_\w+", r"at_\w+", r"spm", r"scm", r"spm_id_from", r"xtor", r"cmpid",
    r"fbclid", r"gclid", r"gclsrc", r"dclid", r"gbraid", r"wbraid", r"msclkid", r"yclid", r"twclid", r"ttclid", r"_ga",
    r"_gl", r"igsh(?:id)?", r"mc_[ce]id", r"_hs\w+", r"mkt_tok", r"vero_\w+", r"oly_\w+", r"wickedid", r"bd_vid",
    r"hmsr", r"hmpl", r"hmcu", r"hmkw", r"hmci",
    # where the link was found
    r"from", r"fr", r"wfr", r"ref", r"ref_?src", r"ref_?url", r"referr?er", r"source", r"src", r"tt_from", r"vd_source",
    r"is_from_\w+", r"from_\w+", r"come_?from", r"feature", r"rss", r"channel_?from",
    # shares, above all out of WeChat
    r"share\w*", r"mpshare", r"sharer\w*", r"wxshare\w*", r"srcid", r"unique_k", r"bbid", r"isappinstalled", r"nsukey",
    r"scene", r"subscene", r"ascene", r"sessionid", r"clicktime", r"enterid", r"devicetype", r"pass_ticket",
    r"exportkey", r"wx_header", r"chksm",
    # sessions and cache busters
    r"phpsessid", r"jsessionid", r"_dsign", r"_", r"_t", r"_ts", r"_r", r"timestamp", r"rand(?:om)?", r"rnd",
    r"no_?cache", r"cache_?bust(?:er)?", r"cb", r"req_?id",
)), re.IGNORECASE)
"""Query parameters that name no page. They are left out only where links are compared; the stored link keeps them."""

_TIMES = re.compile(
    r"(?:t|ts|r|v|s|time|tm|date|now|x|sid|ver|version)=(?:1\d{9}|1\d{12}|0\.\d{4,}|[0-9a-fA-F]{32})", re.IGNORECASE)
"""Parameters that may well name a page, but not with the time, a fraction or a session as value."""
_PLACE = re.compile(r"(?!xtor|utm|ref|wechat|from)[!/].*|(?!xtor|utm|ref|wechat|from).*\d", re.IGNORECASE | re.DOTALL)
"""Fragments that name more than a place on the page: a route of its script, or a numbered post."""
_SESSION_PATH = re.compile(r";jsessionid=[^/?#]*", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SAFE = "/:@!$'()*,;~+="


def canonical(link: str, *, loose: bool = True) -> str:
    """One spelling for all links to a page; what is no http(s) link comes back as it was, stripped.

    http and https, a slash at the end, the default port, the host's case, escapes and the order of parameters make no
    difference; with `loose`, neither do tracking parameters and fragments.
    """
    link = link.strip()
    try:
        parts = urlsplit(link)
        port = parts.port
    except ValueError:
        return link
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return link
    place = parts.hostname.rstrip(".") + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")
    path = _spelled(_SESSION_PATH.sub("", parts.path)).rstrip("/")
    query = sorted(_spelled(part) for part in parts.query.split("&") if part and not (loose and _is_tracking(part)))
    fragment = "" if loose and not _PLACE.fullmatch(parts.fragment) else parts.fragment
    return f"//{place}{path}{'?' if query else ''}{'&'.join(query)}{'#' if fragment else ''}{_spelled(fragment)}"


def _spelled(part: str) -> str:
    """With the same escapes whatever was escaped before."""
    return quote(unquote_to_bytes(part), safe=_SAFE)


def _is_tracking(parameter: str) -> bool:
    name = unquote(parameter.partition("=")[0]).removeprefix("amp;")
    return TRACKING.fullmatch(name) is not None or _TIMES.fullmatch(parameter) is not None
