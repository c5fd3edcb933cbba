"""Outgoing webhooks, decided without I/O: who is told what, signed how, in which order, and when it is tried again.

``stentor.aio.webhooks.subscribers`` sends what an :class:`~stentor.webhooks.endpoint.Endpoint` hands out and tells it
what came of it; the journal keeps what :mod:`~stentor.webhooks.records` describes.
"""
