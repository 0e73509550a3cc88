"""LDAP version 3 as a client speaks it (RFC 4511): bytes in, messages out, and the other way."""
