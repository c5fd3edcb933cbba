"""The kit for authors of drivers: a host in memory, a loop with virtual time, and the conformance checks.

``plugins/README.md`` is the guide. Nothing here is imported by the running daemon.
"""
