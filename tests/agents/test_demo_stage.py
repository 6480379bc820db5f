"""Setting the demo up: its settings, its accounts, and the clerk who answers the alert."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from agents.cli import parser
from agents.clock import Clock
from agents.demo.cast import ANSWER_AFTER, READ_AFTER, Clerk, make_accounts
from agents.demo.props import Props, prepare
from agents.demo.sites import base_url
from agents.demo.stage import Options, StageError
from agents.demo.stage import run as play
from agents.demo.web import listen, port_of, serving
from agents.settings import Settings
from pipeline.model import AlertState, AlertStatus, Delivery, EventClocks
from pipeline.rulebook.schema import MINUTE
from tests.agents.test_demo_story import AT, DAY, Told, acked, whole_day

OWN = {"WENXUN_DATABASE_URL": "postgresql://mine", "KAFKA_BOOTSTRAP_SERVERS": "mine:9092", "POD_NAME": "mine",
       "LANG": "C"}


@pytest.fixture
def props(tmp_path: Path) -> Any:
    made = prepare(DAY, tmp_path, "127.0.0.1:1", 1.0, OWN)
    yield made
    for sock in made.sockets:
        sock.close()


@pytest.mark.sqlite
def test_nothing_of_the_visitors_own_installation_gets_into_the_demo(props: Props) -> None:
    settings = props.settings
    assert settings.store_url == f"sqlite:///{props.folder / 'wenxun.db'}"
    assert (settings.bootstrap, settings.pod_name, settings.banner) == ("127.0.0.1:1", "", "演示")
    assert settings.environ["LANG"] == "C"


def test_only_the_demos_own_loopback_ports_may_be_reached(props: Props) -> None:
    ports = {*props.ports.values(), port_of(props.phone_socket)}
    assert set(props.settings.allow_private) == {f"127.0.0.1:{port}" for port in ports}


def test_every_role_gets_the_same_clock_held_until_the_gate_opens(props: Props) -> None:
    assert Clock.parse(props.settings.clock) == props.clock
    assert props.clock.now() == DAY.opens
    assert props.factor == (DAY.closes - DAY.opens) / 120_000


def test_polls_stay_half_a_real_second_apart_at_any_speed(tmp_path: Path) -> None:
    for speed in (1.0, 4.0):
        (tmp_path / str(speed)).mkdir()
        made = prepare(DAY, tmp_path / str(speed), "127.0.0.1:1", speed, {})
        for sock in made.sockets:
            sock.close()
        assert {round(source.interval / made.factor / 1000, 1) for source in made.book.sources} <= {0.5, 0.6}


def test_a_folder_of_an_earlier_demo_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    with pytest.raises(StageError, match="--data"):
        play(Options(data=tmp_path))


@pytest.mark.parametrize("speed", ["0", "5", "fast", "nan"])
def test_a_speed_that_cannot_be_played_is_refused(speed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["demo", "--speed", speed])
    assert "0.1 to 4" in capsys.readouterr().err


# ---------------------------------------------------------------- the clerk


@dataclass
class FakeDesk:
    status: int = 202
    asked: list[tuple[str, str, dict[str, Any]]] | None = None

    def app(self) -> Starlette:
        self.asked = []

        async def answer(request: Request) -> JSONResponse:
            assert self.asked is not None
            body = json.loads(await request.body())
            self.asked.append((request.url.path, request.headers["authorization"], body))
            return JSONResponse({}, self.status)

        return Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])


def alerted(upto: type) -> Told:
    """The day up to the answer, with the alert as the stream has it."""
    told = Told()
    for record in whole_day():
        if isinstance(record, upto):
            break
        told.tell(record)
    waiting = replace_status(acked(3, AT), AlertStatus.EXHAUSTED)
    return told.tell(waiting)


def replace_status(state: AlertState, status: AlertStatus) -> AlertState:
    return AlertState(event_id=state.event_id, alert_id=state.alert_id, event_version=state.event_version,
                      revision=1, level=state.level, status=status, raised_at=state.raised_at)


def clerk_at(told: Told, minutes_after_next: int, port: int) -> Clerk:
    told_at = told.story.marks["top-next"].at
    clock = Clock(told_at + minutes_after_next * MINUTE, 0, 1.0, gate="/nonexistent/gate")
    settings = replace(Settings(), desk_bind=("127.0.0.1", port), external_url=base_url(port))
    return Clerk(settings, clock, told.story, told.facts, "wxt_token")


async def test_the_clerk_answers_the_alert_with_her_token_some_time_after_the_second_call() -> None:
    told, desk = alerted(AlertState), FakeDesk()
    with listen() as sock:
        async with serving(desk.app(), [sock]):
            late = ANSWER_AFTER // MINUTE + 1
            assert await clerk_at(told, late - 2, port_of(sock)).act() == ""
            clerk = clerk_at(told, late, port_of(sock))
            assert "确认" in await clerk.act()
            assert await clerk.act() == "", "not again before it can have had its effect"
    assert desk.asked is not None
    assert [(path, token, body["alert_id"]) for path, token, body in desk.asked] == [
        ("/api/v1/events/e1/ack", "Bearer wxt_token", "a3")]


async def test_the_clerk_leaves_an_alert_alone_that_somebody_answered() -> None:
    told = alerted(AlertState).tell(acked(3, AT + 300 * MINUTE))
    assert await clerk_at(told, 60, 1).act() == ""


async def test_the_clerk_confirms_the_correction_as_the_answer_unless_somebody_did() -> None:
    told, desk = Told(), FakeDesk()
    for record in whole_day():
        if isinstance(record, EventClocks) and record.statements:
            break
        told.tell(record)
    read = (told.story.marks["correction"].at - told.story.marks["top-next"].at + READ_AFTER) // MINUTE
    with listen() as sock:
        async with serving(desk.app(), [sock]):
            assert await clerk_at(told, read - 1, port_of(sock)).act() == ""
            clerk = clerk_at(told, read + 1, port_of(sock))
            assert "登记为官方回应" in await clerk.act()
            assert await clerk.act() == "", "not again before it can have had its effect"
            told.tell(record)
            assert await clerk_at(told, read + 1, port_of(sock)).act() == ""
    assert [(path, body) for path, _, body in desk.asked or ()] == [("/api/v1/events/e1/statements", {"item": "i9"})]


async def test_a_desk_that_refuses_or_is_away_is_told_about() -> None:
    told = alerted(AlertState)
    with listen() as sock:
        async with serving(FakeDesk(status=409).app(), [sock]):
            gone = port_of(sock)
            assert "HTTP 409" in await clerk_at(told, 60, gone).act()
    assert "没有连上工作台" in await clerk_at(told, 60, gone).act()


@pytest.mark.sqlite
def test_accounts_are_made_with_a_password_in_a_private_file(tmp_path: Path) -> None:
    settings = replace(Settings(), data_dir=tmp_path)
    account = make_accounts(settings, 1_000)
    kept = tmp_path / "admin-password"
    assert account.name == "duty"
    assert account.token.startswith("wxt_")
    assert kept.stat().st_mode & 0o777 == 0o600
    stored = (tmp_path / "wenxun.db").read_bytes()
    for secret in (account.password, account.token, kept.read_text("utf-8").strip()):
        assert secret.encode() not in stored


def test_a_delivery_alone_does_not_make_the_clerk_act() -> None:
    assert "top-next" not in alerted(Delivery).story.marks
