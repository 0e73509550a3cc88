"""SASL with the programs that people use, against real services: who speaks what, and gets in."""

import base64
import imaplib
import os
import poplib
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.programs import need, run
from tests.clients.test_imap_clients import in_terminal
from tests.support import System
from tests.support.certificates import Authority
from tests.support.scram import ScramClient

USER, PASSWORD = "fred@example.test", "s3cret phrase"
MECHANISMS = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 CRAM-MD5 EXTERNAL PLAIN LOGIN"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[System]:
    env = {
        "RESTANTE_SASL_MECHANISMS": MECHANISMS,
        "RESTANTE_AUTH_DERIVE": "scram-sha-256 cram-md5",
        "RESTANTE_AUTH_EXTERNAL": "true",
        "RESTANTE_TLS_CLIENT_CA": str(authority.certificate),
        "RESTANTE_IMAP_TLS_REQUIRED": "true",
        "RESTANTE_POP3_TLS_REQUIRED": "true",
        "RESTANTE_HOSTNAME": "mail.example.test",
        "RESTANTE_TLS_SNI": str(tmp_path_factory.mktemp("sni")),
    }
    with System(tmp_path_factory.mktemp("sasl"), ("pop3", "imap"), env) as system:
        system.add_account(USER, PASSWORD)
        yield system


def methods(system: System, service: str) -> list[str]:
    """What opened the account at each login so far, as auth's audit log has it."""
    pattern = rf"action=login .*service={service} .*result=ok detail=\"?([a-z ]+)"
    return re.findall(pattern, system["auth"].log())


# --- what is offered where ----------------------------------------------------------------------


def test_offers_in_clear_and_inside_tls(system: System, authority: Authority) -> None:
    imap = imaplib.IMAP4(*system.address("imap"))
    assert "LOGINDISABLED" in imap.capabilities
    offered = {name for name in imap.capabilities if name.startswith("AUTH=")}
    assert offered == {"AUTH=SCRAM-SHA-256", "AUTH=CRAM-MD5"}
    imap.starttls(system.tls_client())
    inside = {name for name in imap.capabilities if name.startswith("AUTH=")}
    assert inside == offered | {"AUTH=SCRAM-SHA-256-PLUS", "AUTH=PLAIN", "AUTH=LOGIN"}
    imap.shutdown()
    pop = poplib.POP3(*system.address("pop3"))
    assert pop.capa()["SASL"] == ["SCRAM-SHA-256", "CRAM-MD5"]
    assert "USER" not in pop.capa()
    pop.close()
    context = system.tls_client()
    context.load_cert_chain(*authority.issue_client("Fred", USER))
    _, port = system.address("pop3", "tls_listen")
    secure = poplib.POP3_SSL("localhost", port, context=context)
    assert secure.capa()["SASL"] == MECHANISMS.split()
    secure.quit()


# --- CRAM-MD5 -----------------------------------------------------------------------------------


def test_imaplib_cram_md5(system: System) -> None:
    client = imaplib.IMAP4(*system.address("imap"))
    assert client.login_cram_md5(USER, PASSWORD)[0] == "OK"
    client.logout()
    wrong = imaplib.IMAP4(*system.address("imap"))
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        wrong.login_cram_md5(USER, "wrong")
    wrong.logout()


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "PLAIN", "LOGIN"])
@pytest.mark.parametrize("service", ["imap", "pop3"])
def test_curl(system: System, service: str, mechanism: str) -> None:
    curl = need("curl")
    _, port = system.address(service)
    base = [curl, "-sS", "--ssl-reqd", "--cacert", str(system.certificate)]
    base += ["--user", f"{USER}:{PASSWORD}", "--login-options", f"AUTH={mechanism}"]
    said = run([*base, f"{service}://localhost:{port}/"]).decode()
    assert "INBOX" in said if service == "imap" else said.split() == []


