"""The pods of overlay small, run by a Docker engine as their manifests say."""

import imaplib
import json
import poplib
import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from unittest.mock import ANY

import pytest

from tests.k8s.engine import Cluster, docker, missing, until
from tests.k8s.rendering import needs_kustomize, objects

pytestmark = [
    needs_kustomize,
    pytest.mark.e2e,
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


@pytest.fixture
def isp(secret_files: Path, tmp_path: Path) -> Iterator[Cluster]:
    """Overlay isp, with the simple PostgreSQL and Redis, and what its operators would make."""
    operators = ("redis", "redis-node", "redis-nodes")
    rendering = [
        one
        for one in objects("overlays/isp")
        if one["metadata"]["name"] not in operators or one["kind"] == "NetworkPolicy"
    ]
    simple = ("postgres", "redis")
    rendering += [
        one
        for one in objects("overlays/small")
        if one["metadata"]["name"] in simple and one["kind"] in ("StatefulSet", "Service")
    ]
    for name in ("restante-secrets", "restante-tls", "restante-rpc"):
        (tmp_path / name).symlink_to(secret_files / name)
    (tmp_path / "restante-db-app").mkdir()
    url = (secret_files / "restante-secrets" / "sql.url").read_text().strip()
    (tmp_path / "restante-db-app" / "uri").write_text(url)
    for side in ("auth", "client"):
        made = tmp_path / f"restante-rpc-{side}"
        made.mkdir()
        files = {"ca.crt": "ca.crt", "tls.crt": f"{side}.crt", "tls.key": f"{side}.key"}
        for name, source in files.items():
            (made / name).symlink_to(secret_files / "restante-rpc" / source)
    with Cluster([*rendering, *objects("jobs/volumes-init")], tmp_path) as cluster:
        yield cluster


def test_the_pods_of_overlay_isp_serve_mail_of_several_volumes(isp: Cluster) -> None:
    """Each volume must bear its mark; an account of a further one has its mail there."""
    isp.run("StatefulSet", "postgres")
    isp.run("StatefulSet", "redis")
    auth = isp.run("Deployment", "auth")
    assert isp.finish("Job", "volumes-init") == (0, ANY)
    delivery = isp.run("Deployment", "delivery")
    imap = isp.run("Deployment", "imap")
    fred = {"home": "/srv/mail/v1/example.org/f/fr/fred", "password_file": "/tmp/password"}
    entries = {"domains": {"example.org": {}}, "accounts": {"fred@example.org": fred}}
    docker("exec", "-i", auth, "sh", "-c", "cat > /tmp/password", stdin=PASSWORD)
    apply = "cat > /tmp/accounts && restante account apply /tmp/accounts"
    docker("exec", "-i", auth, "sh", "-c", apply, stdin=json.dumps(entries))
    with smtplib.LMTP(isp.address(delivery), 2424) as client:
        client.sendmail("", ["fred@example.org"], "Subject: sharded\r\n\r\nHello.\r\n")
    found = docker(
        "exec", imap, "find", "/srv/mail/v1/example.org/f/fr/fred/Maildir/new", "-type", "f"
    )
    assert len(found.splitlines()) == 1
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    with imaplib.IMAP4_SSL(isp.address(imap), 1993, ssl_context=unverified, timeout=60) as mailbox:
        mailbox.login("fred@example.org", PASSWORD)
        assert mailbox.select("INBOX")[1] == [b"1"]
    docker("exec", imap, "rm", "/srv/mail/v2/.restante-volume")
    code, said = isp.finish("Deployment", "pop3")
    assert code != 0
    assert "/srv/mail/v2" in said


def test_a_container_of_a_service_is_ended_by_sigterm(cluster: Cluster) -> None:
    """Process 1 passes it on: the exit code is 0, not that of SIGKILL."""
    webmail = next(name for name in cluster.containers if name.endswith("-webmail"))
    docker("stop", webmail)
    assert docker("inspect", "-f", "{{.State.ExitCode}}", webmail) == "0"
