"""`restante init`: what the first start of a stack of containers needs and nobody has made yet.

Secrets, the internal CA for calls to auth, a self-signed public certificate, and the mark of the
mail volume. Whatever is there stays: it may be run at every start, twice at once, and after a crash
at any point.

The mark of the mail volume is made at the very first start only, which the file FIRST_START among
the secrets tells from every later one: it is written last. After that, a mail volume without its
mark is one that is not mounted, and is refused.
"""

import datetime
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from restante.cli import output
from restante.cli.init_files import MAIL, Kept, Place, acting_as, alone
from restante.cli.init_pki import make_internal, make_public
from restante.cli.init_secrets import make_secrets
from restante.model import ErrorKind, MailError
from restante.runtime import environment
from restante.store.volume import SENTINEL, create_volume

app = typer.Typer()

FIRST_START: Final = Kept("first-start", mode=0o444)

NAMES: Final = "names"  # beside the certificate: a folder for each further name (RESTANTE_TLS_SNI)
_OPEN: Final = 0o755  # what lies in these directories is guarded file by file


@dataclass(frozen=True, slots=True)
class Where:
    """The directories of a stack and what it is called."""

    secrets: Path
    tls: Path
    rpc: Path
    mail: Path
    hosts: list[str]
    auth_names: list[str]


@dataclass(frozen=True, slots=True)
class Done:
    """What a run did."""

    first: bool
    made: list[Path]
    warning: str


@app.command()
def init(  # noqa: PLR0917 - the options of a command line
    secrets: Annotated[Path, typer.Option(help="Directory of secrets.")] = Path("/run/secrets"),
    tls: Annotated[Path, typer.Option(help="Directory of the certificate.")] = Path("/run/tls"),
    rpc: Annotated[Path, typer.Option(help="Directory of the internal CA.")] = Path("/run/rpc"),
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name in the self-signed certificate; by default RESTANTE_HOSTNAME."),
    ] = None,
    auth_name: Annotated[
        list[str] | None, typer.Option(help="One more name under which auth is called.")
    ] = None,
    json: output.JsonFlag = False,
) -> None:
    """Make the secrets, certificates and the mail volume's mark that are missing.

    For the first start of containers; what is there is never replaced, but certificates of the
    internal CA are renewed 30 days before they end.
    """
    with output.errors():
        names = host or [environment.hostname(), "localhost"]
        done = prepare(Where(secrets, tls, rpc, environment.mail_root(), names, auth_name or []))
    if done.warning:
        typer.echo(f"restante: warning: {output.plain(done.warning)}", err=True)
    if json:
        output.print_json({"first_start": done.first, "made": done.made, "warning": done.warning})
        return
    for path in done.made:
        typer.echo(f"made {path}")
    typer.echo("first start: done" if done.first else "everything is there")


def prepare(where: Where) -> Done:
    """Make what is missing. Raises MailError(CANNOT)."""
    made: list[Path] = []
    places = [Place(path, made) for path in (where.secrets, where.tls, where.rpc)]
    for place in places:
        place.prepare(_OPEN)
    secrets, tls, rpc = places
    Place(where.tls / NAMES, made).prepare(_OPEN)
    with alone(where.secrets):
        first = not secrets.has(FIRST_START)
        marked = _marked(where.mail)
        if not (first or marked):
            raise MailError(
                ErrorKind.CANNOT,
                f"no {SENTINEL} in {where.mail}, where mail was kept before:"
                " is the mail volume mounted? (a new, empty one: `restante volume init`)",
            )
        make_secrets(secrets)
        warning = make_public(tls, where.hosts)
        make_internal(rpc, where.auth_names)
        if first:
            if not marked:
                _mark(where.mail, made)
            now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
            secrets.write(FIRST_START, f"{now.isoformat()}\n".encode())
    return Done(first, made, warning)


def _marked(mail: Path) -> bool:
    with acting_as(MAIL, MAIL):
        try:
            (mail / SENTINEL).stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unusable(mail, error) from None
        return True


def _mark(mail: Path, made: list[Path]) -> None:
    """Make a mail volume of a directory; an empty one that is root's is given to the mail's owner.

    Raises MailError(CANNOT).
    """
    try:
        try:
            with acting_as(MAIL, MAIL):
                create_volume(mail)
        except PermissionError:
            if not _is_empty(mail):
                raise
            os.chown(mail, MAIL, MAIL)
            mail.chmod(0o711)
            with acting_as(MAIL, MAIL):
                create_volume(mail)
    except OSError as error:
        raise _unusable(mail, error) from None
    made.append(mail / SENTINEL)


def _is_empty(mail: Path) -> bool:
    return not {entry.name for entry in os.scandir(mail)} - {"lost+found"}


def _unusable(mail: Path, error: OSError) -> MailError:
    text = f"cannot use {mail} as mail volume: {error.strerror}; it must belong to uid {MAIL}"
    return MailError(ErrorKind.CANNOT, text)
