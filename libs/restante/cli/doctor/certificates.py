"""TLS certificates: there, of their key, valid now and for a while, for the names in use."""

import datetime
import ipaddress
import ssl
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from restante.cli.cert import CertificateFacts, read_certificate
from restante.cli.doctor.finding import Finding, fail, ok, warn
from restante.runtime.settings import ServiceSettings

SOON: Final = datetime.timedelta(days=14)
_RENEW: Final = "renew it (`restante cert make --force` for a self-signed one)"


def check(settings: Mapping[str, ServiceSettings]) -> Iterator[Finding]:
    """Look at each pair of files once, and at auth's own for gRPC."""
    pairs: dict[tuple[Path, Path], str] = {}
    for name in ("imap", "pop3", "delivery"):
        if name in settings:
            one = settings[name]
            pairs.setdefault((one.tls_certificate, one.tls_key), one.hostname)
    for (certificate, key), hostname in pairs.items():
        yield from _pair(certificate, key, hostname)
    auth = settings.get("auth")
    own: tuple[Path | None, Path | None]
    own = (getattr(auth, "grpc_certificate", None), getattr(auth, "grpc_key", None))
    if own[0] and own[1]:
        yield from _pair(own[0], own[1], "")


def _pair(certificate: Path, key: Path, hostname: str) -> Iterator[Finding]:
    what = f"certificate {certificate}"
    try:
        facts = read_certificate(certificate)
    except FileNotFoundError:
        advice = "`restante cert make`, or set RESTANTE_TLS_CERTIFICATE and RESTANTE_TLS_KEY"
        yield warn(what, "is not there: no TLS is served", advice)
        return
    except (OSError, ValueError, IndexError) as error:
        yield fail(what, f"cannot be read: {error}", "it must be a PEM file")
        return
    yield from _key(what, certificate, key)
    yield _dates(what, facts)
    if hostname:
        yield _names(what, facts, hostname)


def _key(what: str, certificate: Path, key: Path) -> Iterator[Finding]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            certificate,
            key,
            password=lambda: "",  # ask nobody
        )
        mode = stat.S_IMODE(key.stat().st_mode)
    except (OSError, ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        yield fail(what, f"the key {key} does not fit: {reason}", "use the two files of one pair")
        return
    if mode & 0o077:
        yield warn(f"key {key}", f"others may read it (mode {mode:04o})", f"chmod 600 {key}")
    else:
        yield ok(what, "has its key")


def _dates(what: str, facts: CertificateFacts) -> Finding:
    now = datetime.datetime.now(datetime.UTC)
    if now < facts.not_before:
        return fail(what, f"is not valid before {facts.not_before:%Y-%m-%d}", "check the clock")
    if now >= facts.not_after:
        return fail(what, f"ended on {facts.not_after:%Y-%m-%d}", _RENEW)
    if now + SOON >= facts.not_after:
        return warn(what, f"ends on {facts.not_after:%Y-%m-%d}", _RENEW)
    return ok(what, f"is valid until {facts.not_after:%Y-%m-%d}")


def _names(what: str, facts: CertificateFacts, hostname: str) -> Finding:
    if any(_is_for(name, hostname) for name in facts.hosts):
        return ok(what, f"is for {', '.join(facts.hosts)}")
    names = ", ".join(facts.hosts) or "no name"
    advice = "fine if clients use those names; else `restante cert make --host NAME`, or another"
    return warn(what, f"is for {names}, not for RESTANTE_HOSTNAME {hostname}", advice)


def _is_for(name: str, hostname: str) -> bool:
    name, hostname = name.lower(), hostname.lower()
    if name.startswith("*."):
        try:
            ipaddress.ip_address(hostname)
        except ValueError:
            return hostname.partition(".")[2] == name[2:]
    return name == hostname
