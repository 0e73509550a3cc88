import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from restante.rpc.admin.v1 import admin_pb2 as _admin_pb2
from restante.rpc.auth.v1 import auth_pb2 as _auth_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LoginRequest(_message.Message):
    __slots__ = ("user", "password", "peer", "tls", "client")
    USER_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    user: str
    password: bytes
    peer: str
    tls: bool
    client: str
    def __init__(self, user: _Optional[str] = ..., password: _Optional[bytes] = ..., peer: _Optional[str] = ..., tls: bool = ..., client: _Optional[str] = ...) -> None: ...

class LoginResponse(_message.Message):
    __slots__ = ("token", "second_factors", "passkey_options", "account", "expires")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SECOND_FACTORS_FIELD_NUMBER: _ClassVar[int]
    PASSKEY_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    token: str
    second_factors: _containers.RepeatedScalarFieldContainer[str]
    passkey_options: str
    account: _auth_pb2.Account
    expires: _timestamp_pb2.Timestamp
    def __init__(self, token: _Optional[str] = ..., second_factors: _Optional[_Iterable[str]] = ..., passkey_options: _Optional[str] = ..., account: _Optional[_Union[_auth_pb2.Account, _Mapping]] = ..., expires: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SecondFactorRequest(_message.Message):
    __slots__ = ("token", "totp", "recovery", "passkey", "peer")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTP_FIELD_NUMBER: _ClassVar[int]
    RECOVERY_FIELD_NUMBER: _ClassVar[int]
    PASSKEY_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    token: str
    totp: str
    recovery: str
    passkey: str
    peer: str
    def __init__(self, token: _Optional[str] = ..., totp: _Optional[str] = ..., recovery: _Optional[str] = ..., passkey: _Optional[str] = ..., peer: _Optional[str] = ...) -> None: ...

class BeginPasskeyLoginRequest(_message.Message):
    __slots__ = ("user",)
    USER_FIELD_NUMBER: _ClassVar[int]
    user: str
    def __init__(self, user: _Optional[str] = ...) -> None: ...

class BeginPasskeyLoginResponse(_message.Message):
    __slots__ = ("options", "state")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    options: str
    state: str
    def __init__(self, options: _Optional[str] = ..., state: _Optional[str] = ...) -> None: ...

class PasskeyLoginRequest(_message.Message):
    __slots__ = ("state", "passkey", "peer", "tls", "client")
    STATE_FIELD_NUMBER: _ClassVar[int]
    PASSKEY_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    state: str
    passkey: str
    peer: str
    tls: bool
    client: str
    def __init__(self, state: _Optional[str] = ..., passkey: _Optional[str] = ..., peer: _Optional[str] = ..., tls: bool = ..., client: _Optional[str] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSessionResponse(_message.Message):
    __slots__ = ("account", "expires", "actor")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    account: _auth_pb2.Account
    expires: _timestamp_pb2.Timestamp
    actor: str
    def __init__(self, account: _Optional[_Union[_auth_pb2.Account, _Mapping]] = ..., expires: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[str] = ...) -> None: ...

class LogoutRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LogoutResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WebSession(_message.Message):
    __slots__ = ("id", "peer", "client", "since", "last_seen", "current")
    ID_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    peer: str
    client: str
    since: _timestamp_pb2.Timestamp
    last_seen: _timestamp_pb2.Timestamp
    current: bool
    def __init__(self, id: _Optional[str] = ..., peer: _Optional[str] = ..., client: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., current: bool = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[WebSession]
    def __init__(self, sessions: _Optional[_Iterable[_Union[WebSession, _Mapping]]] = ...) -> None: ...

class EndSessionRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class EndSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChangePasswordRequest(_message.Message):
    __slots__ = ("old_password", "new_password")
    OLD_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    NEW_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    old_password: bytes
    new_password: bytes
    def __init__(self, old_password: _Optional[bytes] = ..., new_password: _Optional[bytes] = ...) -> None: ...

class ChangePasswordResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSecurityRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BeginTotpRequest(_message.Message):
    __slots__ = ("password",)
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    password: bytes
    def __init__(self, password: _Optional[bytes] = ...) -> None: ...

class BeginTotpResponse(_message.Message):
    __slots__ = ("secret", "uri")
    SECRET_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    secret: str
    uri: str
    def __init__(self, secret: _Optional[str] = ..., uri: _Optional[str] = ...) -> None: ...

class ConfirmTotpRequest(_message.Message):
    __slots__ = ("code",)
    CODE_FIELD_NUMBER: _ClassVar[int]
    code: str
    def __init__(self, code: _Optional[str] = ...) -> None: ...

class ConfirmTotpResponse(_message.Message):
    __slots__ = ("recovery_codes",)
    RECOVERY_CODES_FIELD_NUMBER: _ClassVar[int]
    recovery_codes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, recovery_codes: _Optional[_Iterable[str]] = ...) -> None: ...

class RemoveTotpRequest(_message.Message):
    __slots__ = ("password",)
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    password: bytes
    def __init__(self, password: _Optional[bytes] = ...) -> None: ...

class RemoveTotpResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BeginPasskeyRequest(_message.Message):
    __slots__ = ("password",)
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    password: bytes
    def __init__(self, password: _Optional[bytes] = ...) -> None: ...

class BeginPasskeyResponse(_message.Message):
    __slots__ = ("options", "state")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    options: str
    state: str
    def __init__(self, options: _Optional[str] = ..., state: _Optional[str] = ...) -> None: ...

class ConfirmPasskeyRequest(_message.Message):
    __slots__ = ("state", "passkey", "name")
    STATE_FIELD_NUMBER: _ClassVar[int]
    PASSKEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    state: str
    passkey: str
    name: str
    def __init__(self, state: _Optional[str] = ..., passkey: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class RemovePasskeyRequest(_message.Message):
    __slots__ = ("password", "id")
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    password: bytes
    id: str
    def __init__(self, password: _Optional[bytes] = ..., id: _Optional[str] = ...) -> None: ...

class RemovePasskeyResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NewRecoveryCodesRequest(_message.Message):
    __slots__ = ("password",)
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    password: bytes
    def __init__(self, password: _Optional[bytes] = ...) -> None: ...

class NewRecoveryCodesResponse(_message.Message):
    __slots__ = ("recovery_codes",)
    RECOVERY_CODES_FIELD_NUMBER: _ClassVar[int]
    recovery_codes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, recovery_codes: _Optional[_Iterable[str]] = ...) -> None: ...

class CreateAppPasswordRequest(_message.Message):
    __slots__ = ("app_password", "password")
    APP_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    app_password: _admin_pb2.AppPassword
    password: bytes
    def __init__(self, app_password: _Optional[_Union[_admin_pb2.AppPassword, _Mapping]] = ..., password: _Optional[bytes] = ...) -> None: ...

class CreateAppPasswordResponse(_message.Message):
    __slots__ = ("app_password", "secret")
    APP_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    app_password: _admin_pb2.AppPassword
    secret: str
    def __init__(self, app_password: _Optional[_Union[_admin_pb2.AppPassword, _Mapping]] = ..., secret: _Optional[str] = ...) -> None: ...

class DeleteAppPasswordRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteAppPasswordResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...
