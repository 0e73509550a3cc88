"""Settings: the module ldap."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from restante.runtime.settings import AbsolutePath, ServiceSettings


class LdapSettings(ServiceSettings):
    """An LDAP directory: where Courier's description of it is, and what that cannot say."""

    ldaprc: AbsolutePath = Field(
        Path("/etc/courier/authldaprc"),
        description="Module ldap: Courier's authldaprc, read as it stands.",
    )
    ldap_bindpw: SecretStr | None = Field(
        None, description="Module ldap: LDAP_BINDPW, if it is not to stand in the file."
    )
    ldap_ca: AbsolutePath | None = Field(
        None, description="Module ldap: PEM file of the CAs to trust; none trusts the system's."
    )
    ldap_certificate: AbsolutePath | None = Field(
        None, description="Module ldap: PEM certificate that is shown to the directory."
    )
    ldap_key: AbsolutePath | None = Field(
        None, description="Module ldap: PEM key of that certificate, if it is in another file."
    )
    ldap_pool: int = Field(
        8, ge=1, le=256, description="Module ldap: connections for searches; as many for binds."
    )
    ldap_seconds: float = Field(
        4.0, gt=0, le=60, description="Module ldap: longest wait for an answer, all servers tried."
    )
    ldap_page: int = Field(
        500, ge=1, le=10_000, description="Module ldap: entries of a page when all are listed."
    )
    ldap_ignore_referrals: bool = Field(
        False,
        description="Module ldap: an account is unknown though the directory names other servers "
        "that may have it (Active Directory always does).",
    )
    ldap_password_scheme: Literal["sha512-crypt", "argon2id"] = Field(
        "sha512-crypt", description="Module ldap: hash of new passwords that we store ourselves."
    )
