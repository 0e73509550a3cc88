"""Real programs against the whole system, by testcontainers and by compose: mail in, mail out."""

import re
import ssl
import urllib.request
import uuid
from pathlib import Path

import pytest

from tests.clients.programs import need, run
from tests.clients.test_imap_clients import in_terminal
from tests.e2e.front import Front
from tests.e2e.stack import PASSWORD

pytestmark = pytest.mark.e2e

BOB = "bob@elsewhere.test"  # a sender outside


def swaks(system: Front, port: int, to: str, *more: str, sender: str = BOB) -> str:
    """Send a message with a subject of its own; return the subject. AssertionError if refused."""
    subject = f"swaks {uuid.uuid4().hex}"
    words = ["--server", "localhost", "--port", str(port), "--timeout", "30"]
    words += ["--from", sender, "--to", to, "--h-Subject", subject, "--helo", "client.test"]
    run([need("swaks"), *words, "--body", "one\\n.\\n..two", *more])
    return subject


def refusal(system: Front, port: int, to: str, *more: str, sender: str = BOB) -> str:
    """Return what a refused swaks was told."""
    with pytest.raises(AssertionError) as refused:
        swaks(system, port, to, *more, sender=sender)
    lines = [line for line in str(refused.value).splitlines() if line.startswith(("<**", "<~*"))]
    return " ".join(lines)


def login_as(user: str, password: str = PASSWORD) -> list[str]:
    """Return swaks's words for AUTH."""
    return ["--auth", "PLAIN", "--auth-user", user, "--auth-password", password]


# --- SMTP in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--tls"]], ids=["plain", "starttls"])
def test_mail_from_outside(system: Front, more: list[str]) -> None:
    user = system.user()
    subject = swaks(system, system.smtp, user, *more)
    text = system.wait_for(user, subject)
    assert b"\r\none\r\n.\r\n..two\r\n" in text
    assert text.startswith(b"Return-Path: <bob@elsewhere.test>\r\n")


def test_many_recipients_of_one_message(system: Front) -> None:
    users = [system.user() for _ in range(4)]
    subject = swaks(system, system.smtp, ",".join(users))
    for user in users:
        system.wait_for(user, subject)


def test_unknown_user(system: Front) -> None:
    assert "550" in refusal(system, system.smtp, "nobody.here@example.test")


def test_no_relay(system: Front) -> None:
    assert "550" in refusal(system, system.smtp, "somebody@far.test")


def test_aliases(system: Front) -> None:
    subject = swaks(system, system.smtp, "info@example.test")
    for user in ("fred@example.test", "ann@example.test"):
        system.wait_for(user, subject)


def test_catch_all(system: Front) -> None:
    subject = swaks(system, system.smtp, f"{uuid.uuid4().hex[:8]}@catch.test")
    system.wait_for("fred@example.test", subject)


def test_subaddress(system: Front) -> None:
    user = system.user()
    subject = swaks(system, system.smtp, user.replace("@", "+lists@"))
    system.wait_for(user, subject)


def test_over_quota(system: Front) -> None:
    """A full mailbox is a passing fault by default: exim keeps the mail, and delivers it later."""
    user = system.user(quota="1000S")
    auth, exim = system.nodes["auth-1"], system.nodes["exim"]
    try:
        subject = swaks(system, system.smtp, user)
    except AssertionError as refused:
        assert "<** 4" in str(refused), refused
        auth.run("restante", "account", "update", user, "--quota", "1000000S")
        subject = swaks(system, system.smtp, user)
    auth.run("restante", "account", "update", user, "--quota", "1000000S")
    exim.run("exim4", "-qff", check=False)
    system.wait_for(user, subject)


# --- submission ---------------------------------------------------------------------------------


def test_submission_with_starttls(system: Front) -> None:
    user, other = system.user(), system.user()
    more = ["--tls", *login_as(user)]
    subject = swaks(system, system.submission, other, *more, sender=user)
    assert b"esmtpsa" in system.wait_for(other, subject).lower()


