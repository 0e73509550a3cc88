"""The sans-IO IMAP core (RFC 3501 and extensions): bytes in, commands out; values in, bytes out.

`parser` turns what a client sends into the frozen commands of `commands`, `encode`, `envelope`,
`bodystructure` and `response` make what a server sends. Nothing here knows a socket, a session
state or the store.
"""
