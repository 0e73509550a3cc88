"""The IMAP service as real processes: two workers, auth over gRPC, mail from the LMTP service."""

import os
import random
import re
import signal
import smtplib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.imap.wire import Wire
from tests.support import System
from tests.support.scrape import value, wait_for
from tests.support.system import unique_message

PASSWORD = "secret 1"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(
        tmp_path_factory.mktemp("imap"),
        ("delivery", "imap"),
        {"RESTANTE_WORKERS": "2", "RESTANTE_DRAIN_SECONDS": "3"},
    ) as system:
        yield system


@pytest.fixture
def user(system: System, request: pytest.FixtureRequest) -> str:
    """A fresh account."""
    address = f"u{abs(hash(request.node.name)) % 10**12}@example.test"
    system.add_account(address, PASSWORD)
    return address


def login(system: System, user: str) -> Wire:
    wire = Wire(system.address("imap"))
    wire.ok(f'LOGIN {user} "{PASSWORD}"')
    return wire


def fill(system: System, user: str, count: int = 1) -> list[bytes]:
    messages = [unique_message(f"number {n}") for n in range(count)]
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen")) as client:
        for message in messages:
            client.sendmail("bob@x.test", user, message)
    return messages


def test_what_lmtp_took_imap_shows(system: System, user: str) -> None:
    messages = fill(system, user, 3)
    with login(system, user) as wire:
        assert b"* 3 EXISTS" in wire.ok("SELECT INBOX")
        lines = wire.ok("FETCH 1:* BODY.PEEK[]")
        for line, message in zip(lines, messages, strict=True):
            assert line[:-1].endswith(message)


def test_tls_both_ways(system: System, user: str) -> None:
    with Wire(system.address("imap", "tls_listen"), tls=True) as wire:
        wire.ok(f'LOGIN {user} "{PASSWORD}"')
    with Wire(system.address("imap")) as wire:
        wire.ok("STARTTLS")
        wire.start_tls()
        wire.ok(f'LOGIN {user} "{PASSWORD}"')


def test_idle_hears_of_lmtp_deliveries(system: System, user: str) -> None:
    wires = [login(system, user) for _ in range(6)]  # on both workers, most likely
    for wire in wires:
        wire.ok("SELECT INBOX")
        wire.start("IDLE")
        assert wire.line() == b"+ idling"
    fill(system, user)
    for wire in wires:
        assert wire.line() == b"* 1 EXISTS"
        wire.close()


def flags_of(wire: Wire) -> dict[bytes, frozenset[bytes]]:
    """Return flags by UID, without \\Recent, which belongs to a session."""
    found = {}
    for line in wire.ok("UID FETCH 1:* FLAGS"):
        match = re.fullmatch(rb"\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\)\)", line)
        assert match, line
        found[match[1]] = frozenset(match[2].split()) - {b"\\Recent"}
    return found


def test_sessions_in_two_processes_agree(system: System, user: str) -> None:
    """Random changes by sessions on both workers; at every checkpoint all see the same."""
    fill(system, user, 30)
    chance = random.Random(7)
    wires = [login(system, user) for _ in range(6)]
    for wire in wires:
        wire.ok("SELECT INBOX")
    flags = ["\\Seen", "\\Flagged", "\\Answered", "work", "$Label1"]
    for _ in range(12):
        for _ in range(8):
            wire = chance.choice(wires)
            uids = ",".join(str(chance.randint(1, 40)) for _ in range(5))
            mode = chance.choice(["+FLAGS", "-FLAGS", "+FLAGS.SILENT", "FLAGS"])
            wire.ok(f"UID STORE {uids} {mode} ({chance.choice(flags)})")
            if chance.random() < 0.2:
                wire.ok(f"UID STORE {chance.randint(1, 40)} +FLAGS.SILENT (\\Deleted)")
                wire.ok("EXPUNGE")
            if chance.random() < 0.2:
                wire.append("INBOX", unique_message())
        for wire in wires:
            wire.ok("NOOP")
        states = [flags_of(wire) for wire in wires]
        assert all(state == states[0] for state in states)
    for wire in wires:
        wire.close()


