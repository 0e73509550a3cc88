"""Passkeys and security keys as values; what is done with them stands in ceremonies.py."""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from restante.model import ErrorKind, MailError

MAX_JSON: Final = 16 * 1024  # characters of what a browser sends
MAX_ID: Final = 1023  # bytes; WebAuthn section 4
TIMEOUT: Final = 300  # seconds that a challenge is good for


@dataclass(frozen=True, slots=True)
class Passkey:
    """A registered passkey; `id` and `public_key` in base64url, times in unix seconds."""

    id: str
    public_key: str
    sign_count: int = 0
    name: str = ""
    created: int = 0
    last_used: int = 0
    transports: str = ""  # comma list, as the browser said


@dataclass(frozen=True, slots=True)
class Ceremony:
    """Half of an exchange: JSON for the browser, and the challenge to be kept (base64url)."""

    options: str
    challenge: str


def credential_id(answer: str) -> str:
    """Return the id in a browser's answer. Raises MailError(BAD_REQUEST)."""
    found = parse(answer).get("id")
    if not isinstance(found, str) or len(found) > 2 * MAX_ID:
        raise misfit()
    return found


def parse(answer: str) -> dict[str, Any]:
    """Return a browser's PublicKeyCredential. Raises MailError(BAD_REQUEST)."""
    found: object = None
    if len(answer) <= MAX_JSON:
        with suppress(ValueError, RecursionError):
            found = json.loads(answer)
    if not isinstance(found, dict) or not isinstance(found.get("response"), dict):
        raise misfit()
    return found


def misfit() -> MailError:
    """Return the refusal of an answer that is none."""
    return MailError(ErrorKind.BAD_REQUEST, "the passkey's answer does not fit")
