"""What counts as one place on the network."""

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def network_of(peer: str) -> str:
    """Return what counts as one place: an IPv4 address, an IPv6 /64, or the text itself."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False).network_address)
