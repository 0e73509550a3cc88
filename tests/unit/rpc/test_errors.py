"""MailError <-> gRPC status."""

import grpc
import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.errors import KIND_KEY, error_of, status_of


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_round_trips(kind: ErrorKind) -> None:
    code, details, trailing = status_of(MailError(kind, "a text"))
    assert code is not grpc.StatusCode.OK
    found = error_of(trailing, details)
    assert found is not None
    assert (found.kind, found.text) == (kind, "a text")


def test_what_is_not_marked_is_not_ours() -> None:
    assert error_of(None, "x") is None
    assert error_of((), "x") is None
    assert error_of((("other", "auth_failed"),), "x") is None


def test_an_unknown_mark_is_temporary() -> None:
    """A newer service may know kinds that we do not: never a verdict."""
    found = error_of(((KIND_KEY, "brand_new"),), "x")
    assert found is not None
    assert found.kind is ErrorKind.TEMPORARY
    found = error_of(((KIND_KEY, b"auth_failed"),), "x")
    assert found is not None
    assert found.kind is ErrorKind.AUTH_FAILED
