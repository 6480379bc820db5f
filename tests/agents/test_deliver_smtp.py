from __future__ import annotations

import email
from collections.abc import Sequence
from dataclasses import replace
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import pytest

from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import Secrets
from agents.deliverer.smtp import Mail, compose
from agents.settings import Settings
from pipeline.model import Escalation, EscalationKind, EventStatus
from pipeline.notify.render import Setting, render
from pipeline.rulebook.schema import Channel, ChannelType, Person
from tests.builders import book
from tests.delivery_fakes import RESET, MailServer, server_tls, trusting
from tests.messages import decision, head, page, system

SENDER = "alerts@office.example"


async def loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def letter(escalation: Escalation | None = None, mail: str = "duty@office.example", ident: str = "d1") -> Letter:
    record = escalation or page()
    setting = Setting(book(), Settings().zone)
    return Letter(ident, Person(id="duty-a", name="甲", channels=("mail",), mail=mail), record, render(record, setting))


def channel(port: int = 25, **changes: Any) -> Channel:
    values: dict[str, Any] = {"id": "mail", "type": ChannelType.SMTP, "host": "mail.example", "port": port,
                              "tls": "none", "sender": SENDER, **changes}
    return Channel(**values)


async def send(server: MailServer, path: Path, to: Letter | None = None, **changes: Any) -> Outcome:
    sender = Mail((f"mail.example:{server.port}",), Secrets(path), context=trusting, resolver=loopback)
    return await sender(channel(server.port, **changes), to or letter())


def parsed(raw: bytes) -> EmailMessage:
    mail = email.message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


