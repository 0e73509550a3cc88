"""POP3 clients that people use, against real services over plain and TLS connections."""

import os
import poplib
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.programs import need, run
from tests.support import System
from tests.support.system import unique_message

PASSWORD = "secret1"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("clients"), ("delivery", "pop3")) as system:
        yield system


@pytest.fixture
def user(system: System, request: pytest.FixtureRequest) -> str:
    """A fresh account with five messages, one of them with dots at line starts, one of 2 MB."""
    address = f"u{abs(hash(request.node.name)) % 10**12}@example.test"
    system.add_account(address, PASSWORD)
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen")) as client:
        for number in range(3):
            client.sendmail("bob@x.test", address, unique_message(f"mail {number}"))
        client.sendmail("bob@x.test", address, unique_message("dots") + b".\r\n..\r\n.x\r\n")
        client.sendmail("bob@x.test", address, unique_message("large", 2_000_000))
    return address


def count(system: System, address: str) -> int:
    client = poplib.POP3(*system.address("pop3"))
    client.user(address)
    client.pass_(PASSWORD)
    found: int = client.stat()[0]
    client.quit()
    return found


def subjects(messages: list[bytes]) -> set[bytes]:
    return {
        line
        for message in messages
        for line in message.replace(b"\r\n", b"\n").split(b"\n")
        if line.startswith(b"Subject: ")
    }


ALL = {
    b"Subject: mail 0",
    b"Subject: mail 1",
    b"Subject: mail 2",
    b"Subject: dots",
    b"Subject: large",
}


@pytest.mark.parametrize("kind", ["plain", "stls", "tls"])
def test_curl(system: System, user: str, kind: str) -> None:
    curl = need("curl")
    tls = kind == "tls"
    _, port = system.address("pop3", "tls_listen" if tls else "listen")
    url = f"pop3{'s' if tls else ''}://localhost:{port}/"
    options = ["--cacert", str(system.certificate)]
    if kind == "stls":
        options.append("--ssl-reqd")
    base = [curl, "-sS", "--user", f"{user}:{PASSWORD}", *options]
    listing = run([*base, url]).decode().split()
    assert len(listing) == 10
    uidls = run([*base, "-X", "UIDL", url]).decode().split()[1::2]
    assert len(set(uidls)) == 5
    messages = [run([*base, f"{url}{number}"]) for number in range(1, 6)]
    assert subjects(messages) == ALL
    assert messages[3].endswith(b".\r\n..\r\n.x\r\n")
    run([*base, "-X", "DELE 1", "--head", url])
    assert count(system, user) == 4


@pytest.mark.parametrize("tls", [False, True])
def test_fetchmail(system: System, user: str, tls: bool, tmp_path: Path) -> None:
    fetchmail = need("fetchmail")
    _, port = system.address("pop3", "tls_listen" if tls else "listen")
    box = tmp_path / "box"
    settings = tmp_path / "rc"
    settings.write_text(
        f'poll localhost protocol pop3 port {port} uidl\n user "{user}" password "{PASSWORD}"\n'
        + (f' ssl sslcertck sslcertfile "{system.certificate}"\n' if tls else ' sslproto ""\n')
        + f' fetchall nokeep mda "cat >> {box}"\n'
    )
    settings.chmod(0o600)
    environment = {**os.environ, "HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path)}
    run([fetchmail, "-f", str(settings), "--nodetach", "-N"], env=environment)
    assert subjects([box.read_bytes()]) == ALL
    assert count(system, user) == 0


def test_fetchmail_keeps_and_fetches_new_mail_only(
    system: System, user: str, tmp_path: Path
) -> None:
    fetchmail = need("fetchmail")
    _, port = system.address("pop3")
    box = tmp_path / "box"
    settings = tmp_path / "rc"
    settings.write_text(
        f'poll localhost protocol pop3 port {port} uidl\n user "{user}" password "{PASSWORD}"\n'
        f' sslproto "" keep mda "cat >> {box}"\n'
    )
    settings.chmod(0o600)
    environment = {**os.environ, "HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path)}
    command = [fetchmail, "-f", str(settings), "--nodetach", "-N"]
    run(command, env=environment)
    first = box.read_bytes()
    assert subprocess.run(command, env=environment, check=False).returncode == 1  # no mail
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen")) as client:
        client.sendmail("bob@x.test", user, unique_message("later"))
    run(command, env=environment)
    assert subjects([box.read_bytes()[len(first) :]]) == {b"Subject: later"}
    assert count(system, user) == 6


@pytest.mark.parametrize("tls", ["off", "on", "starttls"])
def test_mpop(system: System, user: str, tls: str, tmp_path: Path) -> None:
    mpop = need("mpop")
    _, port = system.address("pop3", "tls_listen" if tls == "on" else "listen")
    for directory in ("new", "cur", "tmp"):
        (tmp_path / "maildir" / directory).mkdir(parents=True)
    settings = tmp_path / "mpoprc"
    settings.write_text(
        f"account default\nhost localhost\nport {port}\nuser {user}\npassword {PASSWORD}\n"
        f"delivery maildir {tmp_path}/maildir\nuidls_file {tmp_path}/uidls\nkeep off\n"
        f"tls {'off' if tls == 'off' else 'on'}\n"
        + ("" if tls == "off" else f"tls_starttls {'on' if tls == 'starttls' else 'off'}\n")
        + ("" if tls == "off" else f"tls_trust_file {system.certificate}\n")
        + ("auth user\n" if tls == "off" else "auth plain\n")
    )
    settings.chmod(0o600)
    run([mpop, "-C", str(settings), "-Q"])
    files = list((tmp_path / "maildir" / "new").iterdir())
    assert subjects([file.read_bytes() for file in files]) == ALL
    assert count(system, user) == 0


@pytest.mark.parametrize("tls", [False, True])
def test_getmail(system: System, user: str, tls: bool, tmp_path: Path) -> None:
    getmail = need("getmail")
    _, port = system.address("pop3", "tls_listen" if tls else "listen")
    for directory in ("new", "cur", "tmp"):
        (tmp_path / "maildir" / directory).mkdir(parents=True)
    settings = tmp_path / "getmailrc"
    retriever = "SimplePOP3SSLRetriever" if tls else "SimplePOP3Retriever"
    mda = tmp_path / "mda"
    mda.write_text('#!/bin/sh\ncat > "$(mktemp "$1/new/XXXXXXXX")"\n')
    mda.chmod(0o700)
    settings.write_text(
        f"[retriever]\ntype = {retriever}\nserver = localhost\nport = {port}\n"
        f"username = {user}\npassword = {PASSWORD}\n"
        + (f"ca_certs = {system.certificate}\n" if tls else "")
        # Its own Maildir delivery refuses to run as root, as tests in a container do.
        + f"[destination]\ntype = MDA_external\npath = {mda}\n"
        f'arguments = ("{tmp_path}/maildir",)\nallow_root_commands = true\n'
        "[options]\ndelete = true\nread_all = true\n"
    )
    settings.chmod(0o600)
    command = [getmail, f"--getmaildir={tmp_path}", f"--rcfile={settings}"]
    run(command)
    files = list((tmp_path / "maildir" / "new").iterdir())
    assert subjects([file.read_bytes() for file in files]) == ALL
    assert count(system, user) == 0
