"""A database that came back with another secret, or without one: `restante doctor` tells."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pyotp
import pytest

from restante.rpc.self.v1 import self_pb2 as pb
from restante.rpc.self.v1 import self_pb2_grpc
from restante.store.volume import create_volume
from tests.services.auth.test_doctor import doctor, of
from tests.support.process import ROOT, clean_environment
from tests.support.system import System

USER, PASSWORD = "fred@example.test", "correct horse battery"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory whose only account has one-time codes; nothing runs any more."""
    with System(tmp_path, []) as system:
        system.add_account(USER, PASSWORD)
        with grpc.insecure_channel(system.auth_target) as channel:
            stub: Any = self_pb2_grpc.SelfStub(channel)
            login = stub.Login(pb.LoginRequest(user=USER, password=PASSWORD.encode()))
            token = (("authorization", f"Bearer {login.token}"),)
            begun = stub.BeginTotp(pb.BeginTotpRequest(), metadata=token, timeout=10)
            code = pyotp.TOTP(begun.secret).at(int(time.time()))
            stub.ConfirmTotp(pb.ConfirmTotpRequest(code=code), metadata=token, timeout=10)
        create_volume(system.mail_root)
        return system.data


def test_the_secret_fits_or_not(data: Path) -> None:
    _, found = doctor(data)
    assert of(found, "secret of auth") == [("OK", "opens the second factors of 1 accounts")]
    _, found = doctor(data, RESTANTE_AUTH_SECRET="another secret of some length")
    assert of(found, "secret of auth") == [("FAIL", "does not open 1 of 1 second factors")]
    (data / "auth" / "secret").unlink()
    _, found = doctor(data)
    status, text = of(found, "secret of auth")[0]
    assert (status, text) == ("FAIL", "is not there; 1 second factors were sealed with it")
    assert not (data / "auth" / "secret").exists(), "looking makes none"


def test_the_way_out_without_the_secret(data: Path) -> None:
    """Auth with a new secret: the account is shut until its second factor is reset."""
    (data / "auth" / "secret").unlink()
    with System(data.parent, []) as system:
        for words in (("reset", USER, "--yes"), ("show", USER)):
            done = subprocess.run(
                [sys.executable, "-m", "services", "security", *words],
                env=clean_environment(data, system.env),
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        assert done.stdout == "", "piped, what is only the password has no lines"
    _, found = doctor(data)
    assert of(found, "secret of auth") == [("OK", "no second factors are sealed with it")]


def test_without_a_database(tmp_path: Path) -> None:
    _, found = doctor(tmp_path)
    assert of(found, "secret of auth") == [("OK", "no second factors are sealed with it")]
    assert not (tmp_path / "auth").exists()
