"""Accounts, sessions and tokens in the store, and the commands that look after them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents import cli
from agents.desk import accounts, sessions
from agents.desk.accounts import AccountError, Role
from agents.desk.limits import LoginLimiter
from agents.desk.sessions import Scope
from agents.settings import Settings
from agents.store import schema
from pipeline.errors import SettingsError
from tests.desk.conftest import PASSWORD, Stand
from tests.desk.seed import NOW

MINUTE = 60_000


def test_the_first_admin_gets_a_made_up_password_once(stand: Stand) -> None:
    password = accounts.ensure_admin(stand.engine, stand.settings, NOW)
    assert password is not None
    assert accounts.check_password(stand.engine, "admin", password) == accounts.Account("admin", Role.ADMIN, NOW)
    assert accounts.ensure_admin(stand.engine, stand.settings, NOW) is None


def test_the_first_admins_password_comes_from_its_file(stand: Stand, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n", encoding="utf-8")
    assert accounts.ensure_admin(stand.engine, Settings(admin_password_file=file), NOW) is None
    assert accounts.check_password(stand.engine, "admin", PASSWORD) is not None


@pytest.mark.parametrize("content", ["short\n", ""])
def test_a_bad_admin_password_file_names_its_variable(stand: Stand, tmp_path: Path, content: str) -> None:
    file = tmp_path / "password"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match="WENXUN_ADMIN_PASSWORD_FILE"):
        accounts.ensure_admin(stand.engine, Settings(admin_password_file=file), NOW)
    with pytest.raises(SettingsError, match="WENXUN_ADMIN_PASSWORD_FILE"):
        accounts.ensure_admin(stand.engine, Settings(admin_password_file=tmp_path / "none"), NOW)


def test_no_admin_is_made_beside_one_of_another_name(stand: Stand) -> None:
    stand.account("局长", Role.ADMIN)
    assert accounts.ensure_admin(stand.engine, stand.settings, NOW) is None
    assert [one.name for one in accounts.accounts(stand.engine)] == ["局长"]


def test_passwords_are_stored_as_argon2_alone(stand: Stand) -> None:
    accounts.add(stand.engine, "李敏", Role.DUTY, PASSWORD, now=NOW)
    row, = stand.rows(schema.accounts)
    assert row.password.startswith("$argon2id$")
    assert PASSWORD not in str(row) + str(stand.rows(schema.audit))


def test_an_unknown_account_costs_as_much_work_as_a_wrong_password(
        stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.account("李敏")
    stand.account("离职", Role.DUTY)
    stand.account("局长", Role.ADMIN)
    accounts.disable(stand.engine, "离职", now=NOW)
    checked: list[str] = []
    verify = accounts._verify
    monkeypatch.setattr(accounts, "_verify", lambda known, given: checked.append(known) or verify(known, given))
    for name in ("李敏", "没有这个人", "离职"):
        assert accounts.check_password(stand.engine, name, "wrong password") is None
    assert len(checked) == 3 and all(known.startswith("$argon2id$v=19$m=65536") for known in checked)


@pytest.mark.parametrize("name", ["", "a b", "../x", "<b>", "-x", "x" * 33])
def test_an_unusable_name_is_refused(stand: Stand, name: str) -> None:
    with pytest.raises(AccountError):
        accounts.add(stand.engine, name, Role.DUTY, PASSWORD, now=NOW)


def test_a_short_password_is_refused_and_a_name_is_taken_once(stand: Stand) -> None:
    with pytest.raises(AccountError, match="口令"):
        accounts.add(stand.engine, "李敏", Role.DUTY, "123456", now=NOW)
    stand.account("李敏")
    with pytest.raises(AccountError, match="已存在"):
        accounts.add(stand.engine, "李敏", Role.DUTY, PASSWORD, now=NOW)


def test_a_new_password_ends_every_session_of_the_account_and_no_other(stand: Stand) -> None:
    for name in ("李敏", "王强"):
        stand.account(name)
    mine = [sessions.open_session(stand.engine, "李敏", NOW) for _ in range(2)]
    other = sessions.open_session(stand.engine, "王强", NOW)
    accounts.set_password(stand.engine, "李敏", "another long password", now=NOW)
    assert [sessions.find_session(stand.engine, token, NOW) for token in mine] == [None, None]
    assert sessions.find_session(stand.engine, other, NOW) is not None


def test_a_session_lives_twelve_hours_after_its_last_use(stand: Stand) -> None:
    stand.account("李敏")
    token = sessions.open_session(stand.engine, "李敏", NOW)
    later = NOW + sessions.SESSION_LIFE - 1
    assert sessions.find_session(stand.engine, token, later) is not None, "not yet over"
    assert sessions.find_session(stand.engine, token, later + sessions.SESSION_LIFE - 1) is not None, "it slides"
    assert sessions.find_session(stand.engine, token, later + 3 * sessions.SESSION_LIFE) is None


def test_only_a_hash_of_session_and_token_is_stored(stand: Stand) -> None:
    stand.account("李敏")
    token = sessions.open_session(stand.engine, "李敏", NOW)
    secret = sessions.create_token(stand.engine, "屏", "李敏", frozenset({Scope.READ}), now=NOW, expires_at=None)
    stored = str(stand.rows(schema.sessions)) + str(stand.rows(schema.tokens)) + str(stand.rows(schema.audit))
    assert token not in stored and secret not in stored


def test_a_disabled_account_has_no_session_no_token_and_no_sign_in(stand: Stand) -> None:
    stand.account("局长", Role.ADMIN)
    stand.account("李敏")
    session = sessions.open_session(stand.engine, "李敏", NOW)
    token = sessions.create_token(stand.engine, "屏", "李敏", frozenset({Scope.READ}), now=NOW, expires_at=None)
    accounts.disable(stand.engine, "李敏", now=NOW)
    assert sessions.find_session(stand.engine, session, NOW) is None
    assert sessions.find_token(stand.engine, token, NOW) is None
    assert accounts.check_password(stand.engine, "李敏", PASSWORD) is None


def test_the_last_admin_cannot_be_disabled(stand: Stand) -> None:
    stand.account("局长", Role.ADMIN)
    with pytest.raises(AccountError, match="最后一个"):
        accounts.disable(stand.engine, "局长", now=NOW)


def test_a_token_ends_when_it_expires_or_is_revoked(stand: Stand) -> None:
    stand.account("李敏")
    scopes = frozenset({Scope.READ, Scope.ACK})
    short = sessions.create_token(stand.engine, "短", "李敏", scopes, now=NOW, expires_at=NOW + 1000)
    long = sessions.create_token(stand.engine, "长", "李敏", scopes, now=NOW, expires_at=None)
    assert sessions.find_token(stand.engine, short, NOW) is not None
    assert sessions.find_token(stand.engine, short, NOW + 1000) is None
    sessions.revoke_token(stand.engine, "长", now=NOW)
    assert sessions.find_token(stand.engine, long, NOW) is None


def test_a_viewers_token_cannot_be_made_to_ack(stand: Stand) -> None:
    stand.account("看客", Role.VIEWER)
    with pytest.raises(AccountError, match="只能有 read"):
        sessions.create_token(stand.engine, "屏", "看客", frozenset({Scope.ACK}), now=NOW, expires_at=None)


def test_guesses_lock_an_account_for_their_address_and_longer_each_time() -> None:
    limiter = LoginLimiter()
    for _ in range(5):
        assert limiter.locked_for("李敏", "10.0.0.1", NOW) == 0
        limiter.failed("李敏", "10.0.0.1", NOW)
    assert limiter.locked_for("李敏", "10.0.0.1", NOW) == MINUTE
    assert limiter.locked_for("李敏", "10.0.0.2", NOW) == 0, "the person on duty still gets in from elsewhere"
    limiter.failed("李敏", "10.0.0.1", NOW + MINUTE)
    assert limiter.locked_for("李敏", "10.0.0.1", NOW + MINUTE) == 2 * MINUTE


def test_guesses_from_many_addresses_lock_the_account() -> None:
    limiter = LoginLimiter()
    for number in range(20):
        limiter.failed("李敏", f"10.0.1.{number}", NOW)
    assert limiter.locked_for("李敏", "10.9.9.9", NOW) > 0


def test_a_good_sign_in_forgets_the_failures() -> None:
    limiter = LoginLimiter()
    for _ in range(4):
        limiter.failed("李敏", "a", NOW)
    limiter.succeeded("李敏", "a")
    limiter.failed("李敏", "a", NOW)
    assert limiter.locked_for("李敏", "a", NOW) == 0


# ---------------------------------------------------------------- the command line


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("WENXUN_DATABASE_URL", raising=False)
    (tmp_path / "password").write_text(PASSWORD + "\n", encoding="utf-8")
    return tmp_path


def test_an_account_and_a_token_from_the_command_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["user", "add", "李敏", "--role", "duty", "--password-file", str(here / "password")]) == 0
    assert PASSWORD not in capsys.readouterr().out
    create = ["token", "create", "--name", "屏", "--account", "李敏", "--scope", "read,ack", "--expires", "90d"]
    assert cli.main(create) == 0
    token = capsys.readouterr().out.strip()
    assert token.startswith("wxt_") and "\n" not in token, "only the token on stdout: it can be piped"
    assert cli.main(["user", "list"]) == 0 and "李敏\tduty\t可用" in capsys.readouterr().out
    assert cli.main(["token", "list"]) == 0
    listed = capsys.readouterr().out
    assert "屏\t李敏\tack,read\t可用" in listed and token not in listed
    assert cli.main(["token", "revoke", listed.split("\t")[0]]) == 0
    assert cli.main(["token", "list"]) == 0 and "已吊销" in capsys.readouterr().out


def test_a_token_has_every_scope_that_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["user", "add", "李敏", "--role", "duty", "--password-file", str(here / "password")]) == 0
    scopes = ["--scope", "read", "--scope", "ack,poll"]
    assert cli.main(["token", "create", "--name", "屏", "--account", "李敏", *scopes]) == 0
    capsys.readouterr()
    assert cli.main(["token", "list"]) == 0 and "屏\t李敏\tack,poll,read\t可用" in capsys.readouterr().out


def test_a_made_up_password_is_printed_once_and_works(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from agents.store.engine import open_store

    assert cli.main(["user", "add", "王强", "--role", "viewer"]) == 0
    password = capsys.readouterr().out.strip().rpartition("：")[2]
    engine = open_store(Settings(data_dir=here).store_url)
    assert accounts.check_password(engine, "王强", password) is not None
    engine.dispose()


@pytest.mark.parametrize(("arguments", "says"), [
    (["user", "passwd", "没有", "--password-file", "{}/password"], "没有账号 没有"),
    (["user", "passwd", "没有", "--password-file", "{}/none"], "--password-file"),
    (["user", "disable", "没有"], "没有账号 没有"),
    (["token", "create", "--name", "x", "--account", "没有", "--scope", "read"], "没有可用的账号 没有"),
    (["token", "create", "--name", "x", "--account", "没有", "--scope", "write"], "--scope write"),
    (["token", "create", "--name", "x", "--account", "没有", "--scope", "read", "--expires", "soon"], "--expires soon"),
    (["token", "revoke", "没有"], "没有令牌 没有"),
])
def test_what_cannot_be_done_is_said_without_a_traceback(
        here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    assert cli.main([each.format(here) for each in arguments]) == 2
    assert says in capsys.readouterr().err
