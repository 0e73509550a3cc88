"""The way to auth through stunnel, by what `render --stunnel` writes: TLS both ways, or nothing."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.programs import need
from tests.contract.deploy_exim.conftest import MakeExim
from tests.contract.deploy_exim.harness import DEPLOY, USER, Exim
from tests.contract.deploy_exim.stack import FRED, PASSWORD, Stack
from tests.support.certificates import Authority

pytestmark = pytest.mark.slow


@pytest.fixture
def secured(folder: Path, authority: Authority) -> Iterator[Stack]:
    """Auth shows a certificate for its address, and wants one of its clients."""
    stack = Stack(folder / "stack")
    certificate, key = authority.issue(stack.address)
    stack.system["auth"].env |= {
        "RESTANTE_AUTH_AUTHDAEMON_CERTIFICATE": str(certificate),
        "RESTANTE_AUTH_AUTHDAEMON_KEY": str(key),
        "RESTANTE_AUTH_AUTHDAEMON_CLIENT_CA": str(authority.certificate),
    }
    with stack:
        yield stack


@contextmanager
def tunnel(exim: Exim) -> Iterator[None]:
    """Run it as entrypoint does; ready once its socket is there."""
    written = subprocess.run(
        [str(DEPLOY / "render"), "--stunnel"], env=exim.environment, capture_output=True, check=True
    )
    file = exim.top / "stunnel.conf"
    file.write_bytes(written.stdout)
    with (exim.top / "stunnel.log").open("wb") as log:
        process = subprocess.Popen(
            [need("stunnel4"), str(file)],
            user=USER,
            group=USER,
            extra_groups=[],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 30
        while not (exim.top / "auth.sock").exists():
            assert time.monotonic() < deadline, (exim.top / "stunnel.log").read_text()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                raise AssertionError((exim.top / "stunnel.log").read_text())
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("fault", ["", "another CA", "another name", "no client certificate"])
def test_auth_behind_tls(
    fault: str,
    secured: Stack,
    make_exim: MakeExim,
    folder: Path,
    authority: Authority,
) -> None:
    need("stunnel4")
    ca = authority
    if fault == "another CA":
        ca = Authority(folder / "other")
    certificate, key = authority.issue_client("exim")
    for file in (certificate, key, ca.certificate):
        file.chmod(0o644)
    exim = make_exim(
        secured,
        start=False,
        EXIM_VERIFY="readsocket",
        EXIM_DOMAINS="example.test",
        EXIM_AUTH_TLS="yes",
        EXIM_AUTH_CA=str(ca.certificate),
        EXIM_AUTH_CERTIFICATE="/none" if fault == "no client certificate" else str(certificate),
        EXIM_AUTH_KEY=str(key),
    )
    if fault == "another name":
        # The same place under a name that is not in auth's certificate.
        exim.environment["EXIM_AUTH"] = f"localhost:{secured.auth_port}"
    exim.top.chmod(0o777)  # where the socket is made
    with tunnel(exim):
        exim.start()
        if fault:
            assert exim.rcpt(FRED)[0] == 451
            assert exim.rcpt("nobody@example.test")[0] == 451
            return
        assert exim.rcpt(FRED)[0] == 250
        assert exim.rcpt("nobody@example.test")[0] == 550
        assert exim.rcpt("x@unknown.test")[0] == 550
        with exim.login(FRED, PASSWORD, trust=authority.certificate) as client:
            assert client.noop()[0] == 250
    assert exim.rcpt(FRED)[0] == 451  # the tunnel is gone
