"""Bound sockets: made by a worker, or by its parent before the fork.

The parent binds every TCP address first without listening: so a port in use is found before a
worker starts, and port 0 becomes one port for all workers, which then bind it too and listen with
SO_REUSEPORT. A unix socket cannot be bound twice; with several workers the parent binds it,
listens, and all workers accept from the one socket.
"""

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError
from restante.runtime.address import ListenAddress

BACKLOG: Final = 2048
KEEPALIVE_IDLE: Final = 120  # seconds until the kernel asks whether a silent peer still lives

_inherited: dict[str, socket.socket] = {}  # path -> listening unix socket, from the parent


def bind(address: ListenAddress, *, mode: int = 0o660, listen: bool = True) -> socket.socket:
    """Return a non-blocking socket bound to the address, and listening.

    `mode` is that of a unix socket's file. Raises MailError(CANNOT): one clear line.
    """
    if address.is_unix:
        found = _inherited.get(address.path)
        return found.dup() if found is not None else _bind_unix(address, mode)
    return _bind_tcp(address, listen=listen, share=True)


def reserve(
    address: ListenAddress, *, share_unix: bool
) -> tuple[ListenAddress, socket.socket | None]:
    """In the parent: hold the address, and return it with its real port.

    Raises MailError(CANNOT) when it is in use.
    """
    if address.is_unix:
        if not share_unix:  # the worker binds it; a second service must not get that far
            try:
                _remove_stale(Path(address.path))
            except OSError as error:
                raise _cannot(address, error) from None
            return address, None
        held = _inherited[address.path] = _bind_unix(address, 0o660)
        return address, held
    # Without SO_REUSEPORT this fails when anything listens there, even a second Restante.
    _bind_tcp(address, listen=False, share=False).close()
    held = _bind_tcp(address, listen=False, share=True)
    return ListenAddress(address.host, held.getsockname()[1]), held


def bind_alone(address: ListenAddress) -> socket.socket:
    """Return a listening socket that this process shares with nobody. Raises MailError(CANNOT)."""
    if address.is_unix:
        return _bind_unix(address, 0o660)
    return _bind_tcp(address, listen=True, share=False)


def release_unix(address: ListenAddress) -> None:
    """Remove the file of a unix socket that this process bound."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address.path)


def _bind_tcp(address: ListenAddress, *, listen: bool, share: bool) -> socket.socket:
    family, target = _resolve(address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            only = address.host not in ("*", "::")
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only))
        # Accepted sockets inherit these.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
        sock.bind(target)
        if listen:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _cannot(address, error) from None
    return sock


def _resolve(address: ListenAddress) -> tuple[int, tuple[str, int]]:
    if address.host == "*":
        if socket.has_dualstack_ipv6():
            return socket.AF_INET6, ("::", address.port)
        return socket.AF_INET, ("0.0.0.0", address.port)  # noqa: S104 - "*" asks for it
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):
        raise MailError(
            ErrorKind.CANNOT, f"cannot listen on {address}: unknown host name"
        ) from None
    family, _, _, _, target = found[0]
    return family, (str(target[0]), address.port)


def _bind_unix(address: ListenAddress, mode: int) -> socket.socket:
    path = Path(address.path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        sock.setblocking(False)
        before = os.umask(0o777 & ~mode)
        try:
            sock.bind(address.path)
        finally:
            os.umask(before)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _cannot(address, error) from None
    return sock


def _remove_stale(path: Path) -> None:
    """Remove a socket file that nobody listens on any more; raises EADDRINUSE if somebody does."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass  # a full backlog or no permission: somebody is there
    raise OSError(errno.EADDRINUSE, "address already in use")


def _cannot(address: ListenAddress, error: OSError) -> MailError:
    reason = {
        errno.EADDRINUSE: "the address is already in use",
        errno.EACCES: "permission denied (ports below 1024 need CAP_NET_BIND_SERVICE)",
        errno.EADDRNOTAVAIL: "this machine does not have that address",
    }.get(error.errno or 0, error.strerror or str(error))
    if address.is_unix and error.errno == errno.EACCES:
        reason = "permission denied"
    return MailError(ErrorKind.CANNOT, f"cannot listen on {address}: {reason}")
