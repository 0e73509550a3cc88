# ruff: noqa: PLC0415 - loading cryptography takes 100 ms that most commands need not wait
"""`restante cert make|show`: a self-signed certificate, as Courier's mkimapdcert made one.

The key is ECDSA P-256. The certificate is no CA, so that strict clients take it as a server's and
those that trust it as it is (curl --cacert, mbsync's CertificateFile) can do that too.
"""

import contextlib
import datetime
import ipaddress
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from restante.runtime import environment

app = typer.Typer(no_args_is_help=True, help="Make and show the TLS certificate.")

DEFAULT_DAYS: Final = 825  # the longest that common clients accept
_ALWAYS: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says of itself."""

    path: Path
    hosts: tuple[str, ...]
    subject: str
    self_signed: bool
    not_before: datetime.datetime
    not_after: datetime.datetime
    sha256: str  # "AA:BB:..." of the DER form

    def as_json(self) -> dict[str, Any]:
        """Return the facts for --json."""
        return {
            "path": str(self.path),
            "hosts": list(self.hosts),
            "subject": self.subject,
            "self_signed": self.self_signed,
            "not_before": self.not_before.isoformat(),
            "not_after": self.not_after.isoformat(),
            "sha256": self.sha256,
        }


def make_certificate(
    certificate: Path, key: Path, hosts: list[str], days: int = DEFAULT_DAYS
) -> None:
    """Write a fresh key and a self-signed certificate for `hosts`, both 0600.

    The same path twice gives one file that holds both. Existing files are replaced in one step.
    Raises OSError, and ValueError for a name that cannot stand in a certificate.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    pem_certificate = self_signed(private, hosts, days)
    pem_key = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    if certificate == key:
        _write(key, pem_key + pem_certificate)
    else:
        _write(key, pem_key)
        _write(certificate, pem_certificate)


def self_signed(private: Any, hosts: list[str], days: int = DEFAULT_DAYS) -> bytes:
    """Return a certificate (PEM) for `hosts` and a private key, signed by that key.

    Raises ValueError for a name that cannot stand in a certificate.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        # Clients whose clock is a little behind must be able to use it at once.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_general_name(h) for h in hosts]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(usage, True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(private, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM)


def read_certificate(path: Path) -> CertificateFacts:
    """Read the first certificate of a PEM file. Raises OSError and ValueError."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    found = x509.load_pem_x509_certificates(path.read_bytes())[0]
    hosts: list[str] = []
    with contextlib.suppress(x509.ExtensionNotFound):
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = [*names.get_values_for_type(x509.DNSName)]
        hosts += [str(ip) for ip in names.get_values_for_type(x509.IPAddress)]
    return CertificateFacts(
        path=path,
        hosts=tuple(hosts),
        subject=found.subject.rfc4514_string(),
        self_signed=found.issuer == found.subject,
        not_before=found.not_valid_before_utc,
        not_after=found.not_valid_after_utc,
        sha256=found.fingerprint(hashes.SHA256()).hex(":").upper(),
    )


def default_hosts() -> list[str]:
    """Return the names that a certificate of this machine is made for."""
    own = os.environ.get("RESTANTE_HOSTNAME") or socket.gethostname()
    return list(dict.fromkeys([own, *_ALWAYS]))


def _general_name(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(
            host.encode("idna").decode("ascii") if host.isascii() is False else host
        )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _fail(text: str) -> typer.Exit:
    typer.echo(f"restante: {text}", err=True)
    return typer.Exit(1)


@app.command()
def make(  # noqa: PLR0917 - the options of a command line
    host: Annotated[
        list[str] | None,
        typer.Option(help="A name or IP address it is for; repeat for more. First: the subject."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=36500, help="Days it is valid.")] = DEFAULT_DAYS,
    certificate: Annotated[Path | None, typer.Option(help="File of the certificate.")] = None,
    key: Annotated[Path | None, typer.Option(help="File of the key.")] = None,
    combined: Annotated[
        Path | None,
        typer.Option(help="One file with key and certificate, as imapd.pem and pop3d.pem were."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a self-signed certificate where the services look for it."""
    if combined is not None and (certificate is not None or key is not None):
        raise _fail("--combined stands alone, without --certificate and --key")
    default_certificate, default_key = environment.certificate_files()
    certificate = combined or certificate or default_certificate
    key = combined or key or default_key
    existing = [str(path) for path in dict.fromkeys((certificate, key)) if path.exists()]
    if existing and not force:
        raise _fail(f"{' and '.join(existing)} exist already; --force replaces them")
    try:
        make_certificate(certificate, key, host or default_hosts(), days)
        facts = read_certificate(certificate)
    except (OSError, ValueError) as error:
        raise _fail(f"cannot make the certificate: {error}") from None
    _show(facts, as_json)


@app.command()
def show(
    certificate: Annotated[Path | None, typer.Option(help="File of the certificate.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the certificate that the services use."""
    path = certificate or environment.certificate_files()[0]
    try:
        facts = read_certificate(path)
    except FileNotFoundError:
        raise _fail(f"there is no {path}; `restante cert make` makes one") from None
    except (OSError, ValueError) as error:
        raise _fail(f"cannot read {path}: {error}") from None
    _show(facts, as_json)


def _show(facts: CertificateFacts, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts.as_json(), indent=1))
    else:
        _print(facts)


def _print(facts: CertificateFacts) -> None:
    issuer = "self-signed" if facts.self_signed else "signed by a CA"
    typer.echo(f"File       {facts.path}")
    typer.echo(f"Subject    {facts.subject} ({issuer})")
    typer.echo(f"Hosts      {', '.join(facts.hosts)}")
    typer.echo(f"Valid      {facts.not_before:%Y-%m-%d} to {facts.not_after:%Y-%m-%d}")
    typer.echo(f"SHA-256    {facts.sha256}")
