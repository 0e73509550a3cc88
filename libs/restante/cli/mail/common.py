"""Which accounts a command of `restante mail` works on, and how it tells what became of them."""

import resource
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar

import typer

from restante.cli import output
from restante.cli.admin import open_target
from restante.model import INBOX, Account, ErrorKind, FolderName, MailError
from restante.model.folder_name import folder_name
from restante.runtime import environment
from restante.store.account import AccountStore, MailStore
from restante.store.hints import Hints
from restante.store.volume import check_volume

Address = Annotated[
    str, typer.Argument(metavar="[USER@DOMAIN]", show_default=False, help="One account.")
]
AllFlag = Annotated[bool, typer.Option("--all", help="Every account of every module.")]
Jobs = Annotated[int, typer.Option(min=1, max=64, help="Accounts at once.")]

_AHEAD: Final = 4  # accounts that wait for each job
_R = TypeVar("_R")


@contextmanager
def volume() -> Iterator[MailStore]:
    """Give the mail volume; errors become one line and an exit code."""
    with output.errors():
        _many_files()
        yield MailStore(environment.mail_root(), hints=Hints(), volumes=environment.mail_volumes())


def _many_files() -> None:
    """All folders of an account are open at once: take as many files as we may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def accounts(address: str, everybody: bool) -> Iterator[Account]:
    """Yield the account, or all. MailError(NO_SUCH_USER, TEMPORARY)."""
    if bool(address) == everybody:
        output.fail("give one address, or --all", output.USAGE)
    with open_target() as client:
        if everybody:
            yield from client.enumerate()
        else:
            yield client.lookup(address)


@dataclass(slots=True)
class Outcome:
    """What became of the accounts."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0
    code: int = 0  # of the exit


def each(
    found: Iterator[Account],
    store: MailStore,
    work: Callable[[AccountStore], _R],
    tell: Callable[[Account, _R], dict[str, Any]],
    *,
    jobs: int,
) -> Outcome:
    """Do `work` for each account, `jobs` at once; one that fails does not stop the others.

    Its error is one line on stderr. MailError where the accounts cannot be listed.
    """
    outcome = Outcome()
    waiting: list[tuple[Account, Future[_R]]] = []

    def start(account: Account) -> _R:
        # One that is not mounted must not look like accounts without mail.
        check_volume(store.volumes.of(account.maildir))
        return work(store.open_account(account))

    def settle(account: Account, future: Future[_R]) -> None:
        try:
            outcome.rows.append(tell(account, future.result()))
        except MailError as error:
            outcome.failed += 1
            outcome.code = outcome.code or output.code_of(error)
            typer.echo(f"restante: {output.plain(f'{account.address}: {error.text}')}", err=True)

    with ThreadPoolExecutor(jobs) as pool:
        for account in found:
            waiting.append((account, pool.submit(start, account)))
            if len(waiting) >= jobs * _AHEAD:
                settle(*waiting.pop(0))
        for account, future in waiting:
            settle(account, future)
    return outcome


def folder_of(text: str) -> FolderName:
    """Return the folder that people write as "Work/2026", or INBOX. MailError(BAD_REQUEST)."""
    if text.upper() == "INBOX":
        return INBOX
    parts = text.split("/")
    if parts[0].upper() == "INBOX":
        parts = parts[1:]
    try:
        return folder_name(tuple(parts))
    except MailError as error:
        raise MailError(ErrorKind.BAD_REQUEST, f"no folder can be called {text!r}") from error


def shown(name: FolderName) -> str:
    """Return a folder as people write it."""
    return "/".join(name) or "INBOX"


def end(code: int) -> None:
    """End the command."""
    if code:
        raise typer.Exit(code)


def totals(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> dict[str, int]:
    """Return the sums of some columns."""
    return {key: sum(row[key] for row in rows) for key in keys}
