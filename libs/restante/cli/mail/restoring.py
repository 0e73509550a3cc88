"""`restante mail restore`."""

import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from restante.cli import output
from restante.cli.mail import common
from restante.cli.output import DryRunFlag, JsonFlag
from restante.model import Account, ErrorKind, MailError
from restante.store.account import AccountStore
from restante.store.backup.place import AccountPlace
from restante.store.backup.restore import Restored, Wanted
from restante.store.backup.restore import restore as put_back

Source = Annotated[Path, typer.Option("--from", help="Directory of the backups.")]


def restore(
    address: common.Address = "",
    *,
    source: Source,
    everybody: common.AllFlag = False,
    at: Annotated[
        str, typer.Option(help="The last run not after this time (UTC): 2026-11-22T15:00.")
    ] = "",
    folder: Annotated[
        str, typer.Option(help='Only this folder and its children: "Work/2026", INBOX.')
    ] = "",
    into: Annotated[
        str, typer.Option(help="All messages into this folder, made where it is not there.")
    ] = "",
    since: Annotated[
        str, typer.Option(help="Only messages with this internal date or later: 2026-11-01.")
    ] = "",
    as_address: Annotated[
        str, typer.Option("--as", help="Whose backup: an address that the account had before.")
    ] = "",
    over_quota: Annotated[
        bool, typer.Option("--over-quota", help="Even where the mailbox gets too full.")
    ] = False,
    keep_uids: Annotated[
        bool,
        typer.Option("--keep-uids", help="Folders that never had mail go on with their UIDs."),
    ] = False,
    jobs: common.Jobs = 2,
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
) -> None:
    """Put back messages and folders that are missing; what is there is not touched.

    A message that was moved counts as there, one in Trash does not. Repeating it changes nothing.
    Exit code 1 where a message of the backup is damaged.
    """
    with common.volume() as store:
        wanted = Wanted(
            common.folder_of(folder) if folder else None,
            common.folder_of(into) if into else None,
            _seconds(since) if since else None,
            dry_run,
            over_quota,
            keep_uids,
        )
        if everybody and as_address:
            output.fail("--as is for one account", output.USAGE)

        def work(account: AccountStore) -> Restored | None:
            place = AccountPlace(source.absolute(), as_address or account.account.address)
            if everybody and not place.runs():
                return None
            return put_back(account, place, place.choose(at), wanted)

        found = common.accounts(address, everybody)
        outcome = common.each(found, store, work, _told, jobs=jobs)
    rows = [row for row in outcome.rows if row["run"]]
    if json:
        sums = common.totals(rows, ("saved", "restored", "bytes", "damaged"))
        applied = {"applied": not dry_run, "accounts": rows, "failed": outcome.failed}
        output.print_json({**applied, **sums})
    else:
        _say(rows, dry_run=dry_run)
    common.end(outcome.code or output.FAILED * any(row["damaged"] for row in rows))


def _told(account: Account, done: Restored | None) -> dict[str, Any]:
    if done is None:
        return {"address": account.address, "run": ""}
    return {
        "address": account.address,
        "run": done.run,
        "saved": done.saved,
        "restored": done.restored,
        "bytes": done.bytes,
        "damaged": done.damaged,
        "folders": {common.shown(name): count for name, count in done.folders.items()},
        "made": [common.shown(name) for name in done.made],
    }


def _say(rows: list[dict[str, Any]], *, dry_run: bool) -> None:
    for row in rows:
        verb = "would restore" if dry_run else "restored"
        text = f"{row['address']}: {verb} {row['restored']} of {row['saved']} messages"
        text += f" of {row['run']} ({row['bytes']} bytes)"
        if row["made"]:
            text += f", folders {'to make' if dry_run else 'made'}: {', '.join(row['made'])}"
        typer.echo(output.plain(text))
        for name, count in row["folders"].items():
            typer.echo(output.plain(f"  {name}: {count}"))
        if row["damaged"]:
            text = f"{row['address']}: {row['damaged']} messages of the backup are damaged"
            typer.echo(f"restante: {output.plain(text)}", err=True)


def _seconds(text: str) -> int:
    try:
        when = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise MailError(ErrorKind.BAD_REQUEST, f"not a date: {text!r}") from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    return int(when.timestamp())
