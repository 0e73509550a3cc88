"""`restante healthy [SERVICE]`: the check of a container's health, by exit code.

It runs every few seconds in every container, so it takes the short way past the command line's
libraries: 30 ms instead of 300.
"""

import sys
from collections.abc import Sequence

from restante.cli.endpoints import SERVICES, health
from restante.runtime import environment


def main(words: Sequence[str]) -> int:
    """Ask the services that run on this data directory, or those named; 0 if all are ready."""
    unknown = [word for word in words if word not in SERVICES]
    if unknown:
        sys.stderr.write(f"restante: no service {unknown[0]!r}; one of: {', '.join(SERVICES)}\n")
        return 2
    found = [health(environment.run_dir(), name, timeout=3.0) for name in words or SERVICES]
    asked = found if words else [one for one in found if one.pid is not None]
    bad = [one for one in asked if not one.ready]
    for one in bad:
        sys.stderr.write(f"{one.service}: {one.text}\n")
    if not asked:
        sys.stderr.write("no service is running\n")
    return 1 if bad or not asked else 0
