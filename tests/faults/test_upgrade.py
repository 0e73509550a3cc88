"""A rolling upgrade: release 0.1.0 and this tree on one mail volume and one auth, at once.

Every service runs in both releases, each replica with a data directory of its own; all share the
mail volume, and the auth service is of one release or the other. The same user is on both: UIDs,
flags, keywords, UIDLs and pushes agree, deliveries and removals are seen. Then the new release
alone, then the old one again.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from restante.rpc.admin.v1 import admin_pb2, admin_pb2_grpc
from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.store.volume import create_volume
from tests.support.process import ROOT, ServiceProcess
from tests.support.release import unpack
from tests.support.sides import PATIENCE, Side, listed, work_together

USER, PASSWORD = "fred@example.test", "correct horse battery"
WORKERS = ("delivery", "imap", "pop3")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the trees: {"old": release 0.1.0, "new": this one}."""
    return {"old": unpack(tmp_path_factory.mktemp("release") / "tree"), "new": ROOT}


class Replica(Side):
    """Delivery, IMAP and POP3 of one release."""

    def __init__(self, release: str, house: "House") -> None:
        super().__init__(self.address, USER, PASSWORD)
        env = house.env | {"RESTANTE_AUTH_TARGET": house.target}
        data = house.base / f"data-{release}"
        root = house.releases[release]
        self.services = {
            name: ServiceProcess(name, data / name, env, root=root) for name in WORKERS
        }

    def start(self, stack: ExitStack) -> None:
        for service in self.services.values():
            service.data.mkdir(parents=True, exist_ok=True)
            stack.callback(service.stop)
            service.spawn()
        for service in self.services.values():
            service.wait_ready()

    def address(self, name: str) -> tuple[str, int]:
        if name == "lmtp":
            return self.services["delivery"].address("lmtp_listen")
        return self.services[name].address()


class House:
    """A mail volume, an auth service of one release, and replicas."""

    def __init__(self, base: Path, releases: dict[str, Path]) -> None:
        self.base, self.releases = base, releases
        self.mail = base / "mail"
        self.auth_data = base / "auth"
        self.target = f"unix:{self.auth_data}/run/auth.sock"
        self.env = {
            "RESTANTE_MAIL_ROOT": str(self.mail),
            "RESTANTE_AUTH_ARGON2_TIME": "1",
            "RESTANTE_AUTH_ARGON2_MEMORY_KIB": "64",
        }
        create_volume(self.mail)

    @contextmanager
    def auth(self, release: str) -> Iterator[ServiceProcess]:
        service = ServiceProcess("auth", self.auth_data, self.env, root=self.releases[release])
        self.auth_data.mkdir(exist_ok=True)
        try:
            service.start()
            yield service
        finally:
            service.stop()

    @contextmanager
    def running(self, *wanted: str) -> Iterator[list[Replica]]:
        with ExitStack() as stack:
            replicas = [Replica(release, self) for release in wanted]
            for replica in replicas:
                replica.start(stack)
            yield replicas

    def add_account(self) -> None:
        token = (self.auth_data / "run" / "admin.token").read_text().strip()
        metadata = (("authorization", f"Bearer {token}"),)
        with grpc.insecure_channel(self.target) as channel:
            admin = admin_pb2_grpc.AdminStub(channel)
            domain = admin_pb2.CreateDomainRequest(domain=admin_pb2.Domain(name="example.test"))
            admin.CreateDomain(domain, metadata=metadata, timeout=PATIENCE)
            account = admin_pb2.CreateAccountRequest(
                account=admin_pb2.Account(address=USER), password=PASSWORD.encode()
            )
            admin.CreateAccount(account, metadata=metadata, timeout=PATIENCE)


@pytest.fixture
def house(tmp_path: Path, releases: dict[str, Path]) -> House:
    return House(tmp_path, releases)


@pytest.mark.parametrize("auth", ["old", "new"])
def test_both_releases_at_once(house: House, auth: str) -> None:
    with house.auth(auth):
        house.add_account()
        with house.running("old", "new") as (old, new):
            work_together(old, new, "a")
            work_together(new, old, "b")


def test_upgrade_and_back(house: House) -> None:
    """Old, then auth first, then the workers, then all the way back: nothing is lost or doubled."""
    known: dict[int, tuple[str, frozenset[bytes]]] = {}
    validity: set[bytes] = set()
    steps = [("old", "old"), ("new", "old"), ("new", "new"), ("old", "new"), ("old", "old")]
    for number, (auth, workers) in enumerate(steps):
        with house.auth(auth):
            if not number:
                house.add_account()
            with house.running(workers) as (replica,):
                before = replica.messages() if number else {}
                assert before == known, f"after step {number}"
                for count in range(3):
                    replica.deliver(f"{number}-{count}")
                with replica.imap() as client:
                    uid = max(listed(client))
                    client.uid("STORE", str(uid), "+FLAGS", f"(\\Flagged step{number})")
                    known = listed(client)
                    assert min(known.keys() - before.keys()) > max(before, default=0)
                    status = client.status("INBOX", "(UIDVALIDITY)")[1][0]
                    assert isinstance(status, bytes)
                    validity.add(status)
    assert len(known) == 15
    assert len(validity) == 1


def test_the_old_release_leaves_a_newer_database_alone(house: House) -> None:
    """After a release with a newer schema: the reason is logged, all answers are "later"."""
    with house.auth("new"):
        house.add_account()
    database = house.auth_data / "auth" / "accounts.sqlite"
    with sqlite3.connect(database) as connection:
        table = connection.execute(
            "SELECT name FROM sqlite_master WHERE sql LIKE '%version_num%'"
        ).fetchone()[0]
        connection.execute(f"UPDATE {table} SET version_num = '9999'")
    with house.auth("old") as auth:
        with grpc.insecure_channel(house.target) as channel:
            stub = auth_pb2_grpc.AuthStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.Lookup(auth_pb2.LookupRequest(address=USER), timeout=PATIENCE)
        refused: Any = caught.value
        assert refused.code() is grpc.StatusCode.UNAVAILABLE
        assert "newer release" in auth.log()
