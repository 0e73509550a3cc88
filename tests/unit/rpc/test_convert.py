"""Accounts as messages."""

from dataclasses import fields
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from restante.model import Account, Options, Quota
from restante.rpc.auth.v1 import auth_pb2
from restante.rpc.convert import account_of, account_to_message

IDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(0, 2**63 - 1)
WORDS = st.text("abcä=ß1", max_size=8)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    st.builds(
        Account,
        address=TEXT,
        uid=IDS,
        gid=IDS,
        home=TEXT.map(lambda t: Path("/srv", t.strip("/").replace("\0", ""))),
        maildir=TEXT.map(lambda t: Path("/srv", t.strip("/").replace("\0", ""), "Maildir")),
        name=TEXT,
        quota=st.builds(Quota, SIZES, SIZES),
        options=st.lists(WORDS).map(lambda words: Options.parse(",".join(words))),
        disabled=st.booleans(),
        read_only=st.booleans(),
    )
)
def test_accounts_round_trip(account: Account) -> None:
    data = account_to_message(account).SerializeToString()
    assert account_of(auth_pb2.Account.FromString(data)) == account


def test_no_field_is_forgotten() -> None:
    sent = {field.name for field in auth_pb2.Account.DESCRIPTOR.fields}
    ours = {field.name for field in fields(Account)} - {"quota"}
    assert sent == ours | {"quota_bytes", "quota_messages"}
