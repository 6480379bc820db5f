"""The stack's own PostgreSQL: a cluster in the folder, its roles, its database."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.stack import programs
from deploy.stack.layout import DATABASE, DEPLOY, HOST, SECRETS, Folder, StackError, write

SUPERUSER, READER = "postgres", "grafana_ro"
SUPERUSER_PASSWORD = "postgres_superuser_password"  # noqa: S105 (a file's name)


def make_secrets(folder: Folder) -> None:
    """A file for each password, once; one that is there is never touched."""
    for name in SECRETS:
        path = folder.secret(name)
        if not path.exists() or not path.stat().st_size:
            write(path, secrets.token_urlsafe(24) + "\n")


def make_cluster(folder: Folder) -> None:
    """initdb into a folder that is renamed when it is whole, so that a broken-off one is begun anew."""
    place, user = folder["postgres"], programs.postgres_user()
    if (place / "data" / "PG_VERSION").exists():
        return
    place.mkdir(exist_ok=True, mode=0o700)
    shutil.rmtree(place / "new", ignore_errors=True)
    password = place / "password"
    try:
        write(password, folder.secret(SUPERUSER_PASSWORD).read_text("utf-8"))
        if user:
            owner = pwd.getpwnam(user)
            for path in (place, password):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        binary = programs.postgres_bin(folder)
        assert binary is not None                       # needs.check has looked
        done = subprocess.run(  # noqa: S603 (our own command)
            [binary / "initdb", "-D", place / "new", "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8",
             "--data-checksums", "-A", "scram-sha-256", f"--pwfile={password}"],
            capture_output=True, text=True, check=False, cwd=place, env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            user=user or None, group=user or None, extra_groups=[] if user else None)
        if done.returncode:
            raise StackError(f"PostgreSQL 的数据目录没有建成：{done.stderr.strip()[-500:]}")
        (place / "new").rename(place / "data")
    finally:
        password.unlink(missing_ok=True)


def connect(folder: Folder, port: int, user: str = SUPERUSER, database: str = "postgres",
            password: str = SUPERUSER_PASSWORD) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=HOST, port=port, user=user, dbname=database, autocommit=True, connect_timeout=5, sslmode="disable",
        password=folder.secret(password).read_text("utf-8").strip(), passfile="/dev/null")


def up(folder: Folder, port: int) -> str:
    """Empty when the server takes its administrator's password, else why not."""
    try:
        connect(folder, port).close()
    except (psycopg.Error, OSError) as error:
        return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return ""


def make_roles(folder: Folder, port: int, environ: Mapping[str, str]) -> None:
    """The role and database of Wenxun with the password in its file (a changed file counts), and Grafana's role by
    the same script that the container of Compose runs."""
    with connect(folder, port) as connection:
        _role(connection, DATABASE, folder.secret("postgres_password"))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(
                sql.Identifier(DATABASE), sql.Identifier(DATABASE)))
        known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [READER]).fetchone()
    if known is None:
        _reader(folder, port, environ)
    else:
        with connect(folder, port) as connection:
            _role(connection, READER, folder.secret("grafana_ro_password"))


def _role(connection: psycopg.Connection[tuple[object, ...]], name: str, password: Path) -> None:
    """The server gets a verifier, not the password, so that no log of it can hold one."""
    verifier = connection.pgconn.encrypt_password(
        password.read_bytes().strip(), name.encode(), b"scram-sha-256").decode("ascii")
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
        sql.SQL("ALTER" if known else "CREATE"), sql.Identifier(name), sql.Literal(verifier)))


def _reader(folder: Folder, port: int, environ: Mapping[str, str]) -> None:
    passwords = folder.run / "pgpass"
    try:
        write(passwords, f"{HOST}:{port}:{DATABASE}:{SUPERUSER}:"
                         + folder.secret(SUPERUSER_PASSWORD).read_text("utf-8"))
        done = subprocess.run(  # noqa: S603 (our own script)
            [DEPLOY / "postgres" / "grafana.sh"], capture_output=True, text=True, check=False,
            env={"PATH": environ["PATH"], "PGHOST": HOST, "PGPORT": str(port), "PGPASSFILE": str(passwords),
                 "POSTGRES_USER": SUPERUSER, "POSTGRES_DB": DATABASE,
                 "GRAFANA_RO_PASSWORD_FILE": str(folder.secret("grafana_ro_password"))})
    finally:
        passwords.unlink(missing_ok=True)
    if done.returncode:
        raise StackError(f"Grafana 的只读账号没有建成：{done.stderr.strip()[-500:]}")
