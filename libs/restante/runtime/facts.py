"""Metrics that do not come from counting: version, limits, certificates. Made at each scrape."""

import platform
import time
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography import x509

import restante
from restante.runtime.metrics import Family, family
from restante.runtime.settings import ServiceSettings

_STARTED: Final = time.time()
_CERTIFICATES: Final = (
    "tls_certificate",
    "grpc_certificate",
    "authdaemon_certificate",
    "http_certificate",
    "auth_client_certificate",
)
_SNI_NAMES: Final = ("tls.crt", "fullchain.pem")  # in a folder for each name (tls_names.py)
_MOST_NAMES: Final = 200  # that are told: a scrape must stay small
_LIMITS: Final = {
    "connections": "max_connections",
    "connections_per_address": "max_connections_per_address",
    "connections_per_user": "max_connections_per_user",
    "message_bytes": "max_message_size",
    "recipients": "max_recipients",
    "verify_queue": "verify_queue",
    "pam_helpers": "pam_helpers",
}


def of(settings: ServiceSettings) -> list[Family]:
    """Return what is known of a service with these settings. Reads small local files only."""
    limits = {(name,): getattr(settings, field, None) for name, field in _LIMITS.items()}
    return [
        family(
            "restante_build_info",
            "gauge",
            "1, with the version that runs.",
            ("version", "python"),
            {(restante.__version__, platform.python_version()): 1},
        ),
        family(
            "restante_start_time_seconds",
            "gauge",
            "When the service was started, in unix seconds.",
            (),
            {(): _STARTED},
        ),
        family(
            "restante_limit",
            "gauge",
            "Limits of the settings.",
            ("name",),
            {name: float(value) for name, value in limits.items() if value is not None},
        ),
        family(
            "restante_certificate_expiry_timestamp_seconds",
            "gauge",
            "When a certificate that the service shows ends, in unix seconds.",
            ("file",),
            {(str(path),): at for path, at in _expiries(settings)},
        ),
    ]


def _expiries(settings: ServiceSettings) -> list[tuple[Path, float]]:
    named = {getattr(settings, field, None) for field in _CERTIFICATES}
    if settings.tls_sni is not None:
        for name in _SNI_NAMES:
            named.update(sorted(settings.tls_sni.glob(f"*/{name}"))[:_MOST_NAMES])
    found = []
    for path in sorted(path for path in named if isinstance(path, Path)):
        try:
            found.append((path, _expiry(path, path.stat().st_mtime_ns)))
        except (OSError, ValueError):
            continue  # none there, or half written: the next scrape sees it
    return found


@lru_cache(maxsize=4096)
def _expiry(path: Path, _mtime: int) -> float:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.not_valid_after_utc.timestamp()