async def test_a_mail_arrives_with_text_html_and_a_stable_id(tmp_path: Path) -> None:
    async with MailServer() as server:
        assert await send(server, tmp_path) == Sent()
        assert await send(server, tmp_path) == Sent()
    first, again = map(parsed, server.mails)
    assert first["Subject"] == "E-0317 投票站三点关门的说法"
    assert first["From"].addresses[0].display_name == "Wenxun 闻讯【较大】"
    assert first["Message-ID"] == again["Message-ID"] == "<d1@office.example>"
    assert first["References"] == first["In-Reply-To"] == "<event.e1@office.example>"
    assert (first["To"], first["From"].addresses[0].addr_spec) == ("duty@office.example", SENDER)
    plain, html = (first.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None and "投票站几点关门" in plain.get_content()
    assert html is not None and "<p>" in html.get_content()


def test_mails_of_one_event_are_one_thread_whatever_its_level_and_what_they_are_about() -> None:
    higher = decision(level=3, previous=2)
    told = [page("p1"), page("p2", level=3, level_name="重大", head=head(level=3, level_name="重大", decision=higher)),
            page("p3", kind=EscalationKind.CLOCK, clock="answer", percent=50),
            page("p4", kind=EscalationKind.INFORM, level=0, level_name="", why="closed",
                 head=head(level=0, status=EventStatus.CLOSED))]
    mails = [compose(channel(), letter(each, ident=each.id)) for each in told]
    assert {mail["Subject"] for mail in mails} == {"E-0317 投票站三点关门的说法"}
    assert {mail["References"] for mail in mails} == {"<event.e1@office.example>"}
    assert len({mail["Message-ID"] for mail in mails}) == 4
    names = [parseaddr(mail["From"])[0] for mail in mails]
    assert "较大" in names[0] and "重大" in names[1]
    assert {mail["Auto-Submitted"] for mail in mails} == {"auto-generated"}


def test_a_drill_says_so_in_the_subject_and_another_event_is_another_thread() -> None:
    drill = compose(channel(), letter(page(event_id="e2", head=head("e2", subject="!d1"))))
    assert drill["Subject"].startswith("【演练】D-0317") and drill["References"] == "<event.e2@office.example>"


def test_a_bundle_is_of_many_events_and_so_of_no_thread() -> None:
    mail = compose(channel(), replace(letter(), bundle=True))
    assert mail["References"] is None and mail["Subject"].startswith("【较大】")


async def test_a_notice_without_an_event_starts_no_thread(tmp_path: Path) -> None:
    async with MailServer() as server:
        assert await send(server, tmp_path, letter(system())) == Sent()
    assert parsed(server.mails[0])["References"] is None


def test_a_title_of_a_feed_cannot_add_a_header() -> None:
    bad = page(head=head(title="真的\r\nBcc: victim@example.org\r\n\r\nhello"))
    mail = compose(channel(), letter(bad))
    assert mail["Bcc"] is None and mail["To"] == "duty@office.example"
    assert "\n" not in str(mail["Subject"])


@pytest.mark.parametrize(("where", "reply", "kind"), [
    ("GREETING", "421 busy", Retry), ("GREETING", "554 go away", Refused), ("MAIL", "451 later", Retry),
    ("MAIL", "553 not you", Refused), ("RCPT", "450 greylisted", Retry), ("RCPT", "550 no such user", Refused),
    ("DATA", "451 later", Retry), ("DATA", "554 no", Refused), ("MAIL-DATA", "452 full", Retry),
    ("MAIL-DATA", "552 too big", Refused), ("GREETING", RESET, Retry), ("MAIL-DATA", RESET, Retry)])
async def test_4xx_and_broken_connections_are_tried_again_and_5xx_is_not(
    tmp_path: Path, where: str, reply: str, kind: type
) -> None:
    async with MailServer(replies={where: [reply]}) as server:
        outcome = await send(server, tmp_path)
    assert isinstance(outcome, kind), outcome


async def test_a_greylisted_mail_arrives_at_the_second_try(tmp_path: Path) -> None:
    async with MailServer(replies={"RCPT": ["450 greylisted", "250 ok"]}) as server:
        assert isinstance(await send(server, tmp_path), Retry)
        assert await send(server, tmp_path) == Sent()
    assert len(server.mails) == 1


async def test_a_server_that_fails_to_say_goodbye_has_taken_the_mail(tmp_path: Path) -> None:
    async with MailServer(replies={"QUIT": [RESET]}) as server:
        assert await send(server, tmp_path) == Sent()


async def test_starttls_is_verified_against_the_name_and_carries_the_login(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("canary-password\n")
    login = {"tls": "starttls", "username": "me", "password_file": "password"}
    async with MailServer(tls=server_tls(), login=("me", "canary-password")) as server:
        assert await send(server, tmp_path, **login) == Sent()
    assert server.commands.index("STARTTLS") < server.commands.index("AUTH") < server.commands.index("DATA")


async def test_implicit_tls_is_verified_against_the_name(tmp_path: Path) -> None:
    async with MailServer(implicit=server_tls()) as server:
        assert await send(server, tmp_path, tls="tls") == Sent()
        sender = Mail((f"other.example:{server.port}",), Secrets(tmp_path), context=trusting, resolver=loopback)
        outcome = await sender(channel(server.port, tls="tls", host="other.example"), letter())
    assert isinstance(outcome, Retry) and len(server.mails) == 1


async def test_a_server_without_starttls_never_sees_the_password(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("canary-password")
    async with MailServer(login=("me", "canary-password")) as server:
        outcome = await send(server, tmp_path, tls="starttls", username="me", password_file="password")
    assert isinstance(outcome, Refused) and "starttls" in outcome.error
    assert "AUTH" not in server.commands and "MAIL" not in server.commands


async def test_a_wrong_password_is_refused_without_being_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("canary-wrong")
    async with MailServer(tls=server_tls(), login=("me", "right")) as server:
        outcome = await send(server, tmp_path, tls="starttls", username="me", password_file="password")
    assert isinstance(outcome, Refused) and "password_file" in outcome.error and "canary" not in outcome.error


async def test_a_missing_password_file_is_named_and_nothing_is_sent(tmp_path: Path) -> None:
    async with MailServer() as server:
        outcome = await send(server, tmp_path, username="me", password_file="gone")
    assert isinstance(outcome, Retry) and str(tmp_path / "gone") in outcome.error and server.commands == []


async def test_an_inner_address_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    async with MailServer() as server:
        outcome = await Mail((), Secrets(tmp_path), resolver=loopback)(channel(server.port), letter())
    assert isinstance(outcome, Refused) and server.commands == []


async def test_a_person_without_a_mail_address_is_named(tmp_path: Path) -> None:
    outcome = await Mail((), Secrets(tmp_path), resolver=loopback)(channel(), letter(mail=""))
    assert isinstance(outcome, Refused) and "duty-a" in outcome.error and "roster.yml" in outcome.error


async def test_a_sender_that_is_no_address_is_refused(tmp_path: Path) -> None:
    async with MailServer() as server:
        outcome = await send(server, tmp_path, sender="a\nBcc: b@c.example")
    assert isinstance(outcome, Refused) and server.mails == []
