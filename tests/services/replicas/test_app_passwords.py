"""App passwords and second factors round two replicas of IMAP and POP3, as processes."""

import poplib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pyotp
import pytest

from restante.rpc.admin.v1.admin_pb2 import AppPassword
from restante.rpc.self.v1 import self_pb2 as pb
from restante.rpc.self.v1 import self_pb2_grpc
from tests.services.replicas.test_revocation import (
    BOUND,
    PASSWORD,
    PROMISED,
    Replicas,
    Sessions,
    imap,
    inbox,
    pop3,
    refused,
    replicas,
    user,
    warm,
)

__all__ = ["replicas", "user"]


class Owner:
    """The account's owner at Self, by blocking calls."""

    def __init__(self, channel: grpc.Channel, user: str) -> None:
        self._stub: Any = self_pb2_grpc.SelfStub(channel)
        login = self._stub.Login(pb.LoginRequest(user=user, password=PASSWORD.encode()))
        self._token = (("authorization", f"Bearer {login.token}"),)

    def call(self, name: str, request: object) -> Any:
        return getattr(self._stub, name)(request, metadata=self._token, timeout=10)

    def app_password(self, name: str, *, read_only: bool = False) -> tuple[str, str]:
        """Return (secret, id)."""
        wanted = AppPassword(name=name, read_only=read_only)
        made = self.call("CreateAppPassword", pb.CreateAppPasswordRequest(app_password=wanted))
        return made.secret, made.app_password.id

    def set_second_factor(self) -> None:
        begun = self.call("BeginTotp", pb.BeginTotpRequest())
        code = pyotp.TOTP(begun.secret).at(int(time.time()))
        self.call("ConfirmTotp", pb.ConfirmTotpRequest(code=code))


@contextmanager
def owner(running: Replicas, user: str) -> Iterator[Owner]:
    with grpc.insecure_channel(running.system.auth_target) as channel:
        yield Owner(channel, user)


def test_a_second_factor_shuts_the_main_password_out_everywhere(
    replicas: Replicas, user: str
) -> None:
    with owner(replicas, user) as fred:
        secret, _ = fred.app_password("phone")
        warm(replicas, user)
        sessions = Sessions(replicas, user)
        assert sessions.ends(fred.set_second_factor) < PROMISED + BOUND
        refused(replicas, user, PASSWORD)
        warm(replicas, user, secret)


def test_a_withdrawn_app_password_works_nowhere(replicas: Replicas, user: str) -> None:
    """Also out of the verdicts that every worker remembers."""
    with owner(replicas, user) as fred:
        secret, found = fred.app_password("phone")
        warm(replicas, user, secret)
        sessions = Sessions(replicas, user, secret)
        request = pb.DeleteAppPasswordRequest(id=found)
        assert sessions.ends(lambda: fred.call("DeleteAppPassword", request)) < PROMISED + BOUND
        refused(replicas, user, secret)
        warm(replicas, user)


def test_one_that_may_only_read_does_so_out_of_a_verdict_too(replicas: Replicas, user: str) -> None:
    with owner(replicas, user) as fred:
        secret, _ = fred.app_password("archive", read_only=True)
    warm(replicas, user, secret)
    for address in replicas.of("imap") * 2:
        with imap(address, user, secret) as wire:
            assert wire.run("SELECT INBOX")[-1].startswith(b"OK [READ-ONLY]")
            assert wire.no("STORE 1 +FLAGS \\Deleted").startswith(b"NO [NOPERM]")
            assert b"\\Seen" not in b"".join(wire.ok("FETCH 1 (BODY[] FLAGS)"))
    for address in replicas.of("pop3"):
        client = pop3(address, user, secret)
        client.retr(1)
        with pytest.raises(poplib.error_proto, match="may read, and change nothing"):
            client.dele(1)
        client.quit()
    assert b"* 3 EXISTS" in inbox(replicas, user, PASSWORD)
    with imap(replicas.of("imap")[0], user) as wire:
        assert wire.run("SELECT INBOX")[-1].startswith(b"OK [READ-WRITE]")
        assert wire.ok("SEARCH SEEN") == [b"* SEARCH"]
