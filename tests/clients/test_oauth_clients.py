"""OAUTHBEARER and XOAUTH2 with curl and mpop, against real services and an issuer on loopback."""

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.programs import need, run
from tests.services.auth.issuer import Issuer
from tests.support import System

USER, PASSWORD = "fred@example.test", "s3cret phrase"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    found = Issuer()
    asyncio.run_coroutine_threadsafe(found.__aenter__(), loop).result(20)
    yield found
    asyncio.run_coroutine_threadsafe(found.__aexit__(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[System]:
    env = {
        "RESTANTE_SASL_MECHANISMS": "OAUTHBEARER XOAUTH2",
        "RESTANTE_AUTH_OAUTH_ISSUER": issuer.url,
        "RESTANTE_AUTH_OAUTH_AUDIENCE": "mail",
    }
    with System(tmp_path_factory.mktemp("oauth"), ("pop3", "imap"), env) as system:
        system.add_account(USER, PASSWORD)
        yield system


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
@pytest.mark.parametrize("service", ["imap", "pop3"])
def test_curl(system: System, issuer: Issuer, service: str, mechanism: str) -> None:
    curl = need("curl")
    _, port = system.address(service)
    base = [curl, "-sS", "--ssl-reqd", "--cacert", str(system.certificate), "--user", USER]
    base += ["--login-options", f"AUTH={mechanism}", f"{service}://localhost:{port}/"]
    said = run([*base, "--oauth2-bearer", issuer.token().decode()]).decode()
    assert "INBOX" in said if service == "imap" else said.split() == []
    expired = [*base, "--oauth2-bearer", issuer.token(exp=1).decode()]
    done = subprocess.run(expired, capture_output=True, timeout=60, check=False)
    assert done.returncode == 67, done.stderr  # "The user name, password, or similar..."


@pytest.mark.parametrize("mechanism", ["oauthbearer", "xoauth2"])
def test_mpop(system: System, issuer: Issuer, mechanism: str, tmp_path: Path) -> None:
    mpop = need("mpop")
    _, port = system.address("pop3", "tls_listen")
    settings = tmp_path / "mpoprc"

    def write(token: bytes) -> None:
        (tmp_path / "token").write_bytes(token)
        settings.write_text(
            f"account default\nhost localhost\nport {port}\nuser {USER}\n"
            f"passwordeval cat {tmp_path}/token\nauth {mechanism}\ntls on\ntls_starttls off\n"
            f"tls_trust_file {system.certificate}\ndelivery maildir {tmp_path}\n"
            f"uidls_file {tmp_path}/uidls\n"
        )
        settings.chmod(0o600)

    write(issuer.token())
    run([mpop, "-C", str(settings), "--auth-only"])
    write(issuer.token(aud="other"))
    done = subprocess.run(
        [mpop, "-C", str(settings), "--auth-only"], capture_output=True, timeout=60, check=False
    )
    assert done.returncode != 0
