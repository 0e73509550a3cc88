"""`restante mail backup` and `restante mail backups`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from restante.cli import output
from restante.cli.mail import common
from restante.cli.mail.common import Address, AllFlag, Jobs
from restante.cli.output import JsonFlag
from restante.model import Account, ErrorKind, MailError
from restante.store.account import AccountStore
from restante.store.backup import place as places
from restante.store.backup.packs import PackReader, tar_size
from restante.store.backup.place import AccountPlace
from restante.store.backup.save import Saved, save

_COLUMNS = ("address", "run", "messages", "added", "added_bytes", "lost", "unreadable")


def backup(
    address: Address = "",
    *,
    target: Annotated[Path, typer.Option("--to", help="Directory of the backups.")],
    everybody: AllFlag = False,
    full: Annotated[
        bool, typer.Option("--full", help="Write every message again: a new chain of runs.")
    ] = False,
    keep: Annotated[
        int, typer.Option(min=0, help="Remove all but so many chains; 0 keeps all.")
    ] = 0,
    jobs: Jobs = 2,
    json: JsonFlag = False,
) -> None:
    """Back up accounts that may be in use: messages, flags, keywords, UIDs, dates, folders.

    Each run writes only messages that no earlier one has. Exit code 1 where a file could not be
    read or an account failed; the others are complete.
    """
    with common.volume() as store:
        found = common.accounts(address, everybody)

        def work(account: AccountStore) -> Saved | None:
            if everybody and not _has_mail(account):
                return None
            place = AccountPlace(target.absolute(), account.account.address)
            return save(account, place, full=full, keep=keep)

        outcome = common.each(found, store, work, _told, jobs=jobs)
    rows = [row for row in outcome.rows if row["run"]]
    if json:
        sums = common.totals(rows, ("messages", "added", "added_bytes", "lost", "unreadable"))
        output.print_json({"accounts": rows, "failed": outcome.failed, **sums})
    else:
        output.rows(rows, _COLUMNS, as_json=False, empty="no account has mail")
    common.end(outcome.code or output.FAILED * any(row["unreadable"] for row in rows))


def _has_mail(account: AccountStore) -> bool:
    """An account that never got mail has no Maildir: none is made for a backup."""
    with account.acting():
        return (account.maildir / "cur").is_dir()


def _told(account: Account, saved: Saved | None) -> dict[str, Any]:
    if saved is None:
        return {"address": account.address, "run": ""}
    return {"address": account.address, **asdict(saved)}


def backups(
    address: Address = "",
    *,
    source: Annotated[Path, typer.Option("--from", help="Directory of the backups.")],
    everybody: AllFlag = False,
    check: Annotated[
        bool, typer.Option("--check", help="Read every message and compare its checksum.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """List the runs of one account or of all that have any; with --check, read them.

    Nothing but the backups is needed: neither auth nor the mail volume. Exit code 1 where a run is
    damaged.
    """
    with output.errors():
        if bool(address) == everybody:
            output.fail("give one address, or --all", output.USAGE)
        names = places.addresses(source) if everybody else [address]
        rows: list[dict[str, Any]] = []
        for name in names:
            place = AccountPlace(source.absolute(), name)
            rows += _runs(place, check)
            if not everybody and not rows:
                place.choose()  # says where nothing was found
    output.rows(
        rows,
        ("address", "run", "full", "messages", "bytes", "tar_bytes", "state"),
        as_json=json,
        empty="no backups",
    )
    common.end(output.FAILED * any(row["state"] not in {"ok", ""} for row in rows))


def _runs(place: AccountPlace, check: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    checked: set[tuple[str, int]] = set()
    for run in place.runs():
        row: dict[str, Any] = {"address": place.address, "run": run}
        try:
            manifest = place.read(run)
            state = _check(place, run, checked) if check else ""
            row |= {
                "full": manifest.chain == run,
                "messages": manifest.messages,
                "bytes": manifest.size,
                "folders": [
                    {"name": common.shown(folder.name), "messages": len(folder.rows)}
                    for folder in manifest.folders
                ],
            }
        except MailError as error:
            if error.kind is not ErrorKind.CORRUPT:
                raise
            state = error.text
            row |= {"full": False, "messages": 0, "bytes": 0, "folders": []}
        rows.append({**row, "tar_bytes": tar_size(place.tar(run)), "state": state})
    return rows


def _check(place: AccountPlace, run: str, checked: set[tuple[str, int]]) -> str:
    """Read what a run names and no earlier one did; "ok", or what is wrong."""
    rows = [
        row
        for folder in place.read(run).folders
        for row in folder.rows
        if (row.pack, row.offset) not in checked
    ]
    damaged, first = 0, ""
    with PackReader(place) as packs:
        packs.open({row.pack for row in rows})
        for row in rows:
            try:
                packs.check(row)
                checked.add((row.pack, row.offset))
            except MailError as error:
                if error.kind is not ErrorKind.CORRUPT:
                    raise
                damaged, first = damaged + 1, first or error.text
    return f"{damaged} messages are damaged; {first}" if damaged else "ok"