def test_submission_over_tls(system: Front) -> None:
    user, other = system.user(), system.user()
    more = ["--tls-on-connect", *login_as(user)]
    subject = swaks(system, system.submissions, other, *more, sender=user)
    system.wait_for(other, subject)


def test_submission_needs_a_login(system: Front) -> None:
    user, other = system.user(), system.user()
    assert "530" in refusal(system, system.submission, other, "--tls", sender=user)
    wrong = ["--tls", *login_as(user, "wrong password")]
    assert "535" in refusal(system, system.submission, other, *wrong, sender=user)
    told = refusal(system, system.submission, other, "--tls", *login_as(user), sender=other)
    assert "550" in told  # somebody else's address


# --- mail out -----------------------------------------------------------------------------------


def environment(folder: Path) -> dict[str, str]:
    """Return an environment whose home is `folder`."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "FETCHMAILHOME": str(folder)}


def write(path: Path, text: str) -> Path:
    """Write a settings file that others cannot read."""
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def filled(system: Front) -> tuple[str, set[str]]:
    """Return an account with three messages, and their subjects."""
    user = system.user()
    subjects = {swaks(system, system.smtp, user) for _ in range(3)}
    for subject in subjects:
        system.wait_for(user, subject)
    return user, subjects


def subjects_in(texts: list[bytes]) -> set[str]:
    """Return the subjects of messages."""
    found = (match for text in texts for match in re.findall(rb"^Subject: (.*?)\r?$", text, re.M))
    return {match.decode() for match in found}


def count(system: Front, user: str) -> int:
    """Return how many messages there are."""
    client = system.login(user)
    try:
        return int(client.select()[1][0] or 0)
    finally:
        client.logout()


def test_fetchmail(system: Front, filled: tuple[str, set[str]], tmp_path: Path) -> None:
    user, subjects = filled
    box = tmp_path / "box"
    settings = write(
        tmp_path / "rc",
        f'poll localhost protocol pop3 port {system.pop3s} uidl\n user "{user}"'
        f' password "{PASSWORD}" ssl sslcertck sslcertfile "{system.ca}"\n'
        f' fetchall nokeep mda "cat >> {box}"\n',
    )
    run([need("fetchmail"), "-f", str(settings), "--nodetach", "-N"], env=environment(tmp_path))
    assert subjects_in([box.read_bytes()]) == subjects
    assert count(system, user) == 0


def maildir(folder: Path) -> Path:
    """Make a Maildir."""
    for name in ("new", "cur", "tmp"):
        (folder / "box" / name).mkdir(parents=True)
    return folder / "box"


def test_mpop(system: Front, filled: tuple[str, set[str]], tmp_path: Path) -> None:
    user, subjects = filled
    box = maildir(tmp_path)
    settings = write(
        tmp_path / "mpoprc",
        f"account default\nhost localhost\nport {system.pop3}\nuser {user}\npassword {PASSWORD}\n"
        f"delivery maildir {box}\nuidls_file {tmp_path}/uidls\nkeep off\nauth plain\n"
        f"tls on\ntls_starttls on\ntls_trust_file {system.ca}\n",
    )
    run([need("mpop"), "-C", str(settings), "-Q"])
    assert subjects_in([file.read_bytes() for file in (box / "new").iterdir()]) == subjects
    assert count(system, user) == 0


def test_getmail(system: Front, filled: tuple[str, set[str]], tmp_path: Path) -> None:
    user, subjects = filled
    box = maildir(tmp_path)
    mda = tmp_path / "mda"
    mda.write_text('#!/bin/sh\ncat > "$(mktemp "$1/new/XXXXXXXX")"\n')
    mda.chmod(0o700)
    settings = write(
        tmp_path / "getmailrc",
        f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\nport = {system.pop3s}\n"
        f"username = {user}\npassword = {PASSWORD}\nca_certs = {system.ca}\n"
        f"[destination]\ntype = MDA_external\npath = {mda}\n"
        f'arguments = ("{box}",)\nallow_root_commands = true\n[options]\ndelete = true\n',
    )
    run([need("getmail"), f"--getmaildir={tmp_path}", f"--rcfile={settings}"])
    assert subjects_in([file.read_bytes() for file in (box / "new").iterdir()]) == subjects
    assert count(system, user) == 0


def test_mbsync(system: Front, filled: tuple[str, set[str]], tmp_path: Path) -> None:
    """Both ways: what is removed and flagged here is so there, what comes there comes here."""
    user, subjects = filled
    local = tmp_path / "local"
    local.mkdir()
    settings = write(
        tmp_path / "mbsyncrc",
        f"IMAPAccount a\nHost localhost\nPort {system.imaps}\nUser {user}\n"
        f'Pass "{PASSWORD}"\nSSLType IMAPS\nCertificateFile {system.ca}\nAuthMechs LOGIN\n\n'
        f"IMAPStore far\nAccount a\n\nMaildirStore near\nPath {local}/\nInbox {local}/INBOX\n"
        "SubFolders Verbatim\n\nChannel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\n"
        "Expunge Both\nSyncState *\nSync All\n",
    )
    words = [need("mbsync"), "-c", str(settings), "-a", "-q"]
    run(words)
    inbox = local / "INBOX"

    def files() -> list[Path]:
        return [file for sub in ("cur", "new") for file in (inbox / sub).iterdir()]

    assert subjects_in([file.read_bytes() for file in files()]) == subjects
    assert len(files()) == 3, [file.read_bytes() for file in files()]
    one, two, _ = files()
    one.unlink()
    two.rename(inbox / "cur" / (two.name.partition(":")[0] + ":2,FS"))
    later = swaks(system, system.smtp, user)
    system.wait_for(user, later)
    run(words)
    client = system.login(user)
    assert client.select()[1] == [b"3"]
    assert len(client.search(None, "FLAGGED")[1][0].split()) == 1
    assert later in subjects_in([file.read_bytes() for file in files()])


def test_mutt(system: Front, filled: tuple[str, set[str]], tmp_path: Path) -> None:
    """Read, flag and save into a folder, over STARTTLS."""
    user, _ = filled
    url = f"imap://localhost:{system.imap}"
    settings = write(
        tmp_path / "muttrc",
        f'set imap_user="{user}" imap_pass="{PASSWORD}" ssl_starttls=yes ssl_force_tls=yes\n'
        f'set certificate_file="{system.ca}"\n'
        "set confirmappend=no confirmcreate=no delete=yes quit=yes move=no wait_key=no\n"
        'set header_cache="" record="" resolve=no timeout=1 mail_check=0\n'
        f"set folder={tmp_path} spoolfile={url}/INBOX\n",
    )
    keys = (
        f"<first-entry><copy-message>{tmp_path}/out<enter>"
        f"<last-entry><save-message>{url}/INBOX.Archive<enter>"
        "<first-entry><next-entry><flag-message><sync-mailbox><quit>"
    )
    words = [need("mutt"), "-n", "-F", str(settings), "-e", f'push "{keys}"']
    screen = in_terminal(words, environment(tmp_path), 60)
    assert (tmp_path / "out").exists(), screen[-2000:]
    client = system.login(user)
    assert client.select()[1] == [b"2"]
    assert client.search(None, "FLAGGED")[1][0].split() == [b"2"]
    assert client.select("INBOX.Archive")[1] == [b"1"]


def test_web(system: Front) -> None:
    context = ssl.create_default_context(cafile=str(system.ca))
    url = f"https://localhost:{system.https}/"
    with urllib.request.urlopen(url, context=context, timeout=30) as answer:
        assert answer.status == 200
        assert b"Restante" in answer.read()
