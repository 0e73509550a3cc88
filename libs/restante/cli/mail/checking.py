"""`restante mail verify` and `restante mail restored`."""

from typing import Annotated, Any

import typer

from restante.cli import output
from restante.cli.mail import common
from restante.cli.mail.common import Address, AllFlag, Jobs
from restante.cli.output import JsonFlag, YesFlag
from restante.model import Account
from restante.store.account import AccountStore
from restante.store.backup.numbers import Renumbered, renumber
from restante.store.verify import Flaw, Verified
from restante.store.verify import verify as look


def verify(
    address: Address = "",
    *,
    everybody: AllFlag = False,
    deep: Annotated[bool, typer.Option("--deep", help="Read every message, too.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what cannot lose anything.")
    ] = False,
    jobs: Jobs = 2,
    json: JsonFlag = False,
) -> None:
    """Look whether index, files, quota, names and owners of accounts agree.

    Notes are harmless. Exit code 1 where an error or a warning is left.
    """
    with common.volume() as store:

        def work(account: AccountStore) -> Verified | None:
            with account.acting():
                if everybody and not account.maildir.exists():
                    return None
            return look(account, deep=deep, repair=repair)

        found = common.accounts(address, everybody)
        outcome = common.each(found, store, work, _verified, jobs=jobs)
    rows = [row for row in outcome.rows if row["folders"]]
    errors = sum(row["errors"] for row in rows)
    if json:
        sums = common.totals(rows, ("folders", "messages", "bytes", "errors"))
        output.print_json({"accounts": rows, "failed": outcome.failed, **sums})
    else:
        for row in rows:
            for flaw in row["flaws"]:
                place = f"{row['address']} {flaw['folder']}".rstrip()
                mended = " (repaired)" if flaw["repaired"] else ""
                typer.echo(output.plain(f"{flaw['grade']}: {place}: {flaw['text']}{mended}"))
        count, messages = len(rows), sum(row["messages"] for row in rows)
        typer.echo(f"{count} accounts, {messages} messages, {errors} errors and warnings")
    common.end(outcome.code or output.FAILED * bool(errors))


def _verified(account: Account, found: Verified | None) -> dict[str, Any]:
    if found is None:
        return {"address": account.address, "folders": 0}
    return {
        "address": account.address,
        "folders": found.folders,
        "messages": found.messages,
        "bytes": found.bytes,
        "errors": found.errors,
        "flaws": [_flaw(flaw) for flaw in found.flaws],
    }


def _flaw(flaw: Flaw) -> dict[str, Any]:
    return {
        "grade": flaw.grade.value,
        "folder": "" if flaw.folder is None else common.shown(flaw.folder),
        "text": flaw.text,
        "repaired": flaw.repaired,
    }


def restored(
    address: Address = "",
    *,
    everybody: AllFlag = False,
    keep_uids: Annotated[
        bool,
        typer.Option(
            "--keep-uids", help="Only right if no service ran since the volume came back."
        ),
    ] = False,
    jobs: Jobs = 2,
    yes: YesFlag = False,
    json: JsonFlag = False,
) -> None:
    """Say that mail came back from an older state of the volume: no UID gets another meaning.

    Run it after a snapshot, rsync or tar was put back, before the services start. Every folder gets
    a new UIDVALIDITY, and clients read it anew; with --keep-uids, UIDs go on far above all that was
    given out, and clients keep what they have. POP3 clients notice nothing.
    """
    if everybody:
        question = "Give every folder of every account new UIDs?"
        if keep_uids:
            question = "Has no service run since the volume came back?"
        output.confirm(question, yes=yes, needed_in_scripts=True)
    with common.volume() as store:
        found = common.accounts(address, everybody)
        outcome = common.each(
            found,
            store,
            lambda account: renumber(account, keep_uids=keep_uids),
            _renumbered,
            jobs=jobs,
        )
    rows = outcome.rows
    if json:
        output.print_json({"accounts": rows, "failed": outcome.failed})
    else:
        folders = sum(len(row["folders"]) for row in rows)
        renewed = sum(folder["renewed"] for row in rows for folder in row["folders"])
        text = f"{len(rows)} accounts, {folders} folders, {renewed} with a new UIDVALIDITY"
        output.done(text)
    common.end(outcome.code)


def _renumbered(account: Account, done: list[Renumbered]) -> dict[str, Any]:
    return {
        "address": account.address,
        "folders": [
            {
                "name": common.shown(folder.name),
                "uidvalidity": folder.uidvalidity,
                "uidnext": folder.uidnext,
                "messages": folder.messages,
                "renewed": folder.renewed,
            }
            for folder in done
        ],
    }
