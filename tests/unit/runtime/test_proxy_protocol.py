"""PROXY protocol: both versions at every split point, malformed headers, trust."""

import asyncio
import ipaddress
import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.runtime.connection import Connection
from restante.runtime.limits import ConnectionLimits
from restante.runtime.proxy_protocol import MAX_HEADER, ProxyHeader, parse
from restante.runtime.tls import TlsContexts
from tests.unit.runtime.conftest import Serve, dial

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TRUSTED = (ipaddress.ip_network("127.0.0.0/8"),)


def v2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(body)) + body


V4_BODY = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 4000, 143)
V6_BODY = (
    ipaddress.IPv6Address("2001:db8::1").packed
    + ipaddress.IPv6Address("2001:db8::2").packed
    + struct.pack("!HH", 4000, 993)
)
TLV = b"\x05\x00\x04abcd"

GOOD = [
    (
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4000 143\r\n",
        ("192.0.2.1", 4000),
        ("198.51.100.2", 143),
    ),
    (b"PROXY TCP6 2001:db8::1 ::1 4000 993\r\n", ("2001:db8::1", 4000), ("::1", 993)),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN ffff::1 ffff::1 1 2\r\n", None, None),
    (v2(1, 0x11, V4_BODY), ("192.0.2.1", 4000), ("198.51.100.2", 143)),
    (v2(1, 0x11, V4_BODY + TLV), ("192.0.2.1", 4000), ("198.51.100.2", 143)),
    (v2(1, 0x21, V6_BODY), ("2001:db8::1", 4000), ("2001:db8::2", 993)),
    (v2(0, 0x00, b""), None, None),
    (v2(0, 0x11, V4_BODY), None, None),
    (v2(1, 0x31, b"x" * 216), None, None),
]


@pytest.mark.parametrize(("header", "source", "destination"), GOOD)
def test_every_split_point(
    header: bytes, source: tuple[str, int] | None, destination: tuple[str, int] | None
) -> None:
    for end in range(len(header)):
        assert parse(header[:end]) is None
    for rest in (b"", b"a NOOP\r\n", b"\x16\x03\x01", b"\r\n"):
        assert parse(header + rest) == ProxyHeader(len(header), source, destination)


@pytest.mark.parametrize(
    "data",
    [
        b"a LOGIN x y\r\n",
        b"\x16\x03\x01",
        b"PROXX",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4000\r\n",
        b"PROXY TCP4 2001:db8::1 ::1 4000 143\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 4000 143\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4000 70000\r\n",
        b"PROXY TCP4 192.0.2.01 198.51.100.2 4000 143\r\n",
        b"PROXY TCP4 \xff \xff 1 1\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.2 4000 143\r\n",
        b"PROXY TCP4 192.0.2.1  198.51.100.2 4000 143\r\n",
        b"PROXY " + b"x" * 200,
        SIGNATURE + b"\x11\x11\x00\x0c" + V4_BODY,
        SIGNATURE + b"\x22\x11\x00\x0c" + V4_BODY,
        v2(1, 0x11, V4_BODY[:-1]),
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(data)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: SIGNATURE + tail))
def test_any_bytes_give_a_header_or_an_error(data: bytes) -> None:
    try:
        header = parse(data)
    except ValueError:
        return
    assert header is None or header.length <= min(len(data), MAX_HEADER)


async def who(connection: Connection) -> None:
    line = await connection.receive(30)
    while not line.endswith(b"\n"):
        line += await connection.receive(30)
    peer = connection.peer
    connection.write(f"{peer.address} {peer.port} {peer.tls} ".encode() + line)


@pytest.mark.parametrize(("header", "source", "_"), GOOD)
async def test_from_a_trusted_balancer(
    serve: Serve, header: bytes, source: tuple[str, int] | None, _: object
) -> None:
    listener = await serve(who, proxy_protocol_from=TRUSTED)
    reader, writer = await dial(listener)
    mine = writer.get_extra_info("sockname")
    address, port = source or mine[:2]
    writer.write(header + b"in the same segment\n")
    assert await reader.read() == f"{address} {port} False in the same segment\n".encode()
    writer.close()


async def test_byte_by_byte(serve: Serve) -> None:
    listener = await serve(who, proxy_protocol_from=TRUSTED)
    for header, source, _ in GOOD[:1] + GOOD[4:5]:
        assert source is not None
        reader, writer = await dial(listener)
        for byte in header + b"x\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert await reader.read() == f"{source[0]} {source[1]} False x\n".encode()
        writer.close()


async def test_balancer_without_a_header_is_cut_off(serve: Serve) -> None:
    listener = await serve(who, proxy_protocol_from=TRUSTED)
    reader, writer = await dial(listener)
    writer.write(b"a NOOP\r\n")
    assert await reader.read() == b""
    writer.close()


async def test_others_are_not_believed(serve: Serve) -> None:
    listener = await serve(who, proxy_protocol_from=(ipaddress.ip_network("192.0.2.0/24"),))
    reader, writer = await dial(listener)
    mine = writer.get_extra_info("sockname")
    writer.write(GOOD[0][0])
    assert await reader.read() == f"{mine[0]} {mine[1]} False ".encode() + GOOD[0][0]
    writer.close()


async def test_limits_count_the_real_address(serve: Serve) -> None:
    listener = await serve(
        who, proxy_protocol_from=TRUSTED, limits=ConnectionLimits(per_address=1), busy=b"busy"
    )

    async def from_(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await dial(listener)
        writer.write(f"PROXY TCP4 {address} 127.0.0.1 1 1\r\n".encode())
        return reader, writer

    first, one = await from_("192.0.2.1")
    while not listener.limits._counts.count("address 192.0.2.1"):
        await asyncio.sleep(0)
    second, two = await from_("192.0.2.1")
    assert await second.read() == b"busy"
    third, three = await from_("192.0.2.2")
    three.write(b"x\n")
    assert await third.read() == b"192.0.2.2 1 False x\n"
    one.write(b"y\n")
    assert await first.read() == b"192.0.2.1 1 False y\n"
    for each in (one, two, three):
        each.close()


@pytest.mark.parametrize("together", [True, False])
async def test_before_implicit_tls(
    serve: Serve, tls: TlsContexts, client_tls: ssl.SSLContext, together: bool
) -> None:
    """The ClientHello may come in the segment of the header, or after it."""
    listener = await serve(who, proxy_protocol_from=TRUSTED, tls=tls, implicit_tls=True)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = client_tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    reader, writer = await dial(listener)
    header = GOOD[4][0]
    if together:
        writer.write(header + outgoing.read())
    else:
        writer.write(header)
        await asyncio.sleep(0.05)
        writer.write(outgoing.read())
    while True:
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            incoming.write(await reader.read(65536))
    session.write(b"hello\n")
    writer.write(outgoing.read())
    answer = b""
    while not answer.endswith(b"\n"):
        try:
            answer += session.read(1000)
        except ssl.SSLWantReadError:
            incoming.write(await reader.read(65536))
    assert answer == b"192.0.2.1 4000 True hello\n"
    writer.close()
