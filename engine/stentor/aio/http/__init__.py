"""The HTTP client of drivers and webhooks: one connection pool for one purpose, and every outcome a value."""

from stentor.aio.http.client import Client
from stentor.aio.http.settings import ClientSettings, ClientStatistics

__all__ = ["Client", "ClientSettings", "ClientStatistics"]
