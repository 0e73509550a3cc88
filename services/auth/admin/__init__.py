"""Administration, behind two doors: gRPC (interceptor.py, servicer.py) and HTTP/JSON (http/).

Both build Credentials and hand a request to the Desk (desk.py): it finds out who calls (gate.py,
tokens.py), looks up what the method needs (rules.py), runs it with a deadline and writes the
audit log. What the methods do stands in one file per family (domains.py, accounts.py, ...), all
gathered by operations.py: plain functions of a Caller and a request, which know of no door.
"""
