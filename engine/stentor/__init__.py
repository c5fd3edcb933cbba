"""stentor: a dispatch daemon for SMS."""

__version__ = "0.1.0"
