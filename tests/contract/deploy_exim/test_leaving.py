"""Mail that leaves: signatures, a smarthost with a login; and certificates at the doors."""

import hashlib
import re
import shutil
import socket
import ssl
from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.contract.deploy_exim.conftest import MakeExim
from tests.contract.deploy_exim.harness import USER, Outside
from tests.contract.deploy_exim.stack import Stack
from tests.support.certificates import Authority
from tests.support.system import unique_message

pytestmark = pytest.mark.slow


def relaxed(name: str, value: str) -> str:
    """A header field as DKIM's relaxed canonicalization has it (RFC 6376 section 3.4.2)."""
    unfolded = re.sub(r"\r\n(?=[ \t])", "", value)
    return name.lower() + ":" + re.sub(r"[ \t]+", " ", unfolded).strip()


def verify(message: bytes, key: rsa.RSAPublicKey) -> dict[str, str]:
    """Check the first DKIM-Signature, relaxed/relaxed and rsa-sha256; return its tags."""
    header, _, body = message.replace(b"\n", b"\r\n").decode("latin-1").partition("\r\n\r\n")
    fields = re.findall(r"([^\s:]+):((?:.|\r\n[ \t])*)(?:\r\n|\Z)", header)
    signature = next(value for name, value in fields if name == "DKIM-Signature")
    tags = dict(re.findall(r"(\w+)=([^;]*)", re.sub(r"\s+", "", signature)))
    lines = [re.sub(r"[ \t]+", " ", line).rstrip(" ") for line in body.split("\r\n")]
    text = "\r\n".join(lines).rstrip("\r\n") + "\r\n"
    assert hashlib.sha256(text.encode("latin-1")).digest() == b64decode(tags["bh"])
    left, signed = list(fields), []
    for wanted in tags["h"].split(":"):
        for i in reversed(range(len(left))):
            if left[i][0].lower() == wanted.lower():
                signed.append(relaxed(*left.pop(i)))
                break
    signed.append(relaxed("DKIM-Signature", re.sub(r"\bb=[^;]*", "b=", signature)))
    key.verify(
        b64decode(tags["b"]),
        "\r\n".join(signed).encode("latin-1"),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    return tags


def test_dkim(stack: Stack, make_exim: MakeExim, outside: Outside) -> None:
    exim = make_exim(stack, EXIM_RELAY_FROM="127.0.0.0/8", EXIM_DKIM_SELECTOR="s1")
    exim.write("routes", f"*.out.test: {outside.address}::{outside.port}\n")
    key = rsa.generate_private_key(65537, 2048)
    file = exim.top / "dkim/example.test.key"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    shutil.chown(file, USER, USER)
    name = exim.send(unique_message("signed"), "carl@far.out.test", sender="ann@example.test")
    exim.wait_log(f"{name} Completed")
    (message,) = outside.received(1)
    tags = verify(message, key.public_key())
    assert (tags["d"], tags["s"]) == ("example.test", "s1")
    assert {"from", "subject", "date", "to"} <= set(tags["h"].lower().split(":"))

    # No key: no signature. A key that is none: it waits.
    other = unique_message("unsigned").replace(b"From: Ann <ann@example", b"From: Ann <ann@other")
    exim.wait_log(f"{exim.send(other, 'carl@far.out.test')} Completed")
    assert b"DKIM-Signature" not in outside.received(2)[1]
    file.write_text("no key\n")
    name = exim.send(unique_message("unsigned"), "carl@far.out.test")
    exim.wait_log(f"{name} == carl@far.out.test")
    assert len(outside.received()) == 2


@pytest.mark.parametrize("mode", ["require", "verify", "try"])
def test_smarthost(
    mode: str, stack: Stack, make_exim: MakeExim, folder: Path, authority: Authority
) -> None:
    smarthost = Outside(folder / "smarthost")
    try:
        smarthost.use_certificate(*authority.issue("localhost"))
        smarthost.start()
        settings = {
            "EXIM_SMARTHOST": f"{smarthost.address}:{smarthost.port}",
            "EXIM_SMARTHOST_TLS": mode,
            "EXIM_RELAY_FROM": "127.0.0.0/8",
        }
        if mode != "try":
            (smarthost.top / "login").touch()
            (folder / "password").write_text("a^b sesame\n")
            settings["EXIM_SMARTHOST_USER"] = "us@outside.test"
            settings["EXIM_SMARTHOST_PASSWORD_FILE"] = str(folder / "password")
        exim = make_exim(stack, **settings)
        name = exim.send(unique_message("by the smarthost"), "carl@far.test", "dora@away.test")
        if mode == "verify":  # no system trusts that certificate: it waits, and no password leaves
            exim.wait_log(f"{name} == carl@far.test")
            assert smarthost.received() == []
            assert "A=plain" not in smarthost.log()
            return
        exim.wait_log(f"{name} Completed")
        assert len(smarthost.received(2)) == 2
        assert ("A=plain:us@outside.test" in smarthost.log()) == (mode == "require")
        assert "X=TLS1.3" in smarthost.log()
        assert "sesame" not in exim.log() + smarthost.log()
    finally:
        smarthost.close()


def _certificate(address: tuple[str, int], name: str) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(address, timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=name) as client,
    ):
        found = client.getpeercert(binary_form=True)
        assert found
        return found


def test_certificates_by_name_and_new_ones(
    stack: Stack, make_exim: MakeExim, folder: Path, authority: Authority
) -> None:
    (folder / "sni").mkdir()
    exim = make_exim(stack, EXIM_TLS_SNI_DIR=str(folder / "sni"))
    where = (exim.address, exim.submissions)
    default = _certificate(where, "localhost")
    for name in ("mail.example.org", "nowhere"):
        assert _certificate(where, name) == default
    (folder / "sni/mail.example.org").mkdir()
    certificate, key = authority.issue("mail.example.org")
    shutil.copy(certificate, folder / "sni/mail.example.org/tls.crt")
    shutil.copy(key, folder / "sni/mail.example.org/tls.key")
    shutil.chown(folder / "sni/mail.example.org/tls.key", USER, USER)
    pem = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    assert _certificate(where, "mail.example.org") == pem
    assert _certificate(where, "localhost") == default
    # A renewed one, under a running exim.
    certificate, key = authority.issue("localhost")
    exim.use_certificate(certificate, key)
    assert _certificate(where, "localhost") == ssl.PEM_cert_to_DER_cert(certificate.read_text())


def test_old_tls_is_refused(stack: Stack, make_exim: MakeExim) -> None:
    exim = make_exim(stack)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection((exim.address, exim.submissions), timeout=20) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain)
