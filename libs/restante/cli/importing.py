"""`restante account import`: accounts of a userdb, a passwd-file of Dovecot or a CSV.

Lines are sent in batches, each one transaction: an import that was broken off is simply started
again, what is there already is "unchanged".
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer

from restante.cli import output, sources
from restante.cli.admin import admin
from restante.cli.output import DryRunFlag, JsonFlag
from restante.cli.sources import Found
from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.admin_client import AdminClient

BATCH: Final = 250
_MAX_REQUEST: Final = 200 * 1024  # bytes; auth takes 256 KiB

_OUTCOMES: Final = ("created", "updated", "unchanged", "exists", "refused", "skipped")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    *,
    kind: Annotated[str, typer.Option("--from", help="userdb, dovecot or csv.")],
    domain: Annotated[str, typer.Option(help="Of names without one.")] = "",
    update: Annotated[
        bool, typer.Option("--update", help="Change accounts that exist; else they stay.")
    ] = False,
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
) -> None:
    """Import accounts with their homes, uids, gids and hashes as they are.

    Missing domains are added. Lines that cannot be imported are listed on stderr, exit code 1.
    """
    reader = sources.READERS.get(kind)
    if reader is None:
        output.fail(f"--from is one of {', '.join(sources.READERS)}", output.USAGE)
        return
    report = _Report(as_json=json)
    with admin() as client:
        for batch in _batches(_read(reader(file), file, report), domain):
            _send(client, batch, report, update=update, dry_run=dry_run)
    report.end(dry_run=dry_run)


class _Report:
    """Counts, and says what needs to be said while the import goes on."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._counts: Counter[str] = Counter()
        self._lines: list[dict[str, str]] = []
        self._progress = sys.stderr.isatty() and not as_json

    def count(self, outcome: str) -> None:
        self._counts[outcome] += 1

    def tell(self, place: str, text: str) -> None:
        """Say something of one line."""
        if self._json:
            self._lines.append({"place": place, "text": text})
        else:
            start = "\r" if self._progress else ""
            typer.echo(start + output.plain(f"{place}: {text}"), err=True)

    def step(self) -> None:
        """Show how far it is."""
        if self._progress:
            typer.echo(f"\r{self._counts.total()} lines", err=True, nl=False)

    def end(self, *, dry_run: bool) -> None:
        """Say what became of all; exit code 1 where lines were left out."""
        counts = {outcome: self._counts[outcome] for outcome in _OUTCOMES}
        if self._json:
            output.print_json({"applied": not dry_run, **counts, "lines": self._lines})
        else:
            if self._progress:
                typer.echo(f"\r{' ' * 30}\r", err=True, nl=False)
            text = ", ".join(f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES)
            typer.echo(f"would be: {text}" if dry_run else text)
        if counts["refused"] or counts["skipped"]:
            raise typer.Exit(output.FAILED)


def _read(lines: Iterator[Found], file: Path, report: _Report) -> Iterator[Found]:
    """Yield the accounts; tell of the other lines."""
    try:
        for found in lines:
            for note in found.notes:
                report.tell(found.place, f"{found.address}: {note}")
            if found.skip:
                report.tell(found.place, found.skip)
                report.count("skipped")
            else:
                yield found
    except OSError as error:
        text = f"{error.filename or file}: {error.strerror}"
        raise MailError(ErrorKind.BAD_REQUEST, text) from None


def _batches(found: Iterator[Found], domain: str) -> Iterator[list[tuple[Found, pb.ImportAccount]]]:
    """Yield batches that are small enough for one call."""
    while some := [(one, _message(one, domain)) for one in islice(found, BATCH)]:
        batch: list[tuple[Found, pb.ImportAccount]] = []
        size = 0
        for one, message in some:
            bytes_ = message.ByteSize() + 8
            if batch and size + bytes_ > _MAX_REQUEST:
                yield batch
                batch, size = [], 0
            batch.append((one, message))
            size += bytes_
        yield batch


def _send(
    client: AdminClient,
    batch: Sequence[tuple[Found, pb.ImportAccount]],
    report: _Report,
    *,
    update: bool,
    dry_run: bool,
) -> None:
    request = pb.ImportAccountsRequest(
        accounts=[message for _, message in batch],
        create_domains=True,
        update=update,
        dry_run=dry_run,
    )
    results = client.import_accounts(request)
    for (found, message), result in zip(batch, results, strict=True):
        report.count(result.outcome)
        if result.outcome == "refused":
            report.tell(found.place, f"{message.account.address}: {result.text}")
    report.step()


def _message(found: Found, domain: str) -> pb.ImportAccount:
    address = found.address if "@" in found.address or not domain else f"{found.address}@{domain}"
    return pb.ImportAccount(
        account=pb.Account(
            address=_clean(address),
            uid=found.uid,
            gid=found.gid,
            home=found.home,
            maildir=found.maildir,
            name=_clean(found.name),
            quota=found.quota,
            options=_clean(found.options),
            disabled=found.disabled,
        ),
        password_hash=_clean(found.password_hash),
    )


def _clean(text: str) -> str:
    """Bytes that are not UTF-8 are Latin-1, as old files have them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text
