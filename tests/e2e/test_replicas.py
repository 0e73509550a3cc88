"""Two replicas of every service on one volume, the same user on both: they agree at once."""

import imaplib
import itertools
import poplib
import re
import smtplib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from restante.model import MailError
from tests.e2e.stack import PASSWORD, Stack
from tests.support.system import unique_message

pytestmark = pytest.mark.e2e

HANG = 30.0  # seconds; nothing here takes that long unless it never ends
_number = itertools.count()


@pytest.fixture
def user(stack: Stack) -> str:
    """Return a fresh account."""
    address = f"twin{next(_number)}@example.test"
    stack.add_account(address)
    return address


@contextmanager
def imap(stack: Stack, user: str, number: int) -> Iterator[imaplib.IMAP4]:
    """Log in at a replica."""
    client = imaplib.IMAP4(*stack.address("imap", 1143, number), timeout=HANG)
    try:
        client.login(user, PASSWORD)
        yield client
    finally:
        with suppress(OSError, imaplib.IMAP4.error):
            client.shutdown()


def deliver(stack: Stack, user: str, number: int, subject: str = "test") -> None:
    """Hand a message to a replica of delivery."""
    with smtplib.LMTP(*stack.address("delivery", 2424, number), timeout=HANG) as client:
        assert client.sendmail("ann@example.test", [user], unique_message(subject)) == {}


def hear(client: imaplib.IMAP4, wanted: bytes) -> float:
    """Read lines of an IDLE until one has `wanted`; return the moment."""
    while True:
        line = client.readline()
        assert line, f"the connection ended before {wanted!r}"
        if wanted in line:
            return time.monotonic()


@contextmanager
def idling(client: imaplib.IMAP4) -> Iterator[None]:
    """IDLE around a block (RFC 2177)."""
    client.send(b"x1 IDLE\r\n")
    assert client.readline().startswith(b"+")
    yield
    client.send(b"DONE\r\n")
    hear(client, b"x1 OK")


def test_idle_hears_of_a_delivery_elsewhere(stack: Stack, user: str) -> None:
    took = []
    with imap(stack, user, 1) as client:
        client.select()
        with idling(client):
            for count in range(1, 11):
                begun = time.monotonic()
                deliver(stack, user, 2)
                took.append(hear(client, b"* %d EXISTS" % count) - begun)
    took.sort()
    print(f"\nIDLE on imap-1, delivery by delivery-2: {took[5]:.3f} s (most {took[-1]:.3f} s)")


def test_idle_hears_of_flags_and_removals_elsewhere(stack: Stack, user: str) -> None:
    for _ in range(3):
        deliver(stack, user, 1)
    with imap(stack, user, 1) as one, imap(stack, user, 2) as two:
        one.select()
        two.select()
        with idling(one):
            begun = time.monotonic()
            two.store("2", "+FLAGS", "\\Flagged")
            flags = hear(one, b"\\Flagged") - begun
            two.store("1", "+FLAGS", "\\Deleted")
            begun = time.monotonic()
            two.expunge()
            removal = hear(one, b"* 1 EXPUNGE") - begun
    print(f"\nIDLE on imap-1, change by imap-2: flags {flags:.3f} s, removal {removal:.3f} s")


def seen_by(client: imaplib.IMAP4) -> list[tuple[str, str]]:
    """Return UIDs and flags as a session sees them."""
    client.noop()
    _, lines = client.uid("FETCH", "1:*", "(FLAGS)")
    found = [re.search(rb"UID (\d+) FLAGS \((.*?)\)", line) for line in lines if line]
    pairs = [(m[1].decode(), m[2].decode()) for m in found if m]
    return [(uid, " ".join(sorted(flags.replace("\\Recent", "").split()))) for uid, flags in pairs]


