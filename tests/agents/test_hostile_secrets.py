"""Secrets (S18): a canary in a source's URL is in no log line, metric, error, notice or record but the source's own."""

from __future__ import annotations

import logging

import msgspec
import pytest
from prometheus_client import generate_latest

from agents.feeds.worker import Job, handle
from pipeline import codec, topics
from pipeline.collect.redact import shown
from pipeline.rulebook.schema import MINUTE, Source
from tests.agents.test_collector import collecting, source
from tests.builders import NOON
from tests.feed_servers import Answer, drip, reply, site
from tests.feed_texts import county_news

CANARY = "canary-4711"

TROUBLE: dict[str, Answer] = {
    "fine": reply(200, county_news().encode()), "missing": reply(404), "refused": reply(403), "broken": reply(500),
    "page": reply(200, b"<html><title>x</title>"), "empty": reply(200), "not-http": b"SSH-2.0\r\n", "silent": b"",
    "slow": drip(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.1),
    "big": reply(200, b"", "Content-Length: 99999999", length=False),
    "coding": reply(200, b"x", "Content-Encoding: br"),
    "private": reply(302, b"", f"Location: http://10.0.0.1/?key={CANARY}"),
    "userinfo": reply(302, b"", f"Location: http://u:{CANARY}@news.example/"),
    "odd": reply(302, b"", f"Location: http://[::1/?key={CANARY}"),
    "scheme": reply(302, b"", f"Location: file:///{CANARY}"),
    "loop": reply(302, b"", f"Location: ?key={CANARY}"),
}


@pytest.mark.parametrize("kind", TROUBLE)
async def test_a_key_in_a_feeds_address_is_not_told(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("httpx", "httpcore", "asyncio"):       # whatever earlier clients have set
        logging.getLogger(name).setLevel(logging.NOTSET)
    caplog.set_level(logging.INFO)
    async with site(**{kind: TROUBLE[kind]}) as here:
        # the site's answers go by the whole target, key included
        here.answers[f"/{kind}?key={CANARY}"] = here.answers[f"/{kind}"]
        here.answers.setdefault(f"/loop?key={CANARY}", [TROUBLE["loop"]])
        about = source(here, f"/{kind}?key={CANARY}", name="one")
        async with collecting(about, allow=here.allow, timeout=0.6) as rig:
            await rig.until(rig.bus.states)
            metrics = generate_latest(rig.deps.metrics.registry).decode()
    (state,) = rig.bus.states()[:1]
    assert (state.outcome == "ok") is (kind == "fine")
    assert CANARY not in caplog.text + metrics + state.error
    for topic, _, record in rig.bus.sent:
        if topic != topics.COLLECTOR_STATE:             # the state names its source's URL: that is its identity
            assert CANARY not in codec.encode(record).decode()


@pytest.mark.parametrize("who", [f"u:{CANARY}", CANARY])
async def test_an_address_with_user_info_is_refused_without_its_password(
    who: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with site() as here:
        about = Source(id="one", name="一", url=here.url("/rss", f"{who}@127.0.0.1"))
        async with collecting(about, allow=here.allow) as rig:
            await rig.until(rig.bus.states)
    assert rig.bus.states()[0].outcome == "blocked"
    assert CANARY not in rig.bus.states()[0].error + caplog.text


async def test_a_notice_about_a_source_names_its_address_without_the_key() -> None:
    async with site() as here:
        gone = here.url(f"/rss?fid=2&key={CANARY}")
    about = msgspec.structs.replace(Source(id="one", name="一", url=gone), interval=MINUTE, max_interval=MINUTE)
    async with collecting(about, allow=here.allow, factor=300.0) as rig:
        await rig.until(lambda: rig.notices)
    told = str(rig.notices)
    assert CANARY not in told and f"http://127.0.0.1:{here.port}/rss?fid=2&key=…" in told


def test_a_parser_that_fails_does_not_say_on_what(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
                                                  ) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError(f"bad value in http://news.example/?key={CANARY}")

    monkeypatch.setattr("agents.feeds.worker.parse_feed", fail)
    done = handle(Job(b"x", "", "auto", "one", f"http://news.example/?key={CANARY}", "UTC", NOON, False))
    assert done.error and CANARY not in done.error + "".join(capfd.readouterr())


@pytest.mark.parametrize(("url", "told"), [
    ("http://a.example/forum.php?mod=rss&fid=2", "http://a.example/forum.php?mod=rss&fid=2"),
    ("https://u:p@a.example:8/x?Access_Token=1&a=2#f", "https://a.example:8/x?Access_Token=…&a=2"),
    ("http://a.example/?a=1;api_key=2&code=", "http://a.example/?a=1;api_key=…&code=…"),
    ("http://[::1", "…"), ("", ""),
])
def test_addresses_are_shown_without_their_keys(url: str, told: str) -> None:
    assert shown(url) == told
