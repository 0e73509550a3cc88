"""Administration as HTTP and JSON, for scripts: the same operations, the same roles.

door.py listens; entrance.py lets nobody in without a token, and no body that is too large;
routes_*.py turn requests into messages of Admin and their answers into models.py; problems.py is
what errors look like. The document is at /openapi.json, for everybody.
"""
