"""Process settings: the only reader of the environment. Judgements are rule files, not settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from pipeline.errors import SettingsError

PROXY, PROXY_AUTH = "WENXUN_FEED_PROXY", "WENXUN_FEED_PROXY_AUTH_FILE"


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable, for docs and errors."""

    name: str
    default: str
    help: str


TABLE: tuple[Setting, ...] = (
    Setting("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092", "Kafka brokers, host:port, comma-separated"),
    Setting("WENXUN_DATA_DIR", "wenxun-data", "where this installation keeps its files"),
    Setting("WENXUN_DATABASE_URL", "",
            "SQLAlchemy URL, postgresql://user@host/database; default: wenxun.db (SQLite) in the data folder"),
    Setting("WENXUN_DATABASE_PASSWORD_FILE", "", "file with the password of that PostgreSQL user"),
    Setting("WENXUN_RULES_DIR", "rules", "the rule directory, read by the role `rules` (and its secrets by `deliver`)"),
    Setting("WENXUN_SHADOW_RULES_DIR", "",
            "a second rule directory that runs in shadow beside the first: recorded and shown, never sent"),
    Setting("WENXUN_TIMEZONE", "Asia/Shanghai", "zone of dates without one, of shifts and of what people read"),
    Setting("WENXUN_PARTITIONS", "4", "partitions of every topic; chosen once per installation"),
    Setting("WENXUN_REPLICATION", "1", "replication factor of topics that this installation creates"),
    Setting("WENXUN_CREATE_TOPICS", "true", "create missing topics at start; false: only verify them"),
    Setting("WENXUN_DESK_BIND", "127.0.0.1:8000", "address of the web desk and the API"),
    Setting("WENXUN_DESK_HOSTS", "",
            "names besides its own address and WENXUN_EXTERNAL_URL's that the desk answers to, comma-separated"),
    Setting("WENXUN_METRICS_BIND", "127.0.0.1:8001", "address of /metrics, /livez and /readyz"),
    Setting("WENXUN_EXTERNAL_URL", "",
            "how on-call reaches the desk; messages carry links only when it is set and no loopback address"),
    Setting("WENXUN_LINK_KEY_FILE", "",
            "key that signs links in messages, one for deliver and desk; default: link.key in the data folder, made "
            "by whoever needs it first"),
    Setting("WENXUN_LINK_LOOPBACK", "false",
            "demo and tests: true lets messages carry links to a loopback address, which only this machine can open"),
    Setting("WENXUN_CONTACT", "", "contact in the User-Agent of feed requests: an e-mail address or a URL"),
    Setting("WENXUN_FEED_ALLOW_PRIVATE_CIDRS", "",
            "private networks or host:port that outbound calls may reach, comma-separated"),
    Setting(PROXY, "",
            "http://host:port of an HTTP proxy, for feed requests only; it resolves names, so it must refuse private "
            "addresses itself: a name that resolves only there cannot be checked here"),
    Setting(PROXY_AUTH, "", "file with user:password for that proxy"),
    Setting("WENXUN_ADMIN_PASSWORD_FILE", "", "file with the first admin's password; else one is made and shown once"),
    Setting("WENXUN_RETENTION_DAYS", "180", "days that texts are kept; figures stay"),
    Setting("WENXUN_TICK_SECONDS", "5", "real seconds between ticks"),
    Setting("WENXUN_GRACE_SECONDS", "30", "seconds a process has to end after SIGTERM"),
    Setting("WENXUN_CLOCK", "",
            "demo and tests: START_MS/REAL_START_MS/FACTOR[/END_MS][@GATE_FILE], one clock for every role"),
    Setting("WENXUN_EMBEDDED", "", "set by `wenxun up` for its child: the broker is the embedded one"),
    Setting("WENXUN_BANNER", "", "words shown on top of every desk page (the demo says 演示)"),
    Setting("POD_NAME", "", "stable member id in consumer groups, of a StatefulSet"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    bootstrap: str = "127.0.0.1:9092"
    data_dir: Path = Path("wenxun-data")
    database_url: str = ""
    database_password_file: Path | None = None
    rules_dir: Path = Path("rules")
    shadow_rules_dir: Path | None = None
    timezone: str = "Asia/Shanghai"
    partitions: int = 4
    replication: int = 1
    create_topics: bool = True
    desk_bind: tuple[str, int] = ("127.0.0.1", 8000)
    desk_hosts: tuple[str, ...] = ()
    metrics_bind: tuple[str, int] = ("127.0.0.1", 8001)
    external_url: str = ""
    link_key_file: Path | None = None
    link_loopback: bool = False
    contact: str = ""
    allow_private: tuple[str, ...] = ()
    feed_proxy: tuple[str, int] | None = None
    feed_proxy_auth_file: Path | None = None
    admin_password_file: Path | None = None
    retention_days: int = 180
    tick_seconds: float = 5.0
    grace_seconds: float = 30.0
    clock: str = ""
    embedded: bool = False
    banner: str = ""
    pod_name: str = ""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def store_url(self) -> str:
        if not self.database_url:
            return f"sqlite:///{self.data_dir.absolute() / 'wenxun.db'}"
        if self.database_password_file is None:
            return self.database_url
        joint = "&" if "?" in self.database_url else "?"
        return f"{self.database_url}{joint}password_file={quote(str(self.database_password_file))}"

    @property
    def link_url(self) -> str:
        """What links in messages begin with; empty when nobody else could open them."""
        return self.external_url if self.link_loopback or not _is_loopback(self.external_url) else ""

    @property
    def link_key_path(self) -> Path:
        return self.link_key_file or self.data_dir / "link.key"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Settings from a mapping such as os.environ; SettingsError names the variable."""
        get = {each.name: environ.get(each.name, "").strip() or each.default for each in TABLE}
        return cls(
            bootstrap=get["KAFKA_BOOTSTRAP_SERVERS"],
            data_dir=Path(get["WENXUN_DATA_DIR"]),
            database_url=_database(get["WENXUN_DATABASE_URL"]),
            database_password_file=Path(name) if (name := get["WENXUN_DATABASE_PASSWORD_FILE"]) else None,
            rules_dir=Path(get["WENXUN_RULES_DIR"]),
            shadow_rules_dir=_shadow(get),
            timezone=_zone(get["WENXUN_TIMEZONE"]),
            partitions=_int(get, "WENXUN_PARTITIONS", 1, 1024),
            replication=_int(get, "WENXUN_REPLICATION", 1, 9),
            create_topics=_bool(get, "WENXUN_CREATE_TOPICS"),
            desk_bind=_address(get, "WENXUN_DESK_BIND"),
            desk_hosts=_list(get["WENXUN_DESK_HOSTS"].lower()),
            metrics_bind=_address(get, "WENXUN_METRICS_BIND"),
            external_url=get["WENXUN_EXTERNAL_URL"].rstrip("/"),
            link_key_file=Path(name) if (name := get["WENXUN_LINK_KEY_FILE"]) else None,
            link_loopback=_bool(get, "WENXUN_LINK_LOOPBACK"),
            contact=get["WENXUN_CONTACT"],
            allow_private=_list(get["WENXUN_FEED_ALLOW_PRIVATE_CIDRS"]),
            feed_proxy=_proxy(get[PROXY]),
            feed_proxy_auth_file=Path(name) if (name := get[PROXY_AUTH]) else None,
            admin_password_file=Path(name) if (name := get["WENXUN_ADMIN_PASSWORD_FILE"]) else None,
            retention_days=_int(get, "WENXUN_RETENTION_DAYS", 1, 36500),
            tick_seconds=_float(get, "WENXUN_TICK_SECONDS", 0.05, 60),
            grace_seconds=_float(get, "WENXUN_GRACE_SECONDS", 1, 600),
            clock=get["WENXUN_CLOCK"],
            embedded=bool(get["WENXUN_EMBEDDED"]),
            banner=get["WENXUN_BANNER"],
            pod_name=get["POD_NAME"],
            environ=dict(environ),
        )


def _shadow(get: Mapping[str, str]) -> Path | None:
    """The directory that runs in shadow; the live one beside itself would only see everything twice."""
    name = get["WENXUN_SHADOW_RULES_DIR"]
    if name and Path(name).resolve() == Path(get["WENXUN_RULES_DIR"]).resolve():
        raise SettingsError(f"WENXUN_SHADOW_RULES_DIR={name!r}: is the live rule directory; expected a copy of it with "
                            "the changes to try")
    return Path(name) if name else None


def _int(get: Mapping[str, str], name: str, low: int, high: int) -> int:
    number = _float(get, name, low, high)
    if number != int(number):
        raise SettingsError(f"{name}={get[name]!r}: expected a whole number")
    return int(number)


def _float(get: Mapping[str, str], name: str, low: float, high: float) -> float:
    try:
        number = float(get[name])
    except ValueError:
        raise SettingsError(f"{name}={get[name]!r}: expected a number from {low:g} to {high:g}") from None
    if not low <= number <= high:
        raise SettingsError(f"{name}={get[name]!r}: expected a number from {low:g} to {high:g}")
    return number


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _bool(get: Mapping[str, str], name: str) -> bool:
    value = get[name].lower()
    if value not in ("true", "false"):
        raise SettingsError(f"{name}={get[name]!r}: expected true or false")
    return value == "true"


def _address(get: Mapping[str, str], name: str) -> tuple[str, int]:
    host, colon, port = get[name].rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"{name}={get[name]!r}: expected host:port, for example 127.0.0.1:8000")
    return host, int(port)


def _is_loopback(url: str) -> bool:
    """Whether a URL leads to whoever opens it, and not to the desk."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
        return host == "localhost" or host.endswith(".localhost") or _own(ip_address(host))
    except ValueError:                                # a name, or no URL at all
        return False


def _own(address: IPv4Address | IPv6Address) -> bool:
    return address.is_loopback or address.is_unspecified


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        raise SettingsError(f"WENXUN_TIMEZONE={name!r}: no such zone, for example Asia/Shanghai") from None


def _database(url: str) -> str:
    """The URL is in no error: it may hold a password."""
    try:
        held = urlsplit(url).password is not None
    except ValueError:
        held = False                                    # the store says what is wrong with it
    if held:
        raise SettingsError("WENXUN_DATABASE_URL must not hold a password: name a file with it in "
                            "WENXUN_DATABASE_PASSWORD_FILE")
    return url


def _proxy(url: str) -> tuple[str, int] | None:
    """Host and port of a proxy URL. The URL itself is in no error: it may hold a password."""
    if not url:
        return None
    expected = f"{PROXY}: expected http://host:port, for example http://proxy.county.example:3128"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        raise SettingsError(expected) from None
    if parts.username is not None or parts.password is not None:
        raise SettingsError(f"{PROXY} must not hold user or password: name a file with them in {PROXY_AUTH}")
    if parts.scheme != "http" or not host or not port or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise SettingsError(expected)
    return host, port
