"""`restante healthy [SERVICE]`: the check of a container's health, by exit code.

It runs every few seconds in every container, so it imports next to nothing: a run file is read and
/readyz asked by hand, in a third of the time that the libraries for it take to load.
"""

import json
import os
import socket
import sys
from collections.abc import Sequence

_SERVICES = ("auth", "delivery", "pop3", "imap", "webmail")  # those of restante.cli.endpoints
_PATIENCE = 3.0  # seconds


def main(words: Sequence[str]) -> int:
    """Ask the services that run on this data directory, or those named; 0 if all are ready."""
    unknown = [word for word in words if word not in _SERVICES]
    if unknown:
        sys.stderr.write(f"restante: no service {unknown[0]!r}; one of: {', '.join(_SERVICES)}\n")
        return 2
    run_dir = os.path.join(os.environ.get("RESTANTE_DATA") or "var", "run")
    found = {name: _address(run_dir, name) for name in words or _SERVICES}
    bad = [f"{name}: not running" for name in words if found[name] is None]
    asked = {name: address for name, address in found.items() if address is not None}
    for name, address in asked.items():
        fault = _ask(address) if address else ""
        if fault:
            bad.append(f"{name}: {fault}")
    if not asked and not bad:
        bad.append("no service is running")
    sys.stderr.write("".join(f"{line}\n" for line in bad))
    return 1 if bad else 0


def _address(run_dir: str, name: str) -> str | None:
    """Return where a running service tells its health, "" where nowhere; None: it does not run."""
    try:
        with open(os.path.join(run_dir, f"{name}.json"), encoding="utf-8") as file:
            run = json.load(file)
        address = str(run["endpoints"].get("health_listen", ""))
        os.kill(int(run["pid"]), 0)
    except PermissionError:
        return address
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return address


def _ask(address: str) -> str:
    """Return what /readyz complains of, "" where it does not."""
    host, _, port = address.rpartition(":")
    host = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(  # noqa: S104 - binds nothing
        host, host.strip("[]")
    )
    answer = b""
    try:
        with socket.create_connection((host, int(port)), _PATIENCE) as client:
            client.settimeout(_PATIENCE)
            client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            while data := client.recv(4096):
                answer += data
    except (OSError, ValueError) as error:
        return f"does not answer: {error}"
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] == [b"200"]:
        return ""
    return body.decode("utf-8", "replace").strip()[:1000] or "does not answer"
