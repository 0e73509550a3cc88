"""The pods of overlay small, run by a Docker engine as their manifests say."""

import imaplib
import poplib
import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.k8s.engine import Cluster, docker, missing, until
from tests.k8s.rendering import needs_kustomize, objects

pytestmark = [
    needs_kustomize,
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

PASSWORD = "a long enough one 4711"


@pytest.fixture(scope="module")
def cluster(secret_files: Path) -> Iterator[Cluster]:
    rendering = [*objects("overlays/small"), *objects("jobs/volume-init")]
    with Cluster(rendering, secret_files) as made:
        yield made


def sent(message: EmailMessage, host: str) -> bool:
    """Give a message to exim; False where it asks to try again."""
    with smtplib.SMTP(host, 2525, timeout=60) as client:
        try:
            client.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            assert all(400 <= code < 500 for code, _ in error.recipients.values())
            return False
    return True


def test_the_pods_of_overlay_small_serve_mail(cluster: Cluster) -> None:
    """An unmarked volume is refused; marked, mail goes from SMTP to IMAP and POP3."""
    cluster.run("StatefulSet", "postgres")
    cluster.run("StatefulSet", "redis")
    auth = cluster.run("Deployment", "auth")
    code, said = cluster.finish("Deployment", "imap")
    assert code != 0
    assert ".restante-volume" in said
    assert cluster.finish("Job", "volume-init")[0] == 0
    cluster.run("Deployment", "delivery")
    imap = cluster.run("Deployment", "imap")
    pop3 = cluster.run("Deployment", "pop3")
    cluster.run("Deployment", "webmail")
    exim = cluster.run("StatefulSet", "exim")

    docker("exec", auth, "restante", "domain", "add", "example.org")
    add = ("account", "add", "fred@example.org", "--password-stdin")
    docker("exec", "-i", auth, "restante", *add, stdin=PASSWORD + "\n")
    message = EmailMessage()
    message["From"], message["To"] = "sue@example.net", "fred@example.org"
    message["Subject"] = "from a manifest"
    message.set_content("Hello.\n")
    until(
        lambda: sent(message, cluster.address(exim)),
        lambda: f"exim takes no mail:\n{cluster.logs(exim)}\n{cluster.logs(auth)}",
    )

    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    mailbox = imaplib.IMAP4_SSL(cluster.address(imap), 1993, ssl_context=unverified, timeout=60)
    mailbox.login("fred@example.org", PASSWORD)
    until(lambda: mailbox.select("INBOX")[1] == [b"1"], lambda: cluster.logs(exim))
    fetched = mailbox.fetch("1", "BODY[HEADER.FIELDS (SUBJECT)]")[1][0]
    assert isinstance(fetched, tuple)
    assert b"from a manifest" in fetched[1]
    mailbox.logout()
    box = poplib.POP3_SSL(cluster.address(pop3), 1995, context=unverified, timeout=60)
    box.user("fred@example.org")
    box.pass_(PASSWORD)
    assert box.stat()[0] == 1
    box.quit()
    with imaplib.IMAP4(cluster.address(imap), 1143, timeout=60) as clear:
        assert "LOGINDISABLED" in clear.capabilities


def test_a_container_of_a_service_is_ended_by_sigterm(cluster: Cluster) -> None:
    """Process 1 passes it on: the exit code is 0, not that of SIGKILL."""
    webmail = next(name for name in cluster.containers if name.endswith("-webmail"))
    docker("stop", webmail)
    assert docker("inspect", "-f", "{{.State.ExitCode}}", webmail) == "0"
