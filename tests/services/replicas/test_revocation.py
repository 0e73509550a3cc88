"""Two replicas of IMAP and POP3 round one auth, as processes: what is revoked is so everywhere.

A replica has two workers; several sessions are on each, most likely.
"""

import contextlib
import os
import poplib
import signal
import smtplib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from restante.model import MailError
from restante.rpc.admin_client import AdminClient
from tests.services.imap.wire import Wire
from tests.support import ServiceProcess, System
from tests.support.system import unique_message

PASSWORD, NEW = "secret 1", "secret 2"
PROMISED = 1.0  # seconds within which sessions end
BOUND = 5.0  # seconds that a busy machine gets on top
SESSIONS = 4  # per replica

BYE = b"* BYE Session ended: the account was changed."
ERR = b"-ERR Session ended: the account was changed."


class Replicas:
    """One system and a second IMAP and POP3 service on the same volume and auth."""

    def __init__(self, base: Path) -> None:
        env = {
            "RESTANTE_WORKERS": "2",
            "RESTANTE_DRAIN_SECONDS": "2",
            "RESTANTE_VERDICT_SECONDS": "600",
            "RESTANTE_AUTH_THROTTLE_BASE_SECONDS": "0",
        }
        self.system = System(base, ("delivery", "imap", "pop3"), env)
        env |= {
            "RESTANTE_MAIL_ROOT": str(self.system.mail_root),
            "RESTANTE_AUTH_TARGET": self.system.auth_target,
        }
        self.second = {
            name: ServiceProcess(name, base / "second", env) for name in ("imap", "pop3")
        }

    def of(self, name: str) -> list[tuple[str, int]]:
        return [self.system.address(name), self.second[name].address()]

    @contextlib.contextmanager
    def running(self) -> Iterator["Replicas"]:
        with self.system, contextlib.ExitStack() as stack:
            (self.second["imap"].data).mkdir(mode=0o700, exist_ok=True)
            for service in self.second.values():
                stack.enter_context(service)
            yield self

    @contextlib.contextmanager
    def admin(self) -> Iterator[AdminClient]:
        with AdminClient(self.system.auth_target, self.system.admin_token) as client:
            yield client


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    with Replicas(tmp_path_factory.mktemp("replicas")).running() as running:
        yield running


@pytest.fixture
def user(replicas: Replicas, request: pytest.FixtureRequest) -> str:
    """A fresh account with three messages."""
    address = f"u{abs(hash(request.node.name)) % 10**12}@example.test"
    replicas.system.add_account(address, PASSWORD)
    with smtplib.LMTP(*replicas.system.address("delivery", "lmtp_listen")) as client:
        for _ in range(3):
            client.sendmail("bob@x.test", address, unique_message())
    return address


def imap(address: tuple[str, int], user: str, password: str = PASSWORD) -> Wire:
    wire = Wire(address)
    wire.ok(f'LOGIN {user} "{password}"')
    return wire


def pop3(address: tuple[str, int], user: str, password: str = PASSWORD) -> poplib.POP3:
    client = poplib.POP3(*address, timeout=20)
    client.user(user)
    client.pass_(password)
    return client


def imap_answer(address: tuple[str, int], user: str, password: str) -> bytes:
    with Wire(address) as wire:
        return wire.run(f'LOGIN {user} "{password}"')[-1]


def pop3_answer(address: tuple[str, int], user: str, password: str) -> bytes:
    client = poplib.POP3(*address, timeout=20)
    try:
        client.user(user)
        return client.pass_(password)
    except poplib.error_proto as error:
        answer: bytes = error.args[0]
        return answer
    finally:
        client.close()


def warm(replicas: Replicas, user: str, password: str = PASSWORD) -> None:
    """Log in so often that every worker has the verdict."""
    for _ in range(6):
        for address in replicas.of("imap"):
            imap(address, user, password).close()
        for address in replicas.of("pop3"):
            pop3(address, user, password).quit()


class Sessions:
    """Live sessions of one account on all replicas; POP3 ones have deleted a message."""

    def __init__(self, replicas: Replicas, user: str, password: str = PASSWORD) -> None:
        self.imap = [imap(a, user, password) for a in replicas.of("imap") for _ in range(SESSIONS)]
        for wire in self.imap:
            wire.ok("SELECT INBOX")
        for wire in self.imap[::2]:
            wire.start("IDLE")
            assert wire.line() == b"+ idling"
        self.pop3 = [pop3(a, user, password) for a in replicas.of("pop3") for _ in range(SESSIONS)]
        for client in self.pop3:
            client.dele(1)

    def ends(self, change: Callable[[], object]) -> float:
        """Make a change; return the seconds from its answer to the end of the last session."""
        ended: list[float] = []
        said: list[bytes] = []

        def listen(read: Callable[[], bytes]) -> None:
            said.append(read())
            with contextlib.suppress(EOFError):
                while read():
                    pass
            ended.append(time.monotonic())

        reads = [wire.line for wire in self.imap]
        reads += [lambda c=c: c.file.readline().strip() for c in self.pop3]  # type: ignore[misc]
        threads = [threading.Thread(target=listen, args=(read,)) for read in reads]
        for thread in threads:
            thread.start()
        change()
        answered = time.monotonic()
        for thread in threads:
            thread.join(20)
        assert sorted(said) == sorted([BYE] * len(self.imap) + [ERR] * len(self.pop3))
        assert len(ended) == len(reads)
        self.close()
        return max(ended) - answered

    def live(self) -> None:
        """Say that all are alive."""
        for wire in self.imap[::2]:
            wire.send(b"DONE\r\n")
        for wire in self.imap:
            wire.ok("NOOP")
        for client in self.pop3:
            assert client.noop().startswith(b"+OK")
        self.close()

    def close(self) -> None:
        for wire in self.imap:
            wire.close()
        for client in self.pop3:
            client.close()


