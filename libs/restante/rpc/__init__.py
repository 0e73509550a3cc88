"""The calls between services: generated gRPC code, clients, and errors as statuses."""
