"""restante.model.Account <-> restante.rpc.auth.v1.Account."""

from pathlib import Path

from restante.model import Account, Options, Quota
from restante.rpc.auth.v1 import auth_pb2


def account_to_message(account: Account) -> auth_pb2.Account:
    """Return the message of an account; every field round-trips through `account_of`."""
    return auth_pb2.Account(
        address=account.address,
        uid=account.uid,
        gid=account.gid,
        home=str(account.home),
        maildir=str(account.maildir),
        name=account.name,
        quota_bytes=account.quota.bytes,
        quota_messages=account.quota.messages,
        options=str(account.options),
        disabled=account.disabled,
        read_only=account.read_only,
    )


def account_of(message: auth_pb2.Account) -> Account:
    """Return the account of a message."""
    return Account(
        address=message.address,
        uid=message.uid,
        gid=message.gid,
        home=Path(message.home),
        maildir=Path(message.maildir),
        name=message.name,
        quota=Quota(message.quota_bytes, message.quota_messages),
        options=Options.parse(message.options),
        disabled=message.disabled,
        read_only=message.read_only,
    )
