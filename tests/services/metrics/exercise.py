"""Uses every protocol with the standard library's clients, right and wrong."""

import contextlib
import imaplib
import poplib
import smtplib
import socket
import urllib.error
import urllib.request

from tests.support import System
from tests.support.system import unique_message

USER = "fred@example.test"
PASSWORD = "correct horse"


def everything(system: System) -> None:
    """Deliver, fetch, idle, fail."""
    deliver(system)
    imap(system)
    pop3(system)
    web(system)


def deliver(system: System) -> None:
    """LMTP: one stored, one unknown, one command that is none. HTTP: one stored, one refused."""
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen")) as client:
        client.sendmail("ann@example.test", [USER], unique_message("lmtp"))
        with contextlib.suppress(smtplib.SMTPException):
            client.sendmail("ann@example.test", ["nobody@example.test"], unique_message("lost"))
        client.docmd("NONSENSE")
    host, port = system.address("delivery", "http_listen")
    token = (system.data / "run" / "delivery.token").read_text().strip()
    for bearer in (token, "wrong"):
        request = urllib.request.Request(
            f"http://{host}:{port}/v1/deliver?sender=ann@example.test&recipient={USER}",
            unique_message("http"),
            {"Authorization": f"Bearer {bearer}", "Content-Type": "message/rfc822"},
        )
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request) as answer:
            answer.read()


def imap(system: System) -> None:
    """A session over STARTTLS that is told of new mail while it idles, and wrong passwords."""
    client = imaplib.IMAP4(*system.address("imap"))
    with contextlib.suppress(imaplib.IMAP4.error):
        client.login(USER, "wrong")
    client.starttls(system.tls_client())
    client.login(USER, PASSWORD)
    client.select("INBOX")
    client.fetch("1:*", "(ENVELOPE BODY.PEEK[])")
    client.append("INBOX", "", None, unique_message("appended"))
    with contextlib.suppress(imaplib.IMAP4.error):
        client.select("nowhere")
    client.select("INBOX")
    client.send(b"i1 IDLE\r\n")
    while not client.readline().startswith(b"+"):
        pass
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen")) as lmtp:
        lmtp.sendmail("ann@example.test", [USER], unique_message("pushed"))
    while b"EXISTS" not in client.readline():
        pass
    client.send(b"DONE\r\n")
    while not client.readline().startswith(b"i1 OK"):
        pass
    client.logout()
    with socket.create_connection(system.address("imap"), timeout=20) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        sock.recv(1000)


def pop3(system: System) -> None:
    """A session from login to QUIT, and a wrong password."""
    client = poplib.POP3(*system.address("pop3"), timeout=20)
    client.user(USER)
    with contextlib.suppress(poplib.error_proto):
        client.pass_("wrong")
    client.user(USER)
    client.pass_(PASSWORD)
    client.list()
    client.retr(1)
    client.dele(1)
    client.quit()


def web(system: System) -> None:
    """A page that is there, and one that is not."""
    host, port = system.address("webmail")
    for path in ("/", "/nothing/of/that/name"):
        with (
            contextlib.suppress(urllib.error.HTTPError),
            urllib.request.urlopen(f"http://{host}:{port}{path}") as answer,
        ):
            answer.read()
