"""The configuration: one TOML text in, typed immutable Structs out, or every fault in it at once.

Pure: the text, the drivers' specs and the reader of secrets are arguments. ``schema`` holds each key once
with its default and its sentence; parser, effective dump, reload and the reference in ``config/README.md``
follow from it.
"""

from stentor.config.fields import LocatedError
from stentor.config.parse import ConfigErrors, ReadSecret, Secret, parse
from stentor.config.price_list import ReadFile
from stentor.config.render import MASK, effective, reference
from stentor.config.routing import Route
from stentor.config.schema import Account, Channel, Config
from stentor.config.values import duration_s, duration_text, octets, octets_text

__all__ = [
    "MASK",
    "Account",
    "Channel",
    "Config",
    "ConfigErrors",
    "LocatedError",
    "ReadFile",
    "ReadSecret",
    "Route",
    "Secret",
    "duration_s",
    "duration_text",
    "effective",
    "octets",
    "octets_text",
    "parse",
    "reference",
]
