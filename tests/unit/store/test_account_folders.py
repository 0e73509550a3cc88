"""Random folder operations against a model that is a dictionary."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restante.model import INBOX, Account, ErrorKind, FolderName, MailError
from restante.store.account import AccountStore, MailStore
from restante.store.delivery import Incoming
from restante.store.hints import Hints
from restante.store.pool import StorePool
from restante.store.volume import create_volume

PARTS = ["A", "ü", "R&D", "R&-D", "&AOQ-"]
folder = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map(tuple)
operation = st.one_of(
    st.tuples(st.just("create"), folder),
    st.tuples(st.just("delete"), folder),
    st.tuples(st.just("rename"), folder, folder),
    st.tuples(st.just("deliver"), folder),
)

Model = dict[FolderName, int]


class Refused(Exception):  # noqa: N818 - an outcome of the model, not an error
    def __init__(self, kind: ErrorKind) -> None:
        self.kind = kind


def create(model: Model, name: FolderName) -> None:
    if name in model:
        raise Refused(ErrorKind.ALREADY_EXISTS)
    model[name] = 0


def delete(model: Model, name: FolderName) -> None:
    if name not in model:
        raise Refused(ErrorKind.NO_SUCH_FOLDER)
    del model[name]


def rename(model: Model, old: FolderName, new: FolderName) -> None:
    if new[: len(old)] == old:
        raise Refused(ErrorKind.ALREADY_EXISTS if new == old else ErrorKind.CANNOT)
    moved = {name: (*new, *name[len(old) :]) for name in model if name[: len(old)] == old}
    if not moved:
        raise Refused(ErrorKind.NO_SUCH_FOLDER)
    if any(target in model for target in moved.values()):
        raise Refused(ErrorKind.ALREADY_EXISTS)
    for name, target in moved.items():
        model[target] = model.pop(name)


def deliver(model: Model, name: FolderName) -> None:
    if name not in model:
        raise Refused(ErrorKind.NO_SUCH_FOLDER)
    model[name] += 1


MODEL = {"create": create, "delete": delete, "rename": rename, "deliver": deliver}


def really(account: AccountStore, what: str, *names: FolderName) -> None:
    if what == "deliver":
        message = Incoming(account)
        message.write(b"x")
        try:
            message.deliver(account, *names, last=True)
        finally:
            message.abort()
    else:
        getattr(account, what)(*names)


def contents(account: AccountStore) -> Model:
    with os.scandir(account.maildir) as entries:
        directories = {entry.name for entry in entries if entry.is_dir()}
    listed = {e.name: e for e in account.folders() if e.name != INBOX and not e.no_select}
    assert len(listed) == sum(name.startswith(".") for name in directories)
    return {name: account.status(name).messages for name in listed}


@settings(max_examples=25, deadline=None)
@given(operations=st.lists(operation, max_size=15))
def test_folders_are_what_the_model_says(
    tmp_path_factory: pytest.TempPathFactory,
    operations: list[tuple[str, FolderName] | tuple[str, FolderName, FolderName]],
) -> None:
    root: Path = tmp_path_factory.mktemp("volume")
    create_volume(root)
    for part in ("tmp", "new", "cur"):
        (root / "h" / "Maildir" / part).mkdir(parents=True)
    store = MailStore(root, hints=Hints(), pool=StorePool(1))
    account = store.open_account(
        Account("h@x", os.getuid(), os.getgid(), root / "h", root / "h" / "Maildir")
    )
    model: Model = {}
    for what, *names in operations:
        expected = actual = None
        try:
            MODEL[what](model, *names)  # type: ignore[operator]  # each takes its own arguments
        except Refused as refused:
            expected = refused.kind
        try:
            really(account, what, *names)
        except MailError as error:
            actual = error.kind
        assert actual == expected, (what, names)
    assert contents(account) == model
    assert os.listdir(account.maildir / "tmp") == []
    store.mailboxes.close()
    store.handles.close()
