import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Account(_message.Message):
    __slots__ = ("address", "uid", "gid", "home", "maildir", "name", "quota_bytes", "quota_messages", "options", "disabled", "read_only")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    GID_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    MAILDIR_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUOTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    address: str
    uid: int
    gid: int
    home: str
    maildir: str
    name: str
    quota_bytes: int
    quota_messages: int
    options: str
    disabled: bool
    read_only: bool
    def __init__(self, address: _Optional[str] = ..., uid: _Optional[int] = ..., gid: _Optional[int] = ..., home: _Optional[str] = ..., maildir: _Optional[str] = ..., name: _Optional[str] = ..., quota_bytes: _Optional[int] = ..., quota_messages: _Optional[int] = ..., options: _Optional[str] = ..., disabled: bool = ..., read_only: bool = ...) -> None: ...

class AuthenticateRequest(_message.Message):
    __slots__ = ("user", "password", "service", "peer", "tls", "mechanism", "challenge", "authorization", "session")
    USER_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    AUTHORIZATION_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    user: str
    password: bytes
    service: str
    peer: str
    tls: bool
    mechanism: str
    challenge: bytes
    authorization: str
    session: str
    def __init__(self, user: _Optional[str] = ..., password: _Optional[bytes] = ..., service: _Optional[str] = ..., peer: _Optional[str] = ..., tls: bool = ..., mechanism: _Optional[str] = ..., challenge: _Optional[bytes] = ..., authorization: _Optional[str] = ..., session: _Optional[str] = ...) -> None: ...

class AuthenticateResponse(_message.Message):
    __slots__ = ("account", "reusable", "proof", "actor")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REUSABLE_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    account: Account
    reusable: bool
    proof: bytes
    actor: str
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ..., reusable: bool = ..., proof: _Optional[bytes] = ..., actor: _Optional[str] = ...) -> None: ...

class ScramParametersRequest(_message.Message):
    __slots__ = ("user", "mechanism", "service", "peer", "session")
    USER_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    user: str
    mechanism: str
    service: str
    peer: str
    session: str
    def __init__(self, user: _Optional[str] = ..., mechanism: _Optional[str] = ..., service: _Optional[str] = ..., peer: _Optional[str] = ..., session: _Optional[str] = ...) -> None: ...

class ScramParametersResponse(_message.Message):
    __slots__ = ("salt", "iterations")
    SALT_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    salt: bytes
    iterations: int
    def __init__(self, salt: _Optional[bytes] = ..., iterations: _Optional[int] = ...) -> None: ...

class ChangePasswordRequest(_message.Message):
    __slots__ = ("user", "old_password", "new_password", "service", "peer")
    USER_FIELD_NUMBER: _ClassVar[int]
    OLD_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    NEW_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    user: str
    old_password: bytes
    new_password: bytes
    service: str
    peer: str
    def __init__(self, user: _Optional[str] = ..., old_password: _Optional[bytes] = ..., new_password: _Optional[bytes] = ..., service: _Optional[str] = ..., peer: _Optional[str] = ...) -> None: ...

class ChangePasswordResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LookupRequest(_message.Message):
    __slots__ = ("address", "session")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    address: str
    session: str
    def __init__(self, address: _Optional[str] = ..., session: _Optional[str] = ...) -> None: ...

class LookupResponse(_message.Message):
    __slots__ = ("account",)
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    account: Account
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ...) -> None: ...

class EnumerateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EnumerateResponse(_message.Message):
    __slots__ = ("account",)
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    account: Account
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("position",)
    POSITION_FIELD_NUMBER: _ClassVar[int]
    position: int
    def __init__(self, position: _Optional[int] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("position", "revocation", "report", "report_only")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REVOCATION_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    REPORT_ONLY_FIELD_NUMBER: _ClassVar[int]
    position: int
    revocation: Revocation
    report: str
    report_only: str
    def __init__(self, position: _Optional[int] = ..., revocation: _Optional[_Union[Revocation, _Mapping]] = ..., report: _Optional[str] = ..., report_only: _Optional[str] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("address", "service", "peer", "client", "tls", "mechanism", "since", "host", "actor", "session")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    address: str
    service: str
    peer: str
    client: str
    tls: bool
    mechanism: str
    since: _timestamp_pb2.Timestamp
    host: str
    actor: str
    session: str
    def __init__(self, address: _Optional[str] = ..., service: _Optional[str] = ..., peer: _Optional[str] = ..., client: _Optional[str] = ..., tls: bool = ..., mechanism: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., host: _Optional[str] = ..., actor: _Optional[str] = ..., session: _Optional[str] = ...) -> None: ...

class ReportSessionsRequest(_message.Message):
    __slots__ = ("request", "worker", "sessions", "last")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    request: str
    worker: str
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    last: bool
    def __init__(self, request: _Optional[str] = ..., worker: _Optional[str] = ..., sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ..., last: bool = ...) -> None: ...

class ReportSessionsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Revocation(_message.Message):
    __slots__ = ("address", "reason")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Revocation.Reason]
        REASON_CHANGED: _ClassVar[Revocation.Reason]
        REASON_PASSWORD: _ClassVar[Revocation.Reason]
        REASON_DISABLED: _ClassVar[Revocation.Reason]
        REASON_REMOVED: _ClassVar[Revocation.Reason]
        REASON_KICKED: _ClassVar[Revocation.Reason]
    REASON_UNSPECIFIED: Revocation.Reason
    REASON_CHANGED: Revocation.Reason
    REASON_PASSWORD: Revocation.Reason
    REASON_DISABLED: Revocation.Reason
    REASON_REMOVED: Revocation.Reason
    REASON_KICKED: Revocation.Reason
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    address: str
    reason: Revocation.Reason
    def __init__(self, address: _Optional[str] = ..., reason: _Optional[_Union[Revocation.Reason, str]] = ...) -> None: ...
