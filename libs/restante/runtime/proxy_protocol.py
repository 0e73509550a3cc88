"""The PROXY protocol, versions 1 and 2: who the client behind a load balancer is. Sans-IO.

Source: haproxy's doc/proxy-protocol.txt. The header is believed only from trusted networks, and
from those it is required: a trusted balancer that forgets it would hide every client's address.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

MAX_HEADER: Final = 16 + 4096  # bytes; v1 has at most 107, v2 with usual TLVs a few hundred

_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V1: Final = b"PROXY "
_V1_MAX: Final = 107
_V1_LINE: Final = re.compile(rb"PROXY (TCP[46]) (\S+) (\S+) (\d{1,5}) (\d{1,5})\Z")


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A parsed header. `source` is None when the balancer speaks for itself (LOCAL, UNKNOWN)."""

    length: int  # bytes of the header; what follows belongs to the client
    source: tuple[str, int] | None
    destination: tuple[str, int] | None


def parse(data: bytes) -> ProxyHeader | None:
    """Parse a header at the start of `data`; None means that more is needed.

    Raises ValueError as soon as the bytes cannot become a header.
    """
    if data[:12] == _V2[: len(data)]:
        return _parse_v2(data) if len(data) >= 16 else None
    if data[:6] == _V1[: len(data)]:
        return _parse_v1(data)
    raise ValueError("no PROXY protocol header")


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _V1_MAX)
    if end < 0:
        if len(data) >= _V1_MAX:
            raise ValueError("PROXY line is too long")
        return None
    line = data[:end]
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return ProxyHeader(end + 2, None, None)
    match = _V1_LINE.match(line)
    if match is None:
        raise ValueError("malformed PROXY line")
    family, source, destination, source_port, destination_port = match.groups()
    kind = ipaddress.IPv4Address if family == b"TCP4" else ipaddress.IPv6Address
    return ProxyHeader(
        end + 2,
        (str(kind(source.decode("ascii", "replace"))), _port(source_port)),
        (str(kind(destination.decode("ascii", "replace"))), _port(destination_port)),
    )


def _port(digits: bytes) -> int:
    port = int(digits)
    if port > 65535:
        raise ValueError("PROXY port is out of range")
    return port


def _parse_v2(data: bytes) -> ProxyHeader | None:
    version, command = data[12] >> 4, data[12] & 15
    family, transport = data[13] >> 4, data[13] & 15
    size = int.from_bytes(data[14:16], "big")
    if version != 2 or command > 1:
        raise ValueError("unknown PROXY version or command")
    if 16 + size > MAX_HEADER:
        raise ValueError("PROXY header is too long")
    if len(data) < 16 + size:
        return None
    body = data[16 : 16 + size]
    width = {1: 4, 2: 16}.get(family)
    if command == 0 or width is None or transport != 1:
        return ProxyHeader(16 + size, None, None)
    if len(body) < 2 * width + 4:
        raise ValueError("PROXY header is too short")
    ports = body[2 * width :]
    return ProxyHeader(
        16 + size,
        (str(ipaddress.ip_address(body[:width])), int.from_bytes(ports[:2], "big")),
        (str(ipaddress.ip_address(body[width : 2 * width])), int.from_bytes(ports[2:4], "big")),
    )
