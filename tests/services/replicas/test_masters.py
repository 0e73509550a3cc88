"""Master users at the doors of two replicas: what they open, and how that ends everywhere."""

import contextlib
import poplib
from collections.abc import Iterator

import pytest

from restante.rpc.admin_client import AdminClient
from tests.services.imap.wire import Wire
from tests.services.replicas.test_revocation import BYE, ERR, PASSWORD, Replicas, pop3

FRED, BOSS, OTHER = "fred@example.test", "boss@example.test", "dot@other.test"
SECRET = "the boss's secret"


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    with Replicas(tmp_path_factory.mktemp("masters")).running() as running:
        running.system.add_account(FRED, PASSWORD)
        running.system.add_account(OTHER, PASSWORD)
        running.system.add_account(BOSS, SECRET)
        yield running


@pytest.fixture
def admin(replicas: Replicas) -> Iterator[AdminClient]:
    with replicas.admin() as client:
        client.create_master(BOSS, ["example.test"])
        yield client
        with contextlib.suppress(Exception):
            client.delete_master(BOSS)


def log_in(address: tuple[str, int], user: str, password: str) -> Wire:
    wire = Wire(address)
    wire.ok(f'LOGIN {user} "{password}"')
    return wire


def test_sessions_of_a_master_end_with_his_role(replicas: Replicas, admin: AdminClient) -> None:
    imap = [log_in(a, f"{FRED}*{BOSS}", SECRET) for a in replicas.of("imap") for _ in range(3)]
    pop = [pop3(a, f"{FRED}*{BOSS}", SECRET) for a in replicas.of("pop3") for _ in range(3)]
    owners = [log_in(a, FRED, PASSWORD) for a in replicas.of("imap")]
    found = [s for s in admin.sessions(address=FRED).sessions if s.actor]
    assert {session.actor for session in found} == {BOSS}
    assert len(found) == len(imap) + len(pop)
    admin.delete_master(BOSS)
    for wire in imap:
        assert wire.line() == BYE
        assert wire.ended()
    for client in pop:
        assert client.file.readline().rstrip() == ERR
    for wire in owners:  # who owns the account stays
        wire.ok("NOOP")
        wire.close()
    for address in replicas.of("imap"):
        with Wire(address) as wire:
            answer = wire.no(f'LOGIN {FRED}*{BOSS} "{SECRET}"')
            assert b"[AUTHORIZATIONFAILED]" in answer
    for address in replicas.of("pop3"):
        with pytest.raises(poplib.error_proto, match="not allowed"):
            pop3(address, f"{FRED}*{BOSS}", SECRET)


def test_what_a_master_may_not_enter(replicas: Replicas, admin: AdminClient) -> None:
    with Wire(replicas.of("imap")[0]) as wire:
        assert b"[AUTHORIZATIONFAILED]" in wire.no(f'LOGIN {OTHER}*{BOSS} "{SECRET}"')
        assert b"[AUTHENTICATIONFAILED]" in wire.no(f'LOGIN {FRED}*{BOSS} "wrong"')
        assert b"[AUTHORIZATIONFAILED]" in wire.no(f'LOGIN {OTHER}*{FRED} "{PASSWORD}"')
        wire.ok(f'LOGIN {BOSS} "{SECRET}"')


def test_his_password_ends_them_too(replicas: Replicas, admin: AdminClient) -> None:
    imap = [log_in(a, f"{FRED}*{BOSS}", SECRET) for a in replicas.of("imap")]
    admin.set_password(BOSS, "another secret 9")
    try:
        for wire in imap:
            assert wire.line() == BYE
    finally:
        admin.set_password(BOSS, SECRET)
