"""How originators and destinations are written for one carrier: service_type, TON, NPI and characters.

Owns both directions: a destination that was rewritten for the carrier is E.164 again when a receipt names it.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from stentor.address import OriginatorKind, parse_originator
from stentor_smpp.dialect import Dialect
from stentor_smpp.rules import DestinationRule

_NUMBER: Final = OriginatorKind.INTERNATIONAL


class Source(msgspec.Struct, frozen=True, gc=False):
    """An originator as it stands in a submit_sm."""

    service_type: str
    ton: int
    npi: int
    address: str


class Addressing:
    """The rules of one channel."""

    __slots__ = ("_config", "_lengths", "_rules", "plain")

    def __init__(self, config: Dialect) -> None:
        self._config = config
        self.plain = DestinationRule(ton=config.destination_ton, npi=config.destination_npi)
        self._rules: Mapping[str, DestinationRule] = config.destinations
        self._lengths = sorted({len(prefix) for prefix in self._rules}, reverse=True)

    @property
    def is_uniform(self) -> bool:
        """Are all destinations written alike?"""
        return not self._rules

    def source(self, originator: str) -> Source:
        """Raises Refusal ``bad_originator`` for what is no originator at all."""
        usual = self._of_kind(originator)
        rule = self._config.originators.get(originator)
        if rule is None:
            return usual
        return Source(
            usual.service_type if rule.service_type is None else rule.service_type,
            usual.ton if rule.ton is None else rule.ton,
            usual.npi if rule.npi is None else rule.npi,
            usual.address,
        )

    def _of_kind(self, originator: str) -> Source:
        config = self._config
        usual = config.service_type
        if not originator:
            return Source(usual, config.empty_ton, config.empty_npi, "")
        kind = parse_originator(originator).kind
        if kind is OriginatorKind.INTERNATIONAL:
            service_type, ton, npi = config.number_service_type, config.number_ton, config.number_npi
        elif kind is OriginatorKind.SHORT_CODE:
            service_type, ton, npi = (
                config.short_code_service_type,
                config.short_code_ton,
                config.short_code_npi,
            )
        else:
            service_type, ton, npi = config.name_service_type, config.name_ton, config.name_npi
        return Source(service_type or usual, ton, npi, originator[kind is _NUMBER :])

    def rule(self, to: str) -> DestinationRule:
        """The rule of the longest beginning that fits."""
        for length in self._lengths:
            rule = self._rules.get(to[:length])
            if rule is not None:
                return rule
        return self.plain

    def e164(self, ton: int, address: str) -> str:
        """A destination as a receipt names it, with its ``+``; what cannot be one comes back as it is."""
        for prefix, rule in self._rules.items():
            if rule.ton == ton and address.startswith(rule.add):
                number = rule.strip + address[len(rule.add) :]
                if number.startswith(prefix) and self.rule(number) is rule:
                    return number
        digits = address.removeprefix("+")
        return f"+{digits}" if digits.isascii() and digits.isdigit() else address


def written(to: str, rule: DestinationRule) -> str:
    """A destination in E.164 as its rule has it written."""
    return rule.add + to[len(rule.strip) :]
