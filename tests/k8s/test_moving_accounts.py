"""docs/scale.md, "Moving an account": to another volume, with its UIDs, and with no mail lost."""

import imaplib
import os
import re
import smtplib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from restante.store.volume import create_volume
from tests.k8s.engine import until
from tests.k8s.rendering import ROOT
from tests.support.system import System

pytestmark = pytest.mark.slow

FRED = "fred@example.test"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    volume = tmp_path / "data" / "mail" / "v1"
    env = {
        "RESTANTE_MAIL_VOLUMES": str(volume),
        "RESTANTE_DELIVERY_DISABLED_ACCOUNTS": "defer",
        "RESTANTE_WORKERS": "2",
    }
    create_volume(volume)
    with System(tmp_path, ("auth", "delivery", "imap"), env) as running:
        running.add_account(FRED, "secret")
        yield running


def delivered(system: System, subject: str) -> bool:
    """Send a message; False where it is to be sent again later."""
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen")) as client:
        try:
            client.sendmail("", [FRED], f"Subject: {subject}\r\n\r\nHello.\r\n")
        except smtplib.SMTPRecipientsRefused as error:
            assert error.recipients[FRED][0] == 451
            return False
    return True


def statements() -> str:
    """Return the SQL of docs/scale.md."""
    text = (ROOT / "docs" / "scale.md").read_text()
    found = re.search(r"```sql\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def stored_home(system: System) -> str:
    """Return the account's home, below the mail root."""
    with closing(sqlite3.connect(system.data / "auth" / "accounts.sqlite")) as database:
        (home,) = database.execute("SELECT home FROM accounts WHERE address = ?", [FRED]).fetchone()
    return str(home)


def mailbox(system: System) -> imaplib.IMAP4:
    client = imaplib.IMAP4(*system.address("imap"))
    client.login(FRED, "secret")
    client.select("INBOX")
    return client


def messages(client: imaplib.IMAP4) -> list[bytes]:
    """Return UIDs and flags; only the first session sees a message as recent."""
    rows = client.uid("FETCH", "1:*", "(UID FLAGS)")[1]
    return [row.replace(b" \\Recent", b"").replace(b"\\Recent", b"") for row in rows if row]


def restante(system: System, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "services", *words],
        env={**os.environ, "RESTANTE_DATA": str(system.data)},
        check=True,
        capture_output=True,
    )


def test_an_account_moves_to_another_volume(system: System) -> None:
    for number in range(3):
        assert delivered(system, f"message {number}")
    open_session = mailbox(system)
    open_session.uid("STORE", "2", "+FLAGS", "(\\Seen kept)")
    before, validity = messages(open_session), open_session.untagged_responses["UIDVALIDITY"]

    # 1. Nobody reads, and mail waits at its sender.
    restante(system, "account", "disable", FRED)
    open_session.socket().settimeout(60)
    while open_session.socket().recv(4096):
        pass  # a goodbye, and the end
    until(lambda: not delivered(system, "while it moves"), lambda: "mail is still taken")
    home = system.mail_root / stored_home(system)
    counted = len(list((home / "Maildir").glob("*/*M*")))

    # 2. The mail is copied, 3. the account is told, 4. and comes back.
    new = system.mail_root / "v1" / stored_home(system)
    new.parent.mkdir(parents=True)
    subprocess.run(["cp", "-a", home, new], check=True)
    with closing(sqlite3.connect(system.data / "auth" / "accounts.sqlite")) as database:
        database.executescript(statements().replace("USER@DOMAIN", FRED).replace("VOLUME", "v1"))
    restante(system, "account", "enable", FRED)
    home.rename(home.with_name(".fred.old"))

    until(lambda: delivered(system, "after it moved"), lambda: "mail is not taken again")
    moved = mailbox(system)
    assert moved.untagged_responses["UIDVALIDITY"] == validity
    after = messages(moved)
    assert after[: len(before)] == before
    assert len(after) == counted + 1
    assert not home.exists()