# --- SCRAM-SHA-256 ------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["scram-sha-256", "cram-md5"])
@pytest.mark.parametrize("tls", ["off", "on", "starttls"])
def test_mpop(system: System, mechanism: str, tls: str, tmp_path: Path) -> None:
    mpop = need("mpop")
    _, port = system.address("pop3", "tls_listen" if tls == "on" else "listen")
    (tmp_path / "new").mkdir()
    settings = tmp_path / "mpoprc"
    lines = [
        f"account default\nhost localhost\nport {port}\nuser {USER}\npassword {PASSWORD}",
        f"delivery maildir {tmp_path}\nuidls_file {tmp_path}/uidls\nauth {mechanism}",
        f"tls {'off' if tls == 'off' else 'on'}",
    ]
    if tls != "off":
        lines.append(f"tls_starttls {'on' if tls == 'starttls' else 'off'}")
        lines.append(f"tls_trust_file {system.certificate}")
    settings.write_text("\n".join(lines) + "\n")
    settings.chmod(0o600)
    before = len(methods(system, "pop3"))
    run([mpop, "-C", str(settings), "--auth-only"])
    expected = "password proof" if mechanism.startswith("scram") else "password digest"
    assert methods(system, "pop3")[before:] == [expected]
    settings.write_text(settings.read_text().replace(PASSWORD, "wrong"))
    done = subprocess.run(
        [mpop, "-C", str(settings), "--auth-only"], capture_output=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert b"authentication failed" in done.stderr.lower()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "CRAM-MD5"])
def test_gsasl(system: System, mechanism: str) -> None:
    gsasl = need("gsasl")
    _, port = system.address("imap")
    command = [gsasl, "--imap", f"--connect=localhost:{port}", f"--mechanism={mechanism}"]
    command += [f"--authentication-id={USER}", f"--password={PASSWORD}", "--no-starttls"]
    command += ["--authorization-id=", "--quiet"]
    before = len(methods(system, "imap"))
    said = run(command)
    expected = "password proof" if mechanism.startswith("SCRAM") else "password digest"
    assert methods(system, "imap")[before:] == [expected], said.decode()


def test_gsasl_makes_what_we_store(system: System) -> None:
    """An oracle of the stored form, and of the arithmetic behind it."""
    from services.auth.passwords.scram import make_keys, read_keys

    gsasl = need("gsasl")
    command = [gsasl, "--mkpasswd", "--mechanism=SCRAM-SHA-256", f"--password={PASSWORD}"]
    keys = read_keys(run(command).decode().strip())
    assert keys is not None
    assert make_keys(PASSWORD.encode(), keys.salt, keys.iterations) == keys


def test_dovecot_makes_what_we_store() -> None:
    from restante.wire import hmac_state
    from services.auth.passwords.scram import make_keys, read_keys

    doveadm = need("doveadm")
    command = [doveadm, "pw", "-p", PASSWORD, "-s"]
    keys = read_keys(run([*command, "SCRAM-SHA-256"]).decode().strip())
    assert keys is not None
    assert make_keys(PASSWORD.encode(), keys.salt, keys.iterations) == keys
    contexts = run([*command, "CRAM-MD5"]).decode().strip()
    assert contexts == "{CRAM-MD5}" + hmac_state.contexts("md5", PASSWORD.encode())


def test_mutt(system: System, tmp_path: Path) -> None:
    mutt = need("mutt")
    host, port = system.address("imap")
    settings = tmp_path / "muttrc"
    settings.write_text(
        f'set imap_user="{USER}" imap_pass="{PASSWORD}" ssl_starttls=no ssl_force_tls=no\n'
        'set imap_authenticators="scram-sha-256" timeout=1 mail_check=0 quit=yes\n'
        f'set header_cache="" record="" folder={tmp_path} spoolfile=imap://{host}:{port}/INBOX\n'
    )
    arguments = [mutt, "-n", "-F", str(settings), "-e", 'push "<quit>"']
    before = len(methods(system, "imap"))
    screen = in_terminal(arguments, {**os.environ, "HOME": str(tmp_path)}, 60)
    assert methods(system, "imap")[before:] == ["password proof"], screen[-2000:]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "CRAM-MD5"])
def test_mbsync(system: System, mechanism: str, tmp_path: Path) -> None:
    mbsync = need("mbsync")
    _, port = system.address("imap", "tls_listen")
    (tmp_path / "local").mkdir()
    config = tmp_path / "mbsyncrc"
    config.write_text(
        f"IMAPAccount a\nHost localhost\nPort {port}\nUser {USER}\n"
        f'Pass "{PASSWORD}"\nSSLType IMAPS\nCertificateFile {system.certificate}\n'
        f"AuthMechs {mechanism}\n\nIMAPStore far\nAccount a\n\n"
        f"MaildirStore near\nPath {tmp_path}/local/\nInbox {tmp_path}/local/INBOX\n\n"
        "Channel c\nFar :far:\nNear :near:\nCreate Near\nSyncState *\n"
    )
    before = len(methods(system, "imap"))
    run([mbsync, "-c", str(config), "-a", "-q"])
    expected = "password proof" if mechanism.startswith("SCRAM") else "password digest"
    assert methods(system, "imap")[before:] == [expected]


