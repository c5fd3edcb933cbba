"""Bytes of the HTTP API in and out: sans-IO cores. No socket, no clock, no task."""