def refused(replicas: Replicas, user: str, password: str) -> None:
    """The password fits nowhere: asked of every worker, most likely."""
    for _ in range(SESSIONS):
        for address in replicas.of("imap"):
            assert imap_answer(address, user, password).startswith(b"NO ")
        for address in replicas.of("pop3"):
            assert pop3_answer(address, user, password).startswith(b"-ERR")


def inbox(replicas: Replicas, user: str, password: str) -> bytes:
    with imap(replicas.of("imap")[0], user, password) as wire:
        return b"".join(wire.ok("SELECT INBOX"))


def test_a_new_password_ends_sessions_and_verdicts(replicas: Replicas, user: str) -> None:
    """The attack row "auth cache" (CVE-2026-27855, mailcow#6584), on every replica."""
    warm(replicas, user)
    sessions = Sessions(replicas, user)
    with replicas.admin() as admin:
        assert sessions.ends(lambda: admin.set_password(user, NEW)) < PROMISED + BOUND
    refused(replicas, user, PASSWORD)
    warm(replicas, user, NEW)
    assert b"* 3 EXISTS" in inbox(replicas, user, NEW)  # no DELE was committed


def test_disabled_and_removed_accounts(replicas: Replicas, user: str) -> None:
    warm(replicas, user)
    sessions = Sessions(replicas, user)
    with replicas.admin() as admin:
        took = sessions.ends(lambda: admin.update_account(user, disabled=True))
        assert took < PROMISED + BOUND
        refused(replicas, user, PASSWORD)
        admin.update_account(user, disabled=False)
        warm(replicas, user)
        sessions = Sessions(replicas, user)
        assert sessions.ends(lambda: admin.delete_account(user)) < PROMISED + BOUND
    refused(replicas, user, PASSWORD)


def test_who_is_kicked_may_come_again(replicas: Replicas, user: str) -> None:
    sessions = Sessions(replicas, user)
    with replicas.admin() as admin:
        assert sessions.ends(lambda: admin.kick(user)) < PROMISED + BOUND
    warm(replicas, user)


def test_a_new_quota_ends_no_session_and_counts_at_the_next_login(
    replicas: Replicas, user: str
) -> None:
    warm(replicas, user)
    sessions = Sessions(replicas, user)
    with replicas.admin() as admin:
        admin.update_account(user, quota="4096000S")
        give_up = time.monotonic() + PROMISED + BOUND
        for address in replicas.of("imap") * SESSIONS:
            said = b""
            while b" 4000)" not in said:
                assert time.monotonic() < give_up, said
                with imap(address, user) as wire:
                    said = b"".join(wire.ok("GETQUOTAROOT INBOX"))
        admin.update_account(user, options="disableimap=1")
    sessions.live()
    while not imap_answer(replicas.of("imap")[0], user, PASSWORD).startswith(b"NO"):
        assert time.monotonic() < give_up + BOUND


def test_without_auth_no_verdict_is_used(tmp_path: Path) -> None:
    """kill -9 of auth: temporary failures, never an old verdict, and all is well again after."""
    with Replicas(tmp_path).running() as replicas:
        user = "fred@example.test"
        replicas.system.add_account(user, PASSWORD)
        warm(replicas, user)
        inside = [imap(address, user) for address in replicas.of("imap")]
        imap_door, pop3_door = replicas.of("imap")[1], replicas.of("pop3")[1]
        auth = replicas.system["auth"]
        auth.kill()
        said = eventually(lambda: imap_answer(imap_door, user, PASSWORD), b"NO")
        assert b"[UNAVAILABLE]" in said
        said = eventually(lambda: pop3_answer(pop3_door, user, PASSWORD), b"-ERR")
        assert b"[SYS/TEMP]" in said
        for wire in inside:
            wire.ok("NOOP")  # who is in stays in
        auth.start()
        eventually(lambda: imap_answer(imap_door, user, PASSWORD), b"OK")
        warm(replicas, user)
        for pid in auth.worker_pids():
            os.kill(pid, signal.SIGKILL)
        # Who was connected before the break hears of what comes after it.
        with replicas.admin() as admin:
            eventually(lambda: _password(admin, user), b"set")
        for wire in inside:
            assert wire.line() == BYE
        refused(replicas, user, PASSWORD)


def _password(admin: AdminClient, user: str) -> bytes:
    try:
        admin.set_password(user, NEW)
    except MailError as error:
        return error.kind.value.encode()
    return b"set"


def eventually(answer: Callable[[], bytes], wanted: bytes) -> bytes:
    """Ask until the answer begins as it should."""
    give_up = time.monotonic() + 30
    while not (said := answer()).startswith(wanted):
        assert time.monotonic() < give_up, said
    return said
