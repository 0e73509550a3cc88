import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from restante.rpc.auth.v1 import auth_pb2 as _auth_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_SUPERADMIN: _ClassVar[Role]
    ROLE_DOMAIN_ADMIN: _ClassVar[Role]
    ROLE_READ_ONLY: _ClassVar[Role]
ROLE_UNSPECIFIED: Role
ROLE_SUPERADMIN: Role
ROLE_DOMAIN_ADMIN: Role
ROLE_READ_ONLY: Role

class Domain(_message.Message):
    __slots__ = ("name", "default_quota", "default_options", "accounts", "created")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_QUOTA_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    name: str
    default_quota: str
    default_options: str
    accounts: int
    created: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., default_quota: _Optional[str] = ..., default_options: _Optional[str] = ..., accounts: _Optional[int] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Account(_message.Message):
    __slots__ = ("address", "uid", "gid", "home", "maildir", "name", "quota", "options", "disabled", "has_password", "password_scheme", "created", "updated")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    GID_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    MAILDIR_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    HAS_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_SCHEME_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    address: str
    uid: int
    gid: int
    home: str
    maildir: str
    name: str
    quota: str
    options: str
    disabled: bool
    has_password: bool
    password_scheme: str
    created: _timestamp_pb2.Timestamp
    updated: _timestamp_pb2.Timestamp
    def __init__(self, address: _Optional[str] = ..., uid: _Optional[int] = ..., gid: _Optional[int] = ..., home: _Optional[str] = ..., maildir: _Optional[str] = ..., name: _Optional[str] = ..., quota: _Optional[str] = ..., options: _Optional[str] = ..., disabled: bool = ..., has_password: bool = ..., password_scheme: _Optional[str] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateDomainRequest(_message.Message):
    __slots__ = ("domain",)
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    domain: Domain
    def __init__(self, domain: _Optional[_Union[Domain, _Mapping]] = ...) -> None: ...

class GetDomainRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListDomainsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDomainsResponse(_message.Message):
    __slots__ = ("domains", "next_page_token")
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    domains: _containers.RepeatedCompositeFieldContainer[Domain]
    next_page_token: str
    def __init__(self, domains: _Optional[_Iterable[_Union[Domain, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateDomainRequest(_message.Message):
    __slots__ = ("domain", "update_mask")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    domain: Domain
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, domain: _Optional[_Union[Domain, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeleteDomainRequest(_message.Message):
    __slots__ = ("name", "dry_run")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    name: str
    dry_run: bool
    def __init__(self, name: _Optional[str] = ..., dry_run: bool = ...) -> None: ...

class DeleteDomainResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateAccountRequest(_message.Message):
    __slots__ = ("account", "password", "password_hash")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_HASH_FIELD_NUMBER: _ClassVar[int]
    account: Account
    password: bytes
    password_hash: str
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ..., password: _Optional[bytes] = ..., password_hash: _Optional[str] = ...) -> None: ...

class GetAccountRequest(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class ListAccountsRequest(_message.Message):
    __slots__ = ("domain", "page_size", "page_token")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    domain: str
    page_size: int
    page_token: str
    def __init__(self, domain: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAccountsResponse(_message.Message):
    __slots__ = ("accounts", "next_page_token")
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[Account]
    next_page_token: str
    def __init__(self, accounts: _Optional[_Iterable[_Union[Account, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateAccountRequest(_message.Message):
    __slots__ = ("account", "update_mask")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    account: Account
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeleteAccountRequest(_message.Message):
    __slots__ = ("address", "purge_mail", "dry_run")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PURGE_MAIL_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    address: str
    purge_mail: bool
    dry_run: bool
    def __init__(self, address: _Optional[str] = ..., purge_mail: bool = ..., dry_run: bool = ...) -> None: ...

class DeleteAccountResponse(_message.Message):
    __slots__ = ("home", "home_exists", "purged")
    HOME_FIELD_NUMBER: _ClassVar[int]
    HOME_EXISTS_FIELD_NUMBER: _ClassVar[int]
    PURGED_FIELD_NUMBER: _ClassVar[int]
    home: str
    home_exists: bool
    purged: bool
    def __init__(self, home: _Optional[str] = ..., home_exists: bool = ..., purged: bool = ...) -> None: ...

class ImportAccount(_message.Message):
    __slots__ = ("account", "password_hash")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_HASH_FIELD_NUMBER: _ClassVar[int]
    account: Account
    password_hash: str
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ..., password_hash: _Optional[str] = ...) -> None: ...

class ImportAccountsRequest(_message.Message):
    __slots__ = ("accounts", "create_domains", "update", "dry_run")
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    CREATE_DOMAINS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[ImportAccount]
    create_domains: bool
    update: bool
    dry_run: bool
    def __init__(self, accounts: _Optional[_Iterable[_Union[ImportAccount, _Mapping]]] = ..., create_domains: bool = ..., update: bool = ..., dry_run: bool = ...) -> None: ...

class ImportAccountsResponse(_message.Message):
    __slots__ = ("results",)
    class Result(_message.Message):
        __slots__ = ("outcome", "text")
        OUTCOME_FIELD_NUMBER: _ClassVar[int]
        TEXT_FIELD_NUMBER: _ClassVar[int]
        outcome: str
        text: str
        def __init__(self, outcome: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ImportAccountsResponse.Result]
    def __init__(self, results: _Optional[_Iterable[_Union[ImportAccountsResponse.Result, _Mapping]]] = ...) -> None: ...

class SetPasswordRequest(_message.Message):
    __slots__ = ("address", "password", "password_hash", "clear", "dry_run")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_HASH_FIELD_NUMBER: _ClassVar[int]
    CLEAR_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    address: str
    password: bytes
    password_hash: str
    clear: bool
    dry_run: bool
    def __init__(self, address: _Optional[str] = ..., password: _Optional[bytes] = ..., password_hash: _Optional[str] = ..., clear: bool = ..., dry_run: bool = ...) -> None: ...

class SetPasswordResponse(_message.Message):
    __slots__ = ("changed",)
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    changed: bool
    def __init__(self, changed: bool = ...) -> None: ...

class KickRequest(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class KickResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("address", "domain")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    address: str
    domain: str
    def __init__(self, address: _Optional[str] = ..., domain: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "workers", "silent")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[_auth_pb2.Session]
    workers: int
    silent: int
    def __init__(self, sessions: _Optional[_Iterable[_Union[_auth_pb2.Session, _Mapping]]] = ..., workers: _Optional[int] = ..., silent: _Optional[int] = ...) -> None: ...

class TestLoginRequest(_message.Message):
    __slots__ = ("user", "password", "service", "mechanism", "peer", "new_password", "show_hash")
    USER_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    NEW_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    SHOW_HASH_FIELD_NUMBER: _ClassVar[int]
    user: str
    password: bytes
    service: str
    mechanism: str
    peer: str
    new_password: bytes
    show_hash: bool
    def __init__(self, user: _Optional[str] = ..., password: _Optional[bytes] = ..., service: _Optional[str] = ..., mechanism: _Optional[str] = ..., peer: _Optional[str] = ..., new_password: _Optional[bytes] = ..., show_hash: bool = ...) -> None: ...

class TestLoginResponse(_message.Message):
    __slots__ = ("steps", "outcome", "text", "account", "module", "credential", "password_hash", "clear_password")
    class Step(_message.Message):
        __slots__ = ("who", "answer", "detail", "seconds")
        WHO_FIELD_NUMBER: _ClassVar[int]
        ANSWER_FIELD_NUMBER: _ClassVar[int]
        DETAIL_FIELD_NUMBER: _ClassVar[int]
        SECONDS_FIELD_NUMBER: _ClassVar[int]
        who: str
        answer: str
        detail: str
        seconds: float
        def __init__(self, who: _Optional[str] = ..., answer: _Optional[str] = ..., detail: _Optional[str] = ..., seconds: _Optional[float] = ...) -> None: ...
    STEPS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_HASH_FIELD_NUMBER: _ClassVar[int]
    CLEAR_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[TestLoginResponse.Step]
    outcome: str
    text: str
    account: _auth_pb2.Account
    module: str
    credential: str
    password_hash: str
    clear_password: str
    def __init__(self, steps: _Optional[_Iterable[_Union[TestLoginResponse.Step, _Mapping]]] = ..., outcome: _Optional[str] = ..., text: _Optional[str] = ..., account: _Optional[_Union[_auth_pb2.Account, _Mapping]] = ..., module: _Optional[str] = ..., credential: _Optional[str] = ..., password_hash: _Optional[str] = ..., clear_password: _Optional[str] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("id", "name", "role", "domains", "expires", "created", "last_used")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    role: Role
    domains: _containers.RepeatedScalarFieldContainer[str]
    expires: _timestamp_pb2.Timestamp
    created: _timestamp_pb2.Timestamp
    last_used: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., domains: _Optional[_Iterable[str]] = ..., expires: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_used: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateTokenRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: Token
    def __init__(self, token: _Optional[_Union[Token, _Mapping]] = ...) -> None: ...

class CreateTokenResponse(_message.Message):
    __slots__ = ("token", "secret")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    token: Token
    secret: str
    def __init__(self, token: _Optional[_Union[Token, _Mapping]] = ..., secret: _Optional[str] = ...) -> None: ...

class ListTokensRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTokensResponse(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    def __init__(self, tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ...) -> None: ...

class DeleteTokenRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteTokenResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Master(_message.Message):
    __slots__ = ("address", "domains", "created")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    address: str
    domains: _containers.RepeatedScalarFieldContainer[str]
    created: _timestamp_pb2.Timestamp
    def __init__(self, address: _Optional[str] = ..., domains: _Optional[_Iterable[str]] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateMasterRequest(_message.Message):
    __slots__ = ("master",)
    MASTER_FIELD_NUMBER: _ClassVar[int]
    master: Master
    def __init__(self, master: _Optional[_Union[Master, _Mapping]] = ...) -> None: ...

class ListMastersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListMastersResponse(_message.Message):
    __slots__ = ("masters",)
    MASTERS_FIELD_NUMBER: _ClassVar[int]
    masters: _containers.RepeatedCompositeFieldContainer[Master]
    def __init__(self, masters: _Optional[_Iterable[_Union[Master, _Mapping]]] = ...) -> None: ...

class DeleteMasterRequest(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class DeleteMasterResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AppPassword(_message.Message):
    __slots__ = ("id", "name", "services", "read_only", "networks", "expires", "created", "last_used", "last_peer", "last_service")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_FIELD_NUMBER: _ClassVar[int]
    LAST_PEER_FIELD_NUMBER: _ClassVar[int]
    LAST_SERVICE_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    services: _containers.RepeatedScalarFieldContainer[str]
    read_only: bool
    networks: _containers.RepeatedScalarFieldContainer[str]
    expires: _timestamp_pb2.Timestamp
    created: _timestamp_pb2.Timestamp
    last_used: _timestamp_pb2.Timestamp
    last_peer: str
    last_service: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., read_only: bool = ..., networks: _Optional[_Iterable[str]] = ..., expires: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_used: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_peer: _Optional[str] = ..., last_service: _Optional[str] = ...) -> None: ...

class Passkey(_message.Message):
    __slots__ = ("id", "name", "created", "last_used")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    created: _timestamp_pb2.Timestamp
    last_used: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_used: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Security(_message.Message):
    __slots__ = ("totp", "passkeys", "app_passwords", "recovery_codes")
    TOTP_FIELD_NUMBER: _ClassVar[int]
    PASSKEYS_FIELD_NUMBER: _ClassVar[int]
    APP_PASSWORDS_FIELD_NUMBER: _ClassVar[int]
    RECOVERY_CODES_FIELD_NUMBER: _ClassVar[int]
    totp: bool
    passkeys: _containers.RepeatedCompositeFieldContainer[Passkey]
    app_passwords: _containers.RepeatedCompositeFieldContainer[AppPassword]
    recovery_codes: int
    def __init__(self, totp: bool = ..., passkeys: _Optional[_Iterable[_Union[Passkey, _Mapping]]] = ..., app_passwords: _Optional[_Iterable[_Union[AppPassword, _Mapping]]] = ..., recovery_codes: _Optional[int] = ...) -> None: ...

class GetSecurityRequest(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class ResetSecondFactorRequest(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class ResetSecondFactorResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeleteAppPasswordRequest(_message.Message):
    __slots__ = ("address", "id")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    address: str
    id: str
    def __init__(self, address: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class DeleteAppPasswordResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("id", "time", "action", "actor", "address", "service", "peer", "result", "detail")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    id: int
    time: _timestamp_pb2.Timestamp
    action: str
    actor: str
    address: str
    service: str
    peer: str
    result: str
    detail: str
    def __init__(self, id: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., action: _Optional[str] = ..., actor: _Optional[str] = ..., address: _Optional[str] = ..., service: _Optional[str] = ..., peer: _Optional[str] = ..., result: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("address", "domain", "action", "page_size", "page_token")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    address: str
    domain: str
    action: str
    page_size: int
    page_token: str
    def __init__(self, address: _Optional[str] = ..., domain: _Optional[str] = ..., action: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
