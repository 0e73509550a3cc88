"""Debian's courier-imap, courier-pop and Courier's tools, unchanged, on our authdaemond socket."""

import contextlib
import hmac
import imaplib
import os
import poplib
import pwd
import socket
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from restante.rpc.admin_client import AdminClient, read_token
from restante.userdb import edit
from restante.wire import hmac_state
from tests.bench.peers import free_port
from tests.contract.courier import CourierRoom, courier_room
from tests.services.auth.process import AuthProcess, auth_process

pytestmark = pytest.mark.slow

FRED = "fred@example.test"
MESSAGE = b"From: bob@x.test\nTo: fred@example.test\nSubject: hello\n\nHello.\n"

_SERVERS = """\
set -a
. /etc/courier/imapd
. /etc/courier/pop3d
IMAP_CAPABILITY="IMAP4rev1 UIDPLUS AUTH=PLAIN AUTH=CRAM-MD5"
POP3AUTH="PLAIN LOGIN CRAM-MD5"
lib=/usr/lib/courier/courier
tcpd="couriertcpd -address=127.0.0.1 -maxprocs=40 -maxperip=40 -nodnslookup -noidentlookup"
$tcpd {imap} $lib/imaplogin /usr/bin/imapd Maildir &
$tcpd {pop3} $lib/courierpop3login $lib/courierpop3d Maildir &
wait
"""


class Site:
    """Courier's two servers and our auth service, with fred and his message."""

    def __init__(self, room: CourierRoom) -> None:
        self.room = room
        self.imap_port, self.pop3_port = free_port(), free_port()
        self.data = room.work / "data"
        self.data.mkdir(mode=0o700)
        self.userdb = room.work / "accounts"
        owner = pwd.getpwnam("nobody")
        self.home = room.work / "mail" / "fred"
        maildir = self.home / "Maildir"
        for name in ("tmp", "new", "cur"):
            (maildir / name).mkdir(parents=True)
        (maildir / "new" / "1700000000.M1P1.mx").write_bytes(MESSAGE)
        for folder, _, files in os.walk(self.home):
            for path in (folder, *(os.path.join(folder, file) for file in files)):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        edit.set_fields(
            self.userdb,
            FRED,
            {
                "home": str(self.home),
                "uid": str(owner.pw_uid),
                "gid": str(owner.pw_gid),
                "mail": str(maildir),
                "systempw": "{PLAIN}secret",
                "hmac-md5pw": hmac_state.contexts("md5", b"secret"),
            },
        )
        room.start(_SERVERS.format(imap=self.imap_port, pop3=self.pop3_port))
        room.wait_for(port=self.imap_port)
        room.wait_for(port=self.pop3_port)

    @contextlib.contextmanager
    def auth(self) -> Iterator[AuthProcess]:
        settings = {
            "RESTANTE_AUTH_MODULES": "userdb sql",
            "RESTANTE_AUTH_USERDB": str(self.userdb),
            "RESTANTE_AUTH_AUTHDAEMON_LISTEN": f"unix:{self.room.socket}",
        }
        with auth_process(self.data, **settings) as process:
            yield process

    def imap(self) -> imaplib.IMAP4:
        return imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=60)

    def pop3(self) -> poplib.POP3:
        return poplib.POP3("127.0.0.1", self.pop3_port, timeout=60)

    def imap_says(self, user: str, password: str) -> str:
        """Return what a failed LOGIN is told, in small letters."""
        with self.imap() as client, pytest.raises(imaplib.IMAP4.error) as caught:
            client.login(user, password)
        return str(caught.value).lower()

    def pop3_says(self, user: str, password: str) -> str:
        client = self.pop3()
        client.user(user)
        with pytest.raises(poplib.error_proto) as caught:
            client.pass_(password)
        client.close()
        return str(caught.value).lower()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with courier_room() as room:
        yield Site(room)


def test_mail_is_read(site: Site) -> None:
    with site.auth():
        with site.imap() as imap:
            imap.login(FRED, "secret")
            assert imap.select("INBOX") == ("OK", [b"1"])
            _, found = imap.fetch("1", "(BODY.PEEK[])")
            assert found[0] is not None
            assert found[0][1] == MESSAGE.replace(b"\n", b"\r\n")
        with site.imap() as imap:
            assert imap.authenticate("PLAIN", lambda _: f"\0{FRED}\0secret".encode())[0] == "OK"
        pop3 = site.pop3()
        pop3.user(FRED)
        pop3.pass_("secret")
        assert pop3.stat()[0] == 1
        assert b"Subject: hello" in pop3.retr(1)[1]
        pop3.quit()