# --- channel binding ----------------------------------------------------------------------------


class Named(imaplib.IMAP4_SSL):
    """A client that reaches 127.0.0.1 by a name of its own choice."""

    def _create_socket(self, timeout: float | None) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout or 20)
        made: ssl.SSLSocket = self.ssl_context.wrap_socket(plain, server_hostname=self.host)
        return made


def authenticate(
    system: System,
    mechanism: str,
    client: ScramClient,
    *,
    name: str = "localhost",
    ca: Path | None = None,
) -> str:
    """Log in by IMAP over TLS to a server of that name; return the tagged answer."""
    _, port = system.address("imap", "tls_listen")
    context = ssl.create_default_context(cafile=str(ca)) if ca else system.tls_client()
    imap = Named(name, port, ssl_context=context)
    steps = iter((client.first, client.final))

    def answer(challenge: bytes) -> bytes:
        step = next(steps, None)
        if step is None:
            assert client.check(challenge)
            return b""
        return step(challenge) if challenge else client.first()  # type: ignore[call-arg]  # two kinds

    try:
        return str(imap.authenticate(mechanism, answer)[0])
    except imaplib.IMAP4.error as error:
        return str(error)
    finally:
        imap.shutdown()


def end_point(certificate: Path) -> bytes:
    import hashlib

    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    return hashlib.sha256(der).digest()  # our certificates are signed with SHA-256


P = "p=tls-server-end-point,,"


def test_gsasl_binds_by_exporter(system: System) -> None:
    """GNU SASL takes -PLUS by itself where it is offered, with tls-exporter (RFC 9266)."""
    gsasl = need("gsasl")
    _, port = system.address("imap")
    command = [gsasl, "--imap", f"--connect=localhost:{port}", "--starttls", "--quiet"]
    command += [f"--authentication-id={USER}", f"--password={PASSWORD}"]
    said = run([*command, f"--x509-ca-file={system.certificate}"])
    assert b"AUTHENTICATE SCRAM-SHA-256-PLUS" in said
    assert b"Logged in" in said


def test_scram_plus_binds_to_our_certificate(system: System) -> None:
    plus = "SCRAM-SHA-256-PLUS"
    bound = ScramClient(USER, PASSWORD, header=P, binding=end_point(system.certificate))
    assert authenticate(system, plus, bound) == "OK"
    other = ScramClient(USER, PASSWORD, header=P, binding=b"x" * 32)
    assert "Channel binding does not fit" in authenticate(system, plus, other)
    down = ScramClient(USER, PASSWORD, header="y,,")
    assert "tampered" in authenticate(system, "SCRAM-SHA-256", down)
    plain = ScramClient(USER, PASSWORD)
    assert authenticate(system, "SCRAM-SHA-256", plain) == "OK"


def test_scram_plus_binds_to_the_certificate_of_the_name(
    system: System, authority: Authority
) -> None:
    """SNI: what the client was shown counts, not the default certificate."""
    plus, name = "SCRAM-SHA-256-PLUS", "mail.other.test"
    certificate, key = authority.issue(name)
    folder = Path(system.env["RESTANTE_TLS_SNI"]) / name
    folder.mkdir()
    shutil.copy(key, folder / "tls.key")
    shutil.copy(certificate, folder / "tls.crt")
    give_up = time.monotonic() + 30

    def log_in(shown: Path) -> str:
        bound = ScramClient(USER, PASSWORD, header=P, binding=end_point(shown))
        return authenticate(system, plus, bound, name=name, ca=authority.certificate)

    while True:
        try:
            assert log_in(certificate) == "OK"
            break
        except ssl.SSLCertVerificationError:  # a new folder is found within two seconds
            assert time.monotonic() < give_up
    assert "Channel binding does not fit" in log_in(system.certificate)
    default = ScramClient(USER, PASSWORD, header=P, binding=end_point(system.certificate))
    assert authenticate(system, plus, default) == "OK"


