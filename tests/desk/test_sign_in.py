"""Who gets in, and what every answer carries."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from agents.clock import Clock
from agents.desk import guard, sessions, web
from agents.desk.accounts import Role
from agents.settings import Settings
from tests.desk import seed
from tests.desk.conftest import PASSWORD, Stand, csrf_of, make_stand


async def sign_in(
        client: httpx.AsyncClient, name: str = "李敏", password: str = PASSWORD, **form: str) -> httpx.Response:
    page = await client.get("/login")
    fields = {"name": name, "password": password, "csrf": csrf_of(page.text), **form}
    return await client.post("/login", data=fields)


async def test_a_person_signs_in_reads_and_signs_out(stand: Stand) -> None:
    stand.account("李敏")
    async with stand.client() as client:
        assert (await client.get("/")).headers["location"] == "/login"
        answer = await sign_in(client)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        page = await client.get("/")
        assert page.status_code == 200 and "李敏" in page.text
        token = client.cookies[web.COOKIE]
        await client.post("/logout", data={"csrf": csrf_of(page.text)})
        client.cookies.set(web.COOKIE, token)
        assert (await client.get("/")).status_code == 303, "the session itself has ended, not only its cookie"
    assert [line[:2] for line in stand.audit()] == [("李敏", "login"), ("李敏", "duty.read"), ("李敏", "logout")]


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(stand: Stand) -> None:
    stand.account("李敏")
    async with stand.client() as client:
        cookie = (await sign_in(client)).headers.get_list("set-cookie")[0]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie


async def test_the_cookie_is_secure_behind_https(tmp_path: Path) -> None:
    stand = make_stand(tmp_path, book=seed.book(), external_url="https://desk.example")
    stand.account("李敏")
    async with stand.client(base_url="https://desk.example") as client:
        assert "Secure" in (await sign_in(client)).headers.get_list("set-cookie")[0]
    stand.engine.dispose()


async def test_a_wrong_password_is_audited_and_does_not_say_which_part_was_wrong(stand: Stand) -> None:
    stand.account("李敏")
    async with stand.client() as client:
        wrong, unknown = await sign_in(client, password="nope nope nope"), await sign_in(client, name="没有")
    assert wrong.status_code == unknown.status_code == 401
    assert "账号或口令不对" in wrong.text and "账号或口令不对" in unknown.text
    assert stand.audit() == [("李敏", "login.failed", "李敏"), ("没有", "login.failed", "没有")]


async def test_the_sixth_guess_is_not_even_looked_at(stand: Stand) -> None:
    stand.account("李敏")
    stand.desk.real = Clock(seed.NOW, 0, 0.0)
    async with stand.client() as client:
        for _ in range(5):
            await sign_in(client, password="guess guess guess")
        assert (await sign_in(client)).status_code == 429, "not even the right password"
        stand.desk.real = Clock(seed.NOW + 61_000, 0, 0.0)
        assert (await sign_in(client)).status_code == 303
    assert ("李敏", "login.locked", "李敏") in stand.audit()


async def test_no_other_site_can_sign_somebody_in(stand: Stand) -> None:
    stand.account("李敏")
    form = {"name": "李敏", "password": PASSWORD}
    async with stand.client() as client:
        assert (await client.post("/login", data=form)).status_code == 403
        page = await client.get("/login")
        fields = {**form, "csrf": csrf_of(page.text)}
        answer = await client.post("/login", data=fields, headers={"origin": "https://evil.example"})
        assert answer.status_code == 403 and web.COOKIE not in client.cookies


@pytest.mark.parametrize("goal", [
    "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
    "/a\r\nb: c"])
def test_sign_in_never_leads_to_another_site(goal: str) -> None:
    assert web.safe_next(goal) == "/"


async def test_sign_in_leads_on_to_the_page_that_was_asked_for(stand: Stand) -> None:
    stand.account("李敏")
    async with stand.client() as client:
        asked = await client.get("/events?status=open")
        assert asked.headers["location"] == "/login?next=/events%3Fstatus%3Dopen"
        assert (await sign_in(client, next="/events?status=open")).headers["location"] == "/events?status=open"


async def test_a_session_ends_after_twelve_hours_without_a_visit(stand: Stand) -> None:
    client = await stand.signed_in()
    async with client:
        assert (await client.get("/")).status_code == 200
        stand.desk.real = Clock(stand.desk.real.now() + sessions.SESSION_LIFE + 60_000, 0, 0.0)
        assert (await client.get("/")).status_code == 303
        polled = await client.get("/", headers={"x-wenxun-live": "1"})
        assert polled.status_code == 401, "an open page learns it and goes to sign in"


async def test_forms_need_the_sessions_token_and_this_origin(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    state = seed.put_alert(stand.engine, seed.alert(one))
    async with await stand.signed_in() as client:
        csrf = csrf_of((await client.get("/")).text)
        path, form = f"/events/{one.id}/ack", {"alert": state.alert_id}
        bad = [
            await client.post(path, data=form),
            await client.post(path, data={**form, "csrf": "x" * 32}),
            await client.post(path, data={**form, "csrf": csrf}, headers={"origin": "https://evil.example"}),
            await client.post(path, data={**form, "csrf": csrf}, headers={"origin": "null"}),
            await client.post(path, data={**form, "csrf": csrf}, headers={"sec-fetch-site": "cross-site"}),
        ]
        good = await client.post(path, data={**form, "csrf": csrf}, headers={"origin": "http://127.0.0.1:8000"})
    assert [answer.status_code for answer in bad] == [403] * 5
    assert good.status_code == 303


async def test_another_sessions_token_does_not_fit(stand: Stand) -> None:
    async with await stand.signed_in("李敏") as one, await stand.signed_in("王强") as other:
        csrf = csrf_of((await other.get("/")).text)
        assert (await one.post("/logout", data={"csrf": csrf})).status_code == 403


@pytest.mark.parametrize(("host", "allowed"), [
    ("127.0.0.1:8000", True), ("localhost:8000", True), ("[::1]:8000", True), ("desk.example", True),
    ("DESK.example.:443", True), ("evil.example", False), ("evil.example:8000", False), ("10.0.0.5:8000", False),
    ("", False), ("desk.example@evil.example", False), ("127.0.0.1.evil.example", False), ("a b", False)])
def test_only_known_host_names_are_answered(host: str, allowed: bool) -> None:
    assert guard.Hosts(Settings(external_url="https://desk.example")).allows(host) is allowed


def test_a_further_name_is_answered_only_where_it_is_set() -> None:
    hosts = guard.Hosts(Settings.from_env({"WENXUN_DESK_HOSTS": "Desk, desk.wenxun.svc"}))
    assert hosts.allows("desk:8000") and hosts.allows("DESK.wenxun.svc") and not hosts.allows("desk.evil.example")
    assert not guard.Hosts(Settings()).allows("desk:8000")


def test_bound_to_every_address_any_address_is_answered_and_still_no_name() -> None:
    hosts = guard.Hosts(Settings(desk_bind=("0.0.0.0", 8000)))
    assert hosts.allows("192.168.1.7:8000") and hosts.allows("[fd00::7]:8000")
    assert not hosts.allows("evil.example:8000")


async def test_a_rebound_name_gets_nothing_but_probes_are_answered(stand: Stand) -> None:
    async with await stand.signed_in() as client:
        assert (await client.get("/", headers={"host": "evil.example"})).status_code == 421
        assert (await client.get("/livez", headers={"host": "10.1.2.3:8000"})).status_code == 200
        assert (await client.get("/readyz", headers={"host": "10.1.2.3:8000"})).json()["ready"] is True


async def test_every_answer_carries_the_security_headers(stand: Stand) -> None:
    async with await stand.signed_in() as client:
        answers = [await client.get(path) for path in ("/", "/login", "/static/live.js", "/nowhere", "/api/v1/events")]
        answers.append(await client.get("/", headers={"host": "evil.example"}))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert answers[0].headers["cache-control"] == "no-store"


async def test_no_page_has_script_or_style_of_its_own(stand: Stand) -> None:
    seed.morning(stand.engine)
    async with await stand.signed_in(role=Role.ADMIN) as client:
        for path in ("/", "/events", "/events/E-0317", "/sources", "/rules", "/deliveries", "/audit"):
            text = (await client.get(path)).text
            assert "<script>" not in text and " style=" not in text and " onclick=" not in text, path
            assert "http://" not in text.replace("http://www.w3.org", ""), "nothing is loaded from elsewhere"


async def test_a_huge_body_is_refused_with_and_without_a_length(stand: Stand) -> None:
    async def endless() -> object:
        for _ in range(200):
            yield b"b" * 1000

    async with await stand.signed_in() as client:
        declared = await client.post("/logout", content=b"x" * 70_000,
                                     headers={"content-type": "application/x-www-form-urlencoded"})
        undeclared = await client.post("/logout", content=endless(),
                                       headers={"content-type": "application/x-www-form-urlencoded"})
    assert (declared.status_code, undeclared.status_code) == (413, 413)
