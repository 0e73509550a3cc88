"""Logins by challenge against a running auth service."""

import hmac

from restante.model import Account
from restante.rpc.attempt import Admitted, LoginAttempt
from restante.rpc.client import AuthClient
from tests.support.scram import ScramClient

CHALLENGE = b"<1896.697170952@postoffice.example.test>"


def cram_attempt(
    user: str, password: str, *, name: str = "md5", service: str = "imap", peer: str = ""
) -> LoginAttempt:
    digest = hmac.new(password.encode(), CHALLENGE, name).hexdigest().encode()
    mechanism = f"cram-{name}"
    return LoginAttempt(user, digest, service, peer, mechanism=mechanism, challenge=CHALLENGE)


async def cram(client: AuthClient, user: str, password: str, name: str = "md5") -> Account:
    return (await client.admit(cram_attempt(user, password, name=name))).account


async def scram(
    client: AuthClient, user: str, password: str, *, service: str = "imap", authorization: str = ""
) -> Admitted:
    """Log in; asserts that the server proved itself, too."""
    salt, rounds = await client.scram_parameters(user, mechanism="scram-sha-256", service=service)
    pretender = ScramClient(user, password)
    pretender.message = b"n=x,r=y,r=yz,s=salt,i=1,c=biws,r=yz"
    attempt = LoginAttempt(
        user,
        pretender.proof(salt, rounds),
        service,
        mechanism="scram-sha-256",
        challenge=pretender.message,
        authorization=authorization,
    )
    admitted = await client.admit(attempt)
    assert pretender.accepts(admitted.proof)
    return admitted
