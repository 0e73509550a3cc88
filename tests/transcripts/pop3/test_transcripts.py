"""POP3 transcripts played against our service and, where it is installed, against Dovecot.

C: is what the client sends, S: what must come back. <user>, <password> and <plain> stand for the
account; any other <word> matches text that a server may choose. The same files lie in both
Maildirs, so that beyond the transcripts every size and every octet is compared as well.
"""

import base64
import poplib
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import System
from tests.transcripts.imap.odd_messages import ODD
from tests.transcripts.imap.samples import SAMPLES
from tests.transcripts.pop3 import dovecot

PASSWORD = "secret"
FILES = sorted(Path(__file__).parent.glob("*.txt"))
MESSAGES = [
    b"Subject: one\n\nfirst\nsecond\n",
    b"Subject: dots\n\n.\n..\n.x\n",
    b"Subject: header alone\n\n",
]

Target = tuple[str, int, dict[str, Path]]  # host, port, user -> Maildir
USERS = [*(path.stem for path in FILES), "odd"]


def fill(maildir: Path, messages: list[bytes]) -> None:
    """Drop messages as another program would: no sizes in the names."""
    for directory in ("tmp", "new", "cur"):
        (maildir / directory).mkdir(parents=True, exist_ok=True)
    for number, message in enumerate(messages):
        (maildir / "cur" / f"16000000{number:02d}.M1P1.host:2,").write_bytes(message)


def odd() -> list[bytes]:
    """The odd messages of IMAP's oracle, as files with LF."""
    return [wire.replace(b"\r\n", b"\n") for wire in (SAMPLES | ODD).values()]


@pytest.fixture(scope="module")
def restante(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with System(tmp_path_factory.mktemp("pop3"), ("pop3",)) as system:
        maildirs = {}
        for user in USERS:
            address = f"{user}@example.test"
            system.add_account(address, PASSWORD)
            home = system.mail_root / "example.test" / user[0] / user[:2] / user
            maildirs[address] = home / "Maildir"
            fill(home / "Maildir", odd() if user == "odd" else MESSAGES)
        yield (*system.address("pop3"), maildirs)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Target]:
    reason = dovecot.why_not()
    if reason:
        pytest.skip(reason)
    with dovecot.running(PASSWORD) as (port, homes):
        maildirs = {}
        for user in USERS:
            address = f"{user}@example.test"
            maildirs[address] = homes / address / "Maildir"
            fill(maildirs[address], odd() if user == "odd" else MESSAGES)
            subprocess.run(["chown", "-R", "nobody", str(homes / address)], check=True)
        yield "127.0.0.1", port, maildirs


def pattern(line: str) -> re.Pattern[str]:
    pieces = re.split(r"<\w+>", line)
    return re.compile(".*".join(map(re.escape, pieces)) + r"\Z")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("server", ["restante", "oracle"])
def test_transcript(path: Path, server: str, request: pytest.FixtureRequest) -> None:
    host, port, _ = request.getfixturevalue(server)
    user = f"{path.stem}@example.test"
    plain = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
    given = {"<user>": user, "<password>": PASSWORD, "<plain>": plain}
    with socket.create_connection((host, port), timeout=20) as connection:
        stream = connection.makefile("rb")
        for number, line in enumerate(path.read_text().splitlines(), 1):
            kind, text = line[:2], line[3:]
            if kind == "C:":
                for name, value in given.items():
                    text = text.replace(name, value)
                connection.sendall(text.encode() + b"\r\n")
            elif kind == "S:":
                got = stream.readline().decode().removesuffix("\r\n")
                assert pattern(text).match(got), f"{path.name}:{number}: {got!r}"
        assert stream.read() == b""
        stream.close()


def everything(target: Target) -> list[tuple[int, bytes, bytes, bytes]]:
    """Size, message, TOP 0 and TOP 2 of each message."""
    host, port, _ = target
    client = poplib.POP3(host, port, timeout=20)
    client.user("odd@example.test")
    client.pass_(PASSWORD)
    sizes = [int(line.split()[1]) for line in client.list()[1]]
    found = []
    for number, size in enumerate(sizes, 1):
        parts = [client.retr(number), client.top(number, 0), client.top(number, 2)]
        whole, header, some = (b"\n".join(part[1]) for part in parts)
        found.append((size, whole, header, some))
    client.quit()
    return found


def test_the_same_octets_as_dovecot(restante: Target, oracle: Target) -> None:
    poplib._MAXLINE = 1 << 20  # type: ignore[attr-defined] # lines as long as the sample's
    ours, theirs = everything(restante), everything(oracle)
    assert len(ours) == len(theirs) == len(SAMPLES | ODD)
    for name, mine, other in zip(SAMPLES | ODD, ours, theirs, strict=True):
        assert mine == other, name
