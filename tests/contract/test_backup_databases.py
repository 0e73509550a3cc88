"""Backups of auth's database, by the commands of docs/backup.md, from a running service.

pg_dump and pg_restore, SQLite's .backup, and `restante account export`: what each has in it.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pyotp
import pytest
import sqlalchemy
from sqlalchemy import create_engine, select

from restante.rpc.admin.v1.admin_pb2 import AppPassword
from restante.rpc.self.v1 import self_pb2 as pb
from restante.rpc.self.v1 import self_pb2_grpc
from services.auth.database import schema
from services.auth.database.drivers import database_url
from tests.clients.programs import need
from tests.contract.postgres import Postgres, find_programs
from tests.services.auth.test_doctor import doctor, of
from tests.support.process import ROOT, clean_environment
from tests.support.system import System

USER, PASSWORD = "fred@example.test", "correct horse battery"
ANN = "ann@example.test"


def restante(system: System, *words: str, typed: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "services", *words],
        env=clean_environment(system.data, system.env),
        cwd=ROOT,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fill(system: System) -> str:
    """Make one of everything; returns an app password."""
    system.add_account(USER, PASSWORD, quota="1000000S", options="wbnodsn=1")
    system.add_account(ANN, PASSWORD)
    restante(system, "domain", "update", "example.test", "--quota", "5000000S")
    restante(system, "account", "disable", ANN)
    restante(system, "token", "add", "backup", "--role", "read-only")
    restante(system, "master", "add", USER, "--domain", "example.test")
    with grpc.insecure_channel(system.auth_target) as channel:
        stub: Any = self_pb2_grpc.SelfStub(channel)
        login = stub.Login(pb.LoginRequest(user=USER, password=PASSWORD.encode()))
        own = {"metadata": (("authorization", f"Bearer {login.token}"),), "timeout": 10}
        wanted = pb.CreateAppPasswordRequest(app_password=AppPassword(name="phone"))
        made = stub.CreateAppPassword(wanted, **own)
        begun = stub.BeginTotp(pb.BeginTotpRequest(), **own)
        code = pyotp.TOTP(begun.secret).at(int(time.time()))
        stub.ConfirmTotp(pb.ConfirmTotpRequest(code=code), **own)
    return str(made.secret)


def rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables of ours; the audit log goes on in batches, and is left out."""
    engine = create_engine(database_url(url))
    try:
        with engine.connect() as connection:
            there = set(sqlalchemy.inspect(connection).get_table_names())
            return {
                table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
                for table in schema.metadata.sorted_tables
                if table.name in there and table.name != "audit"
            }
    finally:
        engine.dispose()


def logs_in(system: System, password: str, service: str = "imap") -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "services", "auth", "test", USER, "-s", service, "--password-stdin"],
        env=clean_environment(system.data, system.env),
        cwd=ROOT,
        input=password + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode == 0


def is_whole(base: Path, old: System, url: str, app_password: str) -> None:
    """A service on the restored database, with the old secret, is what the old one was."""
    before = rows(
        old.env.get("RESTANTE_AUTH_SQL_URL", f"sqlite:///{old.data}/auth/accounts.sqlite")
    )
    assert {"accounts", "domains", "totp", "app_passwords"} <= before.keys()
    assert rows(url) == before
    env = {"RESTANTE_AUTH_SQL_URL": url}
    new = System(base / "new", [], env)
    (new.data / "auth").mkdir(parents=True)
    shutil.copy(old.data / "auth" / "secret", new.data / "auth" / "secret")
    with new:
        assert logs_in(new, app_password)
        assert not logs_in(new, PASSWORD), "the second factor is there"
        assert "yes" in restante(new, "account", "show", ANN)
        assert "backup" in restante(new, "token", "list")
        assert USER in restante(new, "master", "list")
    _, found = doctor(new.data, **new.env)
    assert of(found, "secret of auth") == [("OK", "opens the second factors of 1 accounts")]
    (new.data / "auth" / "secret").write_text("quite another secret, of some length\n")
    _, found = doctor(new.data, **new.env)
    assert of(found, "secret of auth") == [("FAIL", "does not open 1 of 1 second factors")]


def test_sqlite(tmp_path: Path) -> None:
    sqlite3 = need("sqlite3")
    with System(tmp_path, []) as system:
        app_password = fill(system)
        database = system.data / "auth" / "accounts.sqlite"
        copy = tmp_path / "accounts.backup"
        subprocess.run([sqlite3, database, f".backup '{copy}'"], check=True)
    restored = tmp_path / "restored.sqlite"
    shutil.copy(copy, restored)
    is_whole(tmp_path, system, f"sqlite:///{restored}", app_password)


def test_postgresql(tmp_path: Path, postgres: Postgres) -> None:
    programs = find_programs()
    assert programs is not None
    url = postgres.new_database()
    with System(tmp_path, [], {"RESTANTE_AUTH_SQL_URL": url}) as system:
        app_password = fill(system)
        dump = tmp_path / "restante.dump"
        subprocess.run([programs / "pg_dump", "-Fc", "-f", dump, url], check=True)
    target = postgres.new_database()
    restore: list[str | Path] = [
        programs / "pg_restore",
        "--exit-on-error",
        "--no-owner",
        "-d",
        target,
        dump,
    ]
    subprocess.run(restore, check=True)
    is_whole(tmp_path, system, target, app_password)


@pytest.mark.parametrize("homes", [True, False])
def test_export(tmp_path: Path, homes: bool) -> None:
    """Domains and accounts with hashes; no second factor, app password, token or master."""
    with System(tmp_path / "old", []) as old:
        app_password = fill(old)
        options = ["--hashes", *(["--homes"] if homes else [])]
        exported = restante(old, "account", "export", *options)
        accounts = restante(old, "account", "list", "--json")
    file = tmp_path / "accounts.yaml"
    fd = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(fd, exported.encode())
    os.close(fd)
    with System(tmp_path / "new", []) as new:
        restante(new, "account", "apply", str(file))
        assert "0 added, 0 changed" in restante(new, "account", "apply", str(file))
        assert restante(new, "account", "export", *options) == exported or not homes
        if homes:
            strip = ("created", "updated")
            assert _without(restante(new, "account", "list", "--json"), strip) == _without(
                accounts, strip
            )
        assert logs_in(new, PASSWORD), "the hash is there, the second factor is not"
        assert not logs_in(new, app_password)
        assert restante(new, "token", "list") == ""
        assert restante(new, "master", "list") == ""


def _without(text: str, keys: tuple[str, ...]) -> list[str]:
    return [line for line in text.splitlines() if not any(f'"{key}"' in line for key in keys)]
