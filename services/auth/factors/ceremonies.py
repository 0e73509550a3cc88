"""Passkeys and security keys: WebAuthn level 2, the relying party's side. No I/O, no state.

Invariants
- A challenge is random, is kept by us, and is taken out before its answer is looked at, so an
  answer counts once (the callers' business: store.py).
- A passkey that opens an account by itself must have verified its user (a PIN, a finger): then it
  is both factors. Beside a password its presence is enough.
- A sign count that does not rise tells of a copy; an authenticator that has none always says 0.
- The user handle is made of the address under the service secret: it tells nobody who it is, and
  is the same every time.
- Whose passkeys exist is told to nobody: a login by passkey alone names none, the browser offers
  what it has. Beside a password they are named, since keys that keep nothing need that.

The library takes half a second to load, so this module is loaded when the first passkey comes
(LazyParty).
"""

import hmac
from collections.abc import Sequence
from typing import Any

import webauthn
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from services.auth.factors.passkeys import MAX_ID, TIMEOUT, Ceremony, Passkey, misfit, parse
from services.auth.secret import derive


class RelyingParty:
    """We, as browsers know us."""

    def __init__(self, rp_id: str, name: str, origins: Sequence[str], secret: bytes) -> None:
        """`rp_id` is a domain, `origins` are the pages' ("https://mail.example.org")."""
        self._id, self._name, self._origins = rp_id, name, list(origins)
        self._key = derive(secret, "passkey names")

    def registration(self, address: str, name: str, known: Sequence[Passkey]) -> Ceremony:
        """Begin to register; the authenticators of `known` are not offered again."""
        options = webauthn.generate_registration_options(
            rp_id=self._id,
            rp_name=self._name,
            user_name=address,
            user_display_name=name or address,
            user_id=self.handle(address),
            timeout=TIMEOUT * 1000,
            exclude_credentials=[_descriptor(passkey.id) for passkey in known],
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED,
                user_verification=UserVerificationRequirement.PREFERRED,
            ),
        )
        return Ceremony(webauthn.options_to_json(options), bytes_to_base64url(options.challenge))

    def register(self, answer: str, challenge: str) -> Passkey:
        """Return the new passkey, without name. Raises MailError(BAD_REQUEST)."""
        data = parse(answer)
        try:
            found = webauthn.verify_registration_response(
                credential=data,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=self._id,
                expected_origin=self._origins,
            )
        except Exception as error:
            raise misfit() from error
        if len(found.credential_id) > MAX_ID:
            raise misfit()
        return Passkey(
            bytes_to_base64url(found.credential_id),
            bytes_to_base64url(found.credential_public_key),
            found.sign_count,
            transports=_transports(data),
        )

    def login(self, known: Sequence[str]) -> Ceremony:
        """Begin a login; `known` are credential ids beside a password.

        None is a login by the passkey alone: the browser offers what it has, and the user must be
        verified.
        """
        wanted = UserVerificationRequirement
        options = webauthn.generate_authentication_options(
            rp_id=self._id,
            timeout=TIMEOUT * 1000,
            allow_credentials=[_descriptor(found) for found in known],
            user_verification=wanted.DISCOURAGED if known else wanted.REQUIRED,
        )
        return Ceremony(webauthn.options_to_json(options), bytes_to_base64url(options.challenge))

    def check(
        self, answer: str, challenge: str, passkey: Passkey, address: str, *, alone: bool
    ) -> int | None:
        """Return the new sign count of a passkey whose answer fits, None for one that does not."""
        handle = parse(answer)["response"].get("userHandle")
        try:
            if handle and base64url_to_bytes(handle) != self.handle(address):
                return None
            found = webauthn.verify_authentication_response(
                credential=answer,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=self._id,
                expected_origin=self._origins,
                credential_public_key=base64url_to_bytes(passkey.public_key),
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=alone,
            )
        except Exception:  # noqa: BLE001 - the parsers of CBOR raise what they like
            return None
        return found.new_sign_count

    def handle(self, address: str) -> bytes:
        """Return the user handle of an account."""
        return hmac.digest(self._key, address.encode(), "sha256")


def _descriptor(credential: str) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(id=base64url_to_bytes(credential))


def _transports(data: dict[str, Any]) -> str:
    found = data["response"].get("transports")
    words = found if isinstance(found, list) else []
    return ",".join(word for word in words[:8] if isinstance(word, str) and word.isalnum())[:100]
