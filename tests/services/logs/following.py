"""Log lines of a running system, as values."""

import json
import time
from collections.abc import Iterable
from typing import Any

from tests.support import ServiceProcess

Line = dict[str, Any]


def lines(services: Iterable[ServiceProcess]) -> list[Line]:
    """Return every JSON line that these services have written so far."""
    found = []
    for service in services:
        for text in service.log().splitlines():
            if text.startswith("{"):
                found.append({**json.loads(text), "_service": service.name})
    return found


def wait_for(services: Iterable[ServiceProcess], **fields: Any) -> Line:
    """Return the first line with these fields, once it is there."""
    services = list(services)
    give_up = time.monotonic() + 30
    while True:
        for line in lines(services):
            if all(line.get(name) == value for name, value in fields.items()):
                return line
        assert time.monotonic() < give_up, (fields, [service.log() for service in services])