def test_wrong_password_and_unknown_user_read_alike(site: Site) -> None:
    # Courier's servers wait some seconds before they say so.
    with site.auth(), ThreadPoolExecutor() as pool:
        for says in (site.imap_says, site.pop3_says):
            wrong = pool.submit(says, FRED, "wrong")
            unknown = pool.submit(says, "nobody@example.test", "secret")
            assert "login failed" in wrong.result()
            assert unknown.result() == wrong.result()


def test_a_fault_of_ours_is_no_verdict(site: Site) -> None:
    """Closing without a byte, and no socket at all, are temporary for Courier, too."""
    with site.auth():
        site.userdb.chmod(0o644)
        try:
            said = [site.imap_says(FRED, "secret"), site.pop3_says(FRED, "secret")]
        finally:
            site.userdb.chmod(0o600)
    said += [site.imap_says(FRED, "secret"), site.pop3_says(FRED, "secret")]
    for text in said:
        assert "login failed" not in text
        assert "temporary" in text
    with site.auth(), site.imap() as imap:
        imap.login(FRED, "secret")


def test_options_are_obeyed(site: Site) -> None:
    with site.auth():
        edit.set_fields(site.userdb, FRED, {"options": "disableimap=1,disablepop3=1"})
        try:
            with socket.create_connection(("127.0.0.1", site.imap_port), timeout=60) as s:
                lines = s.makefile("rb")
                lines.readline()
                s.sendall(f"a LOGIN {FRED} secret\r\n".encode())
                assert lines.readline() == b"a OK LOGIN Ok.\r\n"
                assert lines.readline() == b"* BYE IMAP access disabled for this account.\r\n"
            assert "access disabled" in site.pop3_says(FRED, "secret")
        finally:
            edit.unset_fields(site.userdb, FRED, ["options"])
        with site.imap() as imap:
            imap.login(FRED, "secret")


def test_the_tools(site: Site) -> None:
    room = site.room
    with site.auth() as process:
        with AdminClient(process.target, read_token(site.data / "run")) as admin:
            admin.create_domain("sql.test")
            admin.create_account("ann@sql.test", "old word", uid=1001, gid=1002, options="group=a")
        shown = room.ok("authtest -s imap fred@example.test secret").decode()
        uid, gid = site.home.stat().st_uid, site.home.stat().st_gid
        assert f"Authenticated: fred@example.test  (uid {uid}, gid {gid})" in shown
        assert f"Home Directory: {site.home}" in shown
        assert "Options: group=a" in room.ok("authtest ann@sql.test").decode()
        assert room.run("authtest fred@example.test wrong").returncode == 1
        assert room.run("authtest nobody@example.test").returncode == 1
        listed = room.ok("authenumerate -o").decode().splitlines()
        assert any(line.startswith(f"{FRED}\t{uid}\t{gid}\t{site.home}\t") for line in listed)
        assert any(line.startswith("ann@sql.test\t1001\t1002\t") for line in listed)
        assert any(line.endswith("\tgroup=a") for line in listed)
        room.ok("authtest ann@sql.test 'old word' 'new word'")
        assert room.run("authtest ann@sql.test 'old word'").returncode == 1
        room.ok("authtest ann@sql.test 'new word'")


def test_cram_md5(site: Site) -> None:
    def answer(password: bytes, challenge: bytes) -> bytes:
        return FRED.encode() + b" " + hmac.digest(password, challenge, "md5").hex().encode()

    with site.auth():
        with site.imap() as imap:
            assert imap.authenticate("CRAM-MD5", lambda c: answer(b"secret", c))[0] == "OK"
            assert imap.select("INBOX")[0] == "OK"
        with site.imap() as imap, pytest.raises(imaplib.IMAP4.error, match=r"(?i)login failed"):
            imap.authenticate("CRAM-MD5", lambda c: answer(b"wrong", c))
        pop3 = site.pop3()
        challenge = pop3._shortcmd("AUTH CRAM-MD5").removeprefix(b"+ ")  # type: ignore[attr-defined]
        pop3._shortcmd(b64encode(answer(b"secret", b64decode(challenge))).decode())  # type: ignore[attr-defined]
        assert pop3.stat()[0] == 1
        pop3.quit()
