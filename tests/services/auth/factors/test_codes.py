"""Generated codes, and sealed secrets."""

import pytest

from restante.model import ErrorKind, MailError
from services.auth.factors import codes
from services.auth.factors.app_passwords import digest_of
from services.auth.factors.sealing import Sealer


@pytest.mark.parametrize("length", [codes.APP_PASSWORD, codes.RECOVERY_CODE])
def test_a_code_is_read_however_it_is_typed(length: int) -> None:
    made = codes.generate(length)
    kept = codes.digest(made, length)
    assert len(kept) == 64
    for typed in (made.upper(), made.replace("-", ""), made.replace("-", " "), f" {made} "):
        assert codes.digest(typed, length) == kept


def test_codes_differ_and_have_their_bits() -> None:
    assert len({codes.generate(codes.APP_PASSWORD) for _ in range(100)}) == 100
    assert len(set(codes.ALPHABET)) == 32
    assert 5 * codes.APP_PASSWORD >= 128


@pytest.mark.parametrize("typed", ["", "a" * 25, "a" * 27, "l" * 26, "ä" * 26, "a" * 1000])
def test_what_is_no_code_has_no_digest(typed: str) -> None:
    assert codes.digest(typed, codes.APP_PASSWORD) == ""
    assert digest_of(typed.encode()) == ""
    assert digest_of(b"\xff" * 26) == ""


def test_what_is_sealed_opens_for_its_account_and_secret_only() -> None:
    sealer = Sealer(b"0123456789abcdef", "totp")
    sealed = sealer.seal("SECRET", "fred@example.test")
    assert "SECRET" not in sealed
    assert sealer.seal("SECRET", "fred@example.test") != sealed
    assert sealer.open(sealed, "fred@example.test") == "SECRET"
    strangers = [
        (sealer, "eve@example.test", sealed),
        (Sealer(b"another secret..", "totp"), "fred@example.test", sealed),
        (Sealer(b"0123456789abcdef", "other"), "fred@example.test", sealed),
        (sealer, "fred@example.test", sealed[:-4]),
        (sealer, "fred@example.test", "ä"),
        (sealer, "fred@example.test", ""),
    ]
    for other, address, text in strangers:
        with pytest.raises(MailError) as refused:
            other.open(text, address)
        assert refused.value.kind is ErrorKind.TEMPORARY
