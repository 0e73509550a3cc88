"""tls-exporter: both ends agree, OpenSSL's own program agrees, and Debian's Python can do it."""

import asyncio
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from restante.runtime import tls_exporter
from restante.runtime.connection import Connection
from restante.runtime.tls import TlsContexts
from tests.unit.runtime.conftest import Serve

# Runs in a bare interpreter: a handshake in memory, then what each end exports.
PROGRAM = """
import runpy, ssl, sys
exporter = runpy.run_path(sys.argv[1])["exporter"]
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(sys.argv[2], sys.argv[3])
client = ssl.create_default_context(cafile=sys.argv[2])
if sys.argv[4] == "1.2":
    client.maximum_version = ssl.TLSVersion.TLSv1_2
one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
ends = [
    client.wrap_bio(one, other, server_hostname="localhost"),
    server.wrap_bio(other, one, server_side=True),
]
done = [False, False]
while not all(done):
    for number, end in enumerate(ends):
        try:
            end.do_handshake()
            done[number] = True
        except ssl.SSLWantReadError:
            pass
print(*(exporter(end).hex() or "-" for end in ends))
"""


def both_ends(python: str, files: tuple[Path, Path], version: str) -> list[str]:
    command = [python, "-c", PROGRAM, tls_exporter.__file__, *map(str, files), version]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().split()


@pytest.mark.parametrize("python", [sys.executable, "/usr/bin/python3"])
def test_both_ends_agree(python: str, certificate: tuple[Path, Path]) -> None:
    if not Path(python).exists():
        pytest.skip(f"{python} is not installed")
    client, server = both_ends(python, certificate, "1.3")
    assert client == server
    assert len(client) == 2 * tls_exporter.SIZE
    # And another connection has another.
    assert both_ends(python, certificate, "1.3")[0] != client


def test_tls_1_2_has_none(certificate: tuple[Path, Path]) -> None:
    assert both_ends(sys.executable, certificate, "1.2") == ["-", "-"]


async def test_openssl_agrees(serve: Serve, tls: TlsContexts) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    found: list[dict[str, bytes]] = []

    async def session(connection: Connection) -> None:
        found.append(connection.peer.bindings)
        connection.write(b"hello\r\n")

    listener = await serve(session, tls=tls, implicit_tls=True)
    host, port = listener.address.target
    process = await asyncio.create_subprocess_exec(
        openssl,
        "s_client",
        "-connect",
        f"{host}:{port}",
        "-tls1_3",
        "-keymatexport",
        "EXPORTER-Channel-Binding",
        "-keymatexportlen",
        "32",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    match = re.search(rb"Keying material: ([0-9A-F]{64})", said)
    assert match, said.decode()
    assert found[0]["tls-exporter"] == bytes.fromhex(match[1].decode())
    assert list(found[0]) == ["tls-exporter", "tls-server-end-point"]


def test_an_object_of_another_layout_is_not_read() -> None:
    class Fake:
        _sslobj: object = object()
        context = ssl.create_default_context()

        def version(self) -> str:
            return "TLSv1.3"

    fake = Fake()
    assert tls_exporter.exporter(fake) == b""  # type: ignore[arg-type]  # no connection at all
    fake._sslobj = type("Big", (), {"__slots__": ("a", "b", "c", "d", "e", "f")})()
    assert tls_exporter.exporter(fake) == b""  # type: ignore[arg-type]  # no connection at all