# --- EXTERNAL -----------------------------------------------------------------------------------


def external(system: System, files: tuple[Path, Path] | None, wanted: str = "") -> str:
    context = system.tls_client()
    if files:
        context.load_cert_chain(*files)
    _, port = system.address("imap", "tls_listen")
    imap = imaplib.IMAP4_SSL("localhost", port, ssl_context=context)
    try:
        return str(imap.authenticate("EXTERNAL", lambda _: wanted.encode())[0])
    except imaplib.IMAP4.error as error:
        return str(error)
    finally:
        imap.shutdown()


def test_external(system: System, authority: Authority, tmp_path: Path) -> None:
    assert external(system, authority.issue_client("Fred Fish", USER)) == "OK"
    assert external(system, authority.issue_client(USER)) == "OK"
    assert external(system, authority.issue_client("Fred Fish", USER), USER) == "OK"
    assert "AUTHENTICATIONFAILED" in external(system, authority.issue_client("nobody@example.test"))
    # The mail address counts, not the name beside it.
    both = authority.issue_client(USER, "nobody@example.test")
    assert "AUTHENTICATIONFAILED" in external(system, both)
    other = external(system, authority.issue_client(USER), "jane@example.test")
    assert "AUTHORIZATIONFAILED" in other
    assert "CANNOT" in external(system, None)
    with pytest.raises((ssl.SSLError, OSError, imaplib.IMAP4.abort)):
        external(system, Authority(tmp_path / "evil").issue_client(USER))


def test_external_with_mpop(system: System, authority: Authority, tmp_path: Path) -> None:
    mpop = need("mpop")
    certificate, key = authority.issue_client("Fred Fish", USER)
    key.chmod(0o600)
    _, port = system.address("pop3", "tls_listen")
    settings = tmp_path / "mpoprc"
    settings.write_text(
        f"account default\nhost localhost\nport {port}\nuser {USER}\nauth external\ntls on\n"
        f"tls_starttls off\ntls_trust_file {system.certificate}\ntls_cert_file {certificate}\n"
        f"tls_key_file {key}\ndelivery maildir {tmp_path}\nuidls_file {tmp_path}/uidls\n"
    )
    settings.chmod(0o600)
    run([mpop, "-C", str(settings), "--auth-only"])


# --- by hand, at the wire -----------------------------------------------------------------------


def test_pop3_scram_by_hand(system: System) -> None:
    """Every line of an exchange, with an initial response and without, and given up."""
    client = poplib.POP3(*system.address("pop3"))

    def say(line: bytes) -> bytes:
        client.sock.sendall(line + b"\r\n")
        return client.file.readline().rstrip(b"\r\n")

    def b64(data: bytes) -> bytes:
        return base64.b64encode(data)

    assert say(b"AUTH SCRAM-SHA-256") == b"+ "
    assert say(b"*") == b"-ERR Authentication aborted."
    wrong = ScramClient(USER, "wrong")
    first = base64.b64decode(say(b"AUTH SCRAM-SHA-256 " + b64(wrong.first()))[2:])
    assert say(b64(wrong.final(first))) == b"-ERR [AUTH] Authentication failed."
    assert say(b"AUTH PLAIN AAAA").startswith(b"-ERR TLS required")
    assert say(b"USER fred").startswith(b"-ERR TLS required")
    good = ScramClient(USER, PASSWORD)
    first = base64.b64decode(say(b"AUTH SCRAM-SHA-256 " + b64(good.first()))[2:])
    final = base64.b64decode(say(b64(good.final(first)))[2:])
    assert good.check(final)
    assert say(b"STAT").startswith(b"-ERR")  # the client has not said yes, and this is no yes
    assert client.file.readline() == b""
    client.close()
    again = poplib.POP3(*system.address("pop3"))
    client = again
    good = ScramClient(USER, PASSWORD)
    assert say(b"AUTH SCRAM-SHA-256") == b"+ "
    first = base64.b64decode(say(b64(good.first()))[2:])
    assert good.check(base64.b64decode(say(b64(good.final(first)))[2:]))
    assert say(b"") == b"+OK logged in."
    assert say(b"STAT") == b"+OK 0 0"
    assert say(b"QUIT").startswith(b"+OK")