def test_uids_and_flags_agree(stack: Stack, user: str) -> None:
    """Four writers on two replicas at once; afterwards everybody tells the same."""

    def write(number: int) -> None:
        with imap(stack, user, number % 2 + 1) as client:
            client.select()
            for step in range(10):
                deliver(stack, user, step % 2 + 1, f"w{number}.{step}")
                client.noop()
                client.append("INBOX", "", "", unique_message(f"a{number}.{step}"))
                client.store(str(step + 1), "+FLAGS", ("\\Seen", "\\Flagged", "w1", "w2")[number])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    with imap(stack, user, 1) as one, imap(stack, user, 2) as two:
        validity = []
        for client in (one, two):
            assert client.select()[1] == [b"80"]
            validity.append(client.response("UIDVALIDITY")[1])
        assert validity[0] == validity[1]
        assert seen_by(one) == seen_by(two)
        uids = [int(uid) for uid, _ in seen_by(one)]
        assert uids == sorted(set(uids))
        assert len(uids) == 80
    for number in (1, 2):
        pop3 = poplib.POP3(*stack.address("pop3", 1110, number), timeout=HANG)
        pop3.user(user)
        pop3.pass_(PASSWORD)
        assert pop3.stat()[0] == 80
        if number == 1:
            uidls = pop3.uidl()[1]
        else:
            assert pop3.uidl()[1] == uidls
        pop3.quit()


# --- sessions end everywhere --------------------------------------------------------------------


def _ended(client: imaplib.IMAP4) -> bool:
    """Read until the server ends the connection."""
    with suppress(OSError):
        while client.readline():
            pass
        return True
    return False


def new_password(stack: Stack, user: str) -> None:
    with stack.admin(2) as admin:
        admin.set_password(user, "another one entirely")


def disable(stack: Stack, user: str) -> None:
    with stack.admin(1) as admin:
        admin.update_account(user, disabled=True)


def disable_by_docker_exec(stack: Stack, user: str) -> None:
    stack.nodes["auth-2"].run("restante", "account", "disable", user)


@pytest.mark.parametrize("how", [new_password, disable, disable_by_docker_exec])
def test_sessions_end_on_all_replicas(
    stack: Stack, user: str, how: Callable[[Stack, str], None]
) -> None:
    with imap(stack, user, 1) as one, imap(stack, user, 2) as two:
        pop3s = []
        for number in (1, 2):
            pop3 = poplib.POP3(*stack.address("pop3", 1110, number), timeout=HANG)
            pop3.user(user)
            pop3.pass_(PASSWORD)
            pop3s.append(pop3)
        begun = time.monotonic()
        how(stack, user)
        assert _ended(one)
        assert _ended(two)
        for pop3 in pop3s:
            while pop3.file.readline():
                pass
            pop3.close()
        took = time.monotonic() - begun
        print(f"\n{how.__name__}: four sessions on four replicas ended in {took:.3f} s")
    for number in (1, 2):
        client = imaplib.IMAP4(*stack.address("imap", 1143, number), timeout=HANG)
        with pytest.raises(imaplib.IMAP4.error):
            client.login(user, PASSWORD)
        client.shutdown()


# --- administration -----------------------------------------------------------------------------


def test_administration_over_mtls_and_docker_exec(stack: Stack) -> None:
    address = "made.inside@example.test"
    stack.add_account("any@example.test")
    auth = stack.nodes["auth-1"]
    auth.run("restante", "account", "add", address, "--password-stdin", typed=PASSWORD.encode())
    with stack.admin(2) as admin:
        assert admin.get_account(address).address == address
    with imap(stack, address, 2) as client:
        client.select()
        who = stack.nodes["auth-2"].run("restante", "who").decode()
        assert address in who
    with stack.admin(1) as admin:
        admin.delete_account(address, purge_mail=False)
    listed = stack.nodes["auth-2"].run("restante", "account", "list", "example.test").decode()
    assert address not in listed


def test_administration_without_our_certificate(stack: Stack) -> None:
    """Without a client certificate of the CA between services the door stays shut."""
    from restante.rpc.admin_client import AdminClient
    from restante.rpc.channel import ClientTls

    host, port = stack.address("auth", 50051)
    tls = ClientTls(stack.files.rpc / "ca.crt")
    with (
        AdminClient(f"{host}:{port}", stack.files.admin_token, tls=tls, deadline=5) as admin,
        pytest.raises(MailError),
    ):
        list(admin.domains())


def test_a_replica_more_and_one_less_while_sessions_live(stack: Stack, user: str) -> None:
    """Scale up and down: a new replica serves at once, one that stops says so to its sessions."""
    node = stack.start_service("imap", 3)
    stack.wait_ready()
    with imap(stack, user, 3) as client, imap(stack, user, 1) as stays:
        client.select()
        stays.select()
        stopper = threading.Thread(target=node.stop)
        stopper.start()
        hear(client, b"* BYE")
        stopper.join(HANG)
        assert stays.noop()[0] == "OK"
    del stack.nodes[node.name]
