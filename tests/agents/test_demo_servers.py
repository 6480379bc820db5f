"""The demo's own HTTP servers: the county's sites and the receiving page."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import time
from typing import Any

import httpx
import pytest

from agents.demo.phone import TOLERANCE_SECONDS, Phone, signed
from agents.demo.scenario import Part, load
from agents.demo.sites import Sites, base_url, feed_path
from agents.demo.web import listen, port_of, reserve, serving
from pipeline.rulebook.schema import MINUTE

KEY = b"k" * 24
DAY = load()


def headers(body: bytes, ident: str = "m1", *, key: bytes = KEY, at: float | None = None) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    mac = hmac.new(key, f"{ident}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {"webhook-id": ident, "webhook-timestamp": stamp,
            "webhook-signature": "v1," + base64.b64encode(mac).decode()}


def message(text: str = "三点截止不实", **data: Any) -> bytes:
    said = {"subject": text, "text": f"{text}\n\n级别：重大", **data}
    return json.dumps({"type": "wenxun.page", "data": said}).encode()


@pytest.fixture
def phone() -> Phone:
    return Phone(KEY, {"duty": "值班员"}, lambda: 1_000, {"重大": "#c92a2a"})


def visitor(phone: Phone) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(phone.app()), base_url="http://phone")


async def test_a_signed_message_arrives_and_is_shown(phone: Phone) -> None:
    body = message(level_name="重大", event={"url": "http://127.0.0.1:8000/events/e"})
    async with visitor(phone) as page:
        assert (await page.post("/inbox/duty", content=body, headers=headers(body))).status_code == 200
        shown = (await page.get("/messages?after=0")).json()["messages"]
        assert [(one["person"], one["subject"], one["level"], one["url"]) for one in shown] == [
            ("duty", "三点截止不实", "重大", "http://127.0.0.1:8000/events/e")]
        body = message(link="http://127.0.0.1:8000/a/t0k3n", event={"url": "http://127.0.0.1:8000/events/e"})
        await page.post("/inbox/duty", content=body, headers=headers(body, "m9"))
        assert [one["url"] for one in (await page.get("/messages?after=1")).json()["messages"]] == [
            "http://127.0.0.1:8000/a/t0k3n"], "the signed link, where there is one"


@pytest.mark.parametrize("change", [
    {"webhook-signature": "v1,AAAA"}, {"webhook-signature": ""}, {"webhook-id": "m2"}, {"webhook-timestamp": "1"},
    {"webhook-timestamp": "²"}])
async def test_a_message_whose_signature_does_not_fit_is_refused_and_counted(
    phone: Phone, change: dict[str, str]
) -> None:
    body = message()
    sent = {name: value.encode() for name, value in {**headers(body), **change}.items()}
    async with visitor(phone) as page:
        assert (await page.post("/inbox/duty", content=body, headers=sent)).status_code == 401
    assert (phone.received, phone.refused) == ([], 1)


def test_a_changed_body_or_an_old_message_is_not_signed() -> None:
    body, now = message(), 1_800_000_000.0
    good = headers(body, at=now)
    assert signed(KEY, good, body, now)
    assert not signed(KEY, good, body + b" ", now)
    assert not signed(b"other", good, body, now)
    assert not signed(KEY, good, body, now + TOLERANCE_SECONDS + 1)


async def test_the_same_message_twice_is_shown_once_and_counted(phone: Phone) -> None:
    body = message()
    async with visitor(phone) as page:
        for _ in range(2):
            assert (await page.post("/inbox/duty", content=body, headers=headers(body))).status_code == 200
    assert (len(phone.received), phone.repeats) == (1, 1)


async def test_nobody_else_has_a_phone_here(phone: Phone) -> None:
    body = message()
    async with visitor(phone) as page:
        assert (await page.post("/inbox/stranger", content=body, headers=headers(body))).status_code == 404


async def test_the_page_names_everybody_and_no_text_can_close_its_script(phone: Phone) -> None:
    async with visitor(phone) as page:
        assert "值班员" in (await page.get("/")).text
    async with visitor(Phone(KEY, {"x": "</script><img>"}, lambda: 0)) as page:
        assert "</script><img>" not in (await page.get("/")).text


async def test_sites_answer_on_their_own_ports_and_with_304_until_something_is_published() -> None:
    now = DAY.opens
    sockets = {site.id: listen() for site in DAY.sites}
    ports = {name: port_of(sock) for name, sock in sockets.items()}
    sites = Sites(DAY, ports, lambda: now)
    first = DAY.first(Part.RUMOUR)
    async with serving(sites, list(sockets.values())), httpx.AsyncClient(trust_env=False) as client:
        url = {site.id: base_url(ports[site.id]) + feed_path(site) for site in DAY.sites}
        for site in DAY.sites:
            answer = await client.get(url[site.id])
            assert answer.status_code == 200
            again = await client.get(url[site.id], headers={"If-None-Match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        before = await client.get(url[first.site])
        now = first.at + MINUTE
        after = await client.get(url[first.site], headers={"If-None-Match": before.headers["etag"]})
        assert after.status_code == 200
        assert first.title in after.content.decode("gbk")
        assert first.title not in before.content.decode("gbk")


async def test_a_post_has_a_page_from_the_moment_it_is_published() -> None:
    post = DAY.first(Part.CORRECTION)
    now = post.at - 1
    sock = listen()
    ports = {site.id: port_of(sock) if site.id == post.site else index for index, site in enumerate(DAY.sites)}
    async with serving(Sites(DAY, ports, lambda: now), [sock]), httpx.AsyncClient(trust_env=False) as client:
        url = f"{base_url(ports[post.site])}/t/{post.guid}"
        assert (await client.get(url)).status_code == 404
        now = post.at
        assert post.title in (await client.get(url)).text
        assert post.title in (await client.get(f"{base_url(ports[post.site])}/")).text
        assert (await client.post(url)).status_code == 405


def test_a_taken_port_gives_way_to_a_free_one() -> None:
    with listen() as taken, reserve(port_of(taken)) as other:
        assert port_of(other) not in (0, port_of(taken))


def test_a_reserved_port_is_for_the_server_it_is_held_for_and_for_no_other_demo() -> None:
    with reserve(0) as held:
        with reserve(port_of(held)) as other:
            assert port_of(other) != port_of(held)
        with listen(port_of(held)) as server, socket.create_connection(server.getsockname()):
            pass
