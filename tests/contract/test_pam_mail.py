"""System accounts from end to end: PAM checks, and their mail lies in their homes as their own."""

import os
import smtplib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from restante.cli.cert import make_certificate
from restante.store.identity import missing_capabilities
from restante.store.volume import create_volume
from tests.contract.pam_host import PamHost, skip_unless_possible
from tests.services.auth.process import auth_process
from tests.services.imap.wire import Wire
from tests.support import ServiceProcess
from tests.support.system import unique_message
from tests.unit.store.owners import owners_of

USERS = {"fred": 61001, "ann": 61002}
PASSWORD = "secret 1"


@pytest.fixture
def top() -> Iterator[Path]:
    skip_unless_possible()
    if missing_capabilities():
        pytest.skip("needs CAP_SETUID and CAP_SETGID: acts as several users")
    with tempfile.TemporaryDirectory(prefix="rstpam") as name:
        path = Path(name)
        path.chmod(0o711)
        yield path


def test_mail_of_system_accounts(top: Path) -> None:
    host = PamHost(top)
    for name, uid in USERS.items():
        host.user(name, uid, password=PASSWORD)
        (host.homes / name).mkdir(mode=0o700)
        os.chown(host.homes / name, uid, uid)
    host.service("imap", "auth required pam_unix.so", "account required pam_unix.so")
    data, root = top / "data", top / "mail"
    data.mkdir()
    create_volume(root)
    make_certificate(data / "tls" / "cert.pem", data / "tls" / "key.pem", ["localhost"])
    modules = {"RESTANTE_AUTH_MODULES": "pam", "RESTANTE_AUTH_DEFAULT_DOMAIN": "example.test"}
    env = {
        "RESTANTE_MAIL_ROOT": str(root),
        "RESTANTE_AUTH_TARGET": f"unix:{data}/run/auth.sock",
        "RESTANTE_WORKERS": "1",
        "RESTANTE_DRAIN_SECONDS": "1",
    }
    with (
        auth_process(data, wrapper=host.wrapper, RESTANTE_AUTH_PAM_MAX_UID="62000", **modules),
        ServiceProcess("delivery", data, env) as delivery,
        ServiceProcess("imap", data, env) as imap,
    ):
        with smtplib.LMTP(*delivery.address("lmtp_listen")) as client:
            for name in USERS:
                assert not client.sendmail("x@x.test", f"{name}@example.test", unique_message())
            assert client.mail("x@x.test")[0] == 250
            assert client.rcpt("root@example.test")[0] == 550
        for name in USERS:
            wire = Wire(imap.address())
            wire.ok(f'LOGIN {name} "{PASSWORD}"')
            assert b"* 1 EXISTS" in wire.ok("SELECT INBOX")
            wire.ok("STORE 1 +FLAGS (\\Flagged)")
            wire.ok("LOGOUT")
    for name, uid in USERS.items():
        assert owners_of(host.homes / name) == {(uid, uid)}
        assert (host.homes / name / "Maildir" / "cur").is_dir()
