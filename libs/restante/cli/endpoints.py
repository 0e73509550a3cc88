"""What the running system offers, from the run files of its services."""

import http.client
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from restante.runtime import runfile
from restante.runtime.address import ListenAddress

SERVICES: Final = ("auth", "delivery", "pop3", "imap", "webmail")
"""In the order of starting; auth is the last to stop."""

# (service, field of its settings) -> (what people call it, a note)
_NAMES: Final = {
    ("imap", "listen"): ("IMAP", "STARTTLS"),
    ("imap", "tls_listen"): ("IMAPS", "TLS"),
    ("pop3", "listen"): ("POP3", "STLS"),
    ("pop3", "tls_listen"): ("POP3S", "TLS"),
    ("webmail", "listen"): ("Webmail", "HTTP"),
    ("delivery", "lmtp_listen"): ("LMTP", "mail in"),
    ("delivery", "http_listen"): ("HTTP hook", "mail in"),
    ("auth", "listen"): ("Auth", "gRPC"),
    ("auth", "tcp_listen"): ("Auth", "gRPC"),
    ("auth", "authdaemon_listen"): ("authdaemon", "exim, Courier"),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a service."""

    service: str
    name: str
    note: str
    address: ListenAddress

    @property
    def shown(self) -> str:
        """The address as a user types it."""
        return f"http://{self.address}/" if self.note == "HTTP" else str(self.address)


@dataclass(frozen=True, slots=True)
class Health:
    """What a service says of itself now."""

    service: str
    pid: int | None  # None: not running
    workers: int
    ready: bool
    text: str
    health_address: str


def endpoints(run_dir: Path) -> list[Endpoint]:
    """Return the addresses of the running services, those that mail programs use first."""
    found = []
    for (service, field), (name, note) in _NAMES.items():
        run = runfile.read(run_dir, service)
        address = run.endpoint(field) if run else None
        if address:
            found.append(Endpoint(service, name, note, address))
    return found


def health(run_dir: Path, service: str, timeout: float = 2.0) -> Health:
    """Ask a service whether it is ready."""
    run = runfile.read(run_dir, service)
    if run is None:
        return Health(service, None, 0, False, "not running", "")
    address = run.endpoint("health_listen")
    if not address or address.is_unix:
        return Health(service, run.pid, run.workers, True, "running", str(address))
    client = http.client.HTTPConnection(*address.target, timeout=timeout)
    try:
        client.request("GET", "/readyz")
        answer = client.getresponse()
        text = answer.read(1000).decode("utf-8", "replace").strip()
        ready = answer.status == 200
    except (OSError, http.client.HTTPException) as error:
        ready, text = False, f"does not answer: {error}"
    finally:
        client.close()
    return Health(service, run.pid, run.workers, ready, text, str(address))
