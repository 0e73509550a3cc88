"""Courier's userdb outside the auth service: its text, its indexed files, and what edits them."""
