"""One message, and one session, followed through the logs of several services by their ids."""

import imaplib
import poplib
import re
import smtplib
from collections.abc import Iterator

import pytest

from restante.rpc.admin_client import AdminClient
from tests.services.logs.following import lines, wait_for
from tests.support import ServiceProcess, System

FRED, JANE, PASSWORD = "fred@example.test", "jane@example.test", "s3cret phrase"
MTA_ID = "1tABCd-000123-4X"
EXIM = (
    "Received: from mail.example ([192.0.2.1] helo=mail.example)\r\n"
    "\tby mx.example.test with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384\r\n"
    f"\t(Exim 4.96)\r\n\t(envelope-from <ann@example.test>)\r\n\tid {MTA_ID}\r\n"
    "\tfor fred@example.test;\r\n\tSun, 22 Nov 2026 15:00:00 +0000\r\n"
    "Subject: hello\r\n\r\nHello.\r\n"
)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    env = {"RESTANTE_LOG_FORMAT": "json", "RESTANTE_VERDICT_SECONDS": "0"}
    folder = tmp_path_factory.mktemp("follow")
    with System(folder, ("delivery", "pop3", "imap"), env) as system:
        system.add_account(FRED, PASSWORD)
        system.add_account(JANE, PASSWORD)
        # Another replica of IMAP, with nothing in common but the mail and auth.
        shared = {
            **system.env,
            "RESTANTE_MAIL_ROOT": str(system.mail_root),
            "RESTANTE_AUTH_TARGET": system.auth_target,
        }
        with ServiceProcess("imap", folder / "other", shared) as other:
            system.services["other"] = other
            yield system
            del system.services["other"]


def deliver(system: System, *recipients: str) -> str:
    """Deliver as exim does; return the id in the LMTP answer."""
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen"), "mx.example.test") as lmtp:
        lmtp.ehlo()
        lmtp.mail("ann@example.test")
        for recipient in recipients:
            assert lmtp.rcpt(recipient)[0] == 250
        code, answer = lmtp.data(EXIM.encode())
        assert code == 250
        found = re.search(r"delivered as ([0-9a-f]{16})", answer.decode())
        assert found is not None
        for _ in recipients[1:]:
            assert found[1] in lmtp.getreply()[1].decode()
        return found[1]


def test_a_message_from_exims_id_to_first_read_on_another_replica(system: System) -> None:
    id = deliver(system, FRED, JANE)
    imap = imaplib.IMAP4(*system.address("other"))
    imap.login(FRED, PASSWORD)
    imap.select()
    answer = imap.fetch("1", "(BODY[])")[1]
    assert f"id {id}" in str(answer)  # the Received field of the delivery
    imap.logout()
    pop = poplib.POP3(*system.address("pop3"))
    pop.user(JANE)
    pop.pass_(PASSWORD)
    pop.retr(1)
    pop.dele(1)
    pop.quit()
    wait_for([system["pop3"]], event="logout", user=JANE)
    story = [line for line in lines(system.services.values()) if line.get("id") == id]
    (delivered,) = [line for line in story if line["event"] == "delivered"]
    assert (delivered["mta_id"], delivered["_service"]) == (MTA_ID, "delivery")
    assert (delivered["recipient"], delivered["more"]) == (FRED, 1)
    reads = {line["user"]: line for line in story if line["event"] == "first read"}
    assert set(reads) == {FRED, JANE}
    assert len(story) == 3
    for user, service, process in ((FRED, "imap", "other"), (JANE, "pop3", "pop3")):
        read = reads[user]
        assert (read["service"], read["folder"]) == (service, "INBOX")
        session = [
            line["event"]
            for line in lines([system[process]])
            if line.get("session") == read["session"]
        ]
        assert session == (["login", "first read", "logout"])


def test_a_session_from_imap_to_auths_audit_line_and_restante_who(system: System) -> None:
    imap = imaplib.IMAP4(*system.address("imap"))
    with pytest.raises(imaplib.IMAP4.error):
        imap.login(JANE, "wrong")
    imap.login(JANE, PASSWORD)
    login = wait_for([system["imap"]], event="login", user=JANE)
    session = login["session"]
    with AdminClient(system.auth_target, system.admin_token) as admin:
        (live,) = [s for s in admin.sessions(address=JANE).sessions if s.service == "imap"]
    assert live.session == session
    imap.logout()
    wait_for([system["imap"]], event="logout", session=session)
    told = [line["event"] for line in lines([system["imap"]]) if line.get("session") == session]
    assert told == ["login failed", "login", "logout"]
    audit = [line for line in lines([system["auth"]]) if line.get("session") == session]
    assert [(line["event"], line["result"]) for line in audit] == [
        ("audit", "auth_failed"),
        ("audit", "ok"),
    ]


def test_a_refused_recipient_names_its_session(system: System) -> None:
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen"), "mx.example.test") as lmtp:
        lmtp.ehlo()
        lmtp.mail("ann@example.test")
        assert lmtp.rcpt("nobody@example.test")[0] == 550
        lmtp.rcpt(FRED)
        lmtp.data(EXIM.encode())
    refused = wait_for([system["delivery"]], event="recipient refused")
    assert (refused["sender"], refused["recipient"]) == ("ann@example.test", "nobody@example.test")
    wait_for([system["delivery"]], event="delivered", session=refused["session"])