def test_auth_down_is_a_temporary_fault(system: System, user: str) -> None:
    with login(system, user) as inside:
        system["auth"].kill()
        try:
            with Wire(system.address("imap")) as wire:
                # Not the password of before: for a moment its verdict may still be there.
                assert b"[UNAVAILABLE]" in wire.no(f"LOGIN {user} another")
                inside.ok("SELECT INBOX")
        finally:
            system["auth"].start()
        with Wire(system.address("imap")) as wire:
            wire.ok(f'LOGIN {user} "{PASSWORD}"')


def test_disk_away_is_a_temporary_fault(system: System, user: str) -> None:
    with login(system, user) as wire:
        wire.ok("SELECT INBOX")
        away = system.mail_root.with_name("away")
        system.mail_root.rename(away)
        try:
            for command in ("NOOP", "SELECT INBOX.Sent", "CREATE INBOX.x", 'LIST "" "*"'):
                assert wire.run(command)[-1].startswith(b"NO "), command
            assert not system.mail_root.exists()
        finally:
            away.rename(system.mail_root)
        assert b"* 0 EXISTS" in wire.ok("SELECT INBOX")


def test_a_killed_worker_takes_only_its_own_sessions(system: System, user: str) -> None:
    wires = [login(system, user) for _ in range(8)]
    os.kill(system["imap"].worker_pids()[0], signal.SIGKILL)
    alive = 0
    for wire in wires:
        try:
            wire.ok("NOOP")
            alive += 1
        except (EOFError, ConnectionError):
            pass
        wire.close()
    assert alive < 8
    with login(system, user) as wire:
        wire.ok("SELECT INBOX")


def rss(pid: int) -> int:
    """Return a process's resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_floods_before_login_cost_no_memory(system: System) -> None:
    """CVE-2026-27857 and kin: 1 MiB of "(", of a tag, of a literal that was never allowed."""
    workers = system["imap"].worker_pids()
    before = sum(map(rss, workers))
    for flood in (b"a NOOP " + b"(" * (1 << 20), b"a" * (1 << 20), b"a LOGIN {99999999+}\r\n"):
        for _ in range(5):
            with Wire(system.address("imap")) as wire:
                try:
                    wire.send(flood)
                    while wire.line():
                        pass
                except (EOFError, ConnectionError):
                    pass
    assert sum(map(rss, system["imap"].worker_pids())) - before < 4 << 20


def test_sigterm_says_bye_and_ends_with_code_0(tmp_path: Path) -> None:
    with System(tmp_path, ("imap",), {"RESTANTE_WORKERS": "2"}) as system:
        system.add_account("joe@example.test", PASSWORD)
        wires = [login(system, "joe@example.test") for _ in range(4)]
        for wire in wires[:2]:
            wire.ok("SELECT INBOX")
            wire.start("IDLE")
            wire.line()
        said: list[bytes] = []

        def listen(wire: Wire) -> None:
            said.append(wire.line())

        threads = [threading.Thread(target=listen, args=(wire,)) for wire in wires]
        for thread in threads:
            thread.start()
        process = system["imap"].process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        for thread in threads:
            thread.join(10)
        assert len(said) == 4
        assert all(line.startswith(b"* BYE [UNAVAILABLE]") for line in said)


def test_metrics_count_connections_and_logins(system: System, user: str) -> None:
    imap = system["imap"]

    def logins() -> float:
        return value(imap, "restante_imap_logins_total", mechanism="login", result="ok")

    before = logins()
    with login(system, user):
        wait_for(lambda: logins() == before + 1, "a login")
        wait_for(lambda: value(imap, "restante_imap_connections") > 0, "a connection")


def test_a_large_message_over_tls(system: System, user: str) -> None:
    message = unique_message("large", 5_000_000)
    with Wire(system.address("imap", "tls_listen"), tls=True) as wire:
        wire.ok(f'LOGIN {user} "{PASSWORD}"')
        assert wire.append("INBOX", message).startswith(b"OK [APPENDUID ")
        wire.ok("SELECT INBOX")
        assert wire.ok("FETCH 1 BODY.PEEK[]")[0].endswith(message + b")")
        lines = wire.ok("FETCH 1 (BODY.PEEK[TEXT]<4000000.500000> RFC822.SIZE)")
        assert b"RFC822.SIZE %d " % len(message) in lines[0]
        body = message.partition(b"\r\n\r\n")[2]
        assert lines[0].endswith(body[4_000_000:4_500_000] + b")")
