"""What a channel's keys must be together, beyond their types: each fault names its key and says what would be right."""

from collections.abc import Callable
from typing import Final

from stentor.address import parse_originator
from stentor.errors import ConfigError, Refusal
from stentor.outcome import CODES
from stentor_smpp.dialect import Dialect
from stentor_smpp.extras import tag_of, tlv_octets
from stentor_smpp.rules import StatusRule, TLVRule, nearest
from stentor_smpp.status import ROK, STATUSES, parse_status
from stentor_smpp.tlvs import (
    MESSAGE_PAYLOAD,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    TLV_TAGS,
    USER_MESSAGE_REFERENCE,
    tlv_name,
)

_PREFIX_FORM: Final = 'write the beginning of a number with its country code, like "+91"'
_OWN_TAGS: Final = {
    SAR_MSG_REF_NUM: 'long_messages = "sar"',
    SAR_TOTAL_SEGMENTS: 'long_messages = "sar"',
    SAR_SEGMENT_SEQNUM: 'long_messages = "sar"',
    MESSAGE_PAYLOAD: 'long_messages = "payload"',
    USER_MESSAGE_REFERENCE: "user_message_reference = true",
}
"""Tags that another key sends."""
_STATUS_NAMES: Final = [info.name for info in STATUSES.values()]


def check(config: Dialect) -> None:
    """Raises ConfigError for the first fault found."""
    for each in _CHECKS:
        each(config)


def _originators(config: Dialect) -> None:
    for originator in config.originators:
        try:
            parse_originator(originator)
        except Refusal as error:
            raise ConfigError(f"originators.{originator}", "is no originator", error.detail) from None


def _destinations(config: Dialect) -> None:
    for prefix, rule in config.destinations.items():
        path = f"destinations.{prefix}"
        digits = prefix[1:]
        if (
            prefix[:1] != "+"
            or not (digits.isascii() and (digits.isdigit() or not digits))
            or len(digits) > 15
        ):
            raise ConfigError(path, "is no beginning of a number", _PREFIX_FORM)
        if not prefix.startswith(rule.strip):
            raise ConfigError(
                f"{path}.strip",
                f'"{rule.strip}" is not how {prefix} begins',
                f'strip "+", "{prefix}" or less of it',
            )


def _tlvs(config: Dialect) -> None:
    seen: set[int] = set()
    for index, rule in enumerate(config.tlvs):
        path = f"tlvs[{index}]"
        try:
            tag = tag_of(rule.tag)
        except ValueError as error:
            hint = nearest(str(rule.tag), TLV_TAGS) or 'write it like "0x1400", or as SMPP names it'
            raise ConfigError(f"{path}.tag", str(error), hint) from None
        if tag in _OWN_TAGS:
            raise ConfigError(
                f"{path}.tag", f"{tlv_name(tag)} has a key of its own", f"write {_OWN_TAGS[tag]}"
            )
        if tag in seen:
            raise ConfigError(
                f"{path}.tag", f"{tlv_name(tag)} is sent by another table already", "one table a tag"
            )
        seen.add(tag)
        _tlv_source(rule, path)


def _tlv_source(rule: TLVRule, path: str) -> None:
    if (rule.value is None) == (not rule.metadata):
        fault = "has neither value nor metadata" if rule.value is None else "has both value and metadata"
        raise ConfigError(path, fault, 'value = "..." for every message alike, metadata = "key" for its own')
    if rule.value is not None and (rule.required or rule.default is not None):
        key = "required" if rule.required else "default"
        raise ConfigError(
            f"{path}.{key}", "goes with metadata only", "leave it out: the value is always sent"
        )
    if rule.required and rule.default is not None:
        raise ConfigError(f"{path}.required", "stands beside a default", "leave out one of them")
    for key, value in (("value", rule.value), ("default", rule.default)):
        if value is None:
            continue
        try:
            tlv_octets(rule, value)
        except ValueError as error:
            raise ConfigError(f"{path}.{key}", str(error), f'type is "{rule.type}"') from None


def _statuses(config: Dialect) -> None:
    seen: dict[int, str] = {}
    for name, rule in config.statuses.items():
        path = f"statuses.{name}"
        status = parse_status(name)
        if status is None:
            hint = (
                nearest(name.upper(), _STATUS_NAMES)
                or 'write a number like "0x45", or a name like "ESME_RSUBMITFAIL"'
            )
            raise ConfigError(path, "is no command_status", hint)
        if status == ROK:
            raise ConfigError(path, "is success, whatever the carrier says", "leave it out")
        if status in seen:
            raise ConfigError(path, f"is the same status as {seen[status]}", "leave out one of them")
        seen[status] = name
        if isinstance(rule, StatusRule) and rule.code and rule.code not in CODES:
            hint = nearest(rule.code, CODES) or f"one of {', '.join(CODES)}"
            raise ConfigError(f"{path}.code", f'there is no code "{rule.code}"', hint)
        if isinstance(rule, StatusRule) and rule.pause_s and rule.status_class in ("success", "permanent"):
            raise ConfigError(f"{path}.pause", "has no meaning: nothing is tried again", "leave it out")


def _states(config: Dialect) -> None:
    for word in config.states:
        if not word.strip() or word != word.strip():
            raise ConfigError(f"states.{word}", "is no word", "write it as it stands behind stat:")


def _references(config: Dialect) -> None:
    if config.receipts_echo_reference and not config.user_message_reference:
        raise ConfigError(
            "receipts_echo_reference",
            "needs a reference to be echoed",
            "write user_message_reference = true too",
        )


def _intermediate(config: Dialect) -> None:
    if config.registered_delivery == "none" and config.intermediate_receipts:
        raise ConfigError(
            "intermediate_receipts",
            'asks for receipts that registered_delivery = "none" does not want',
            "drop one",
        )


def _schedule(config: Dialect) -> None:
    """A carrier holds what it stores, and its longest validity counts from the submission."""
    if config.schedule == "none":
        return
    if config.message_mode in ("datagram", "forward"):
        raise ConfigError(
            "schedule",
            f'cannot go with message_mode = "{config.message_mode}"',
            "nothing is stored in that mode, so nothing can be held until its time",
        )
    is_limited = config.validity != "none" and config.validity_longest_s
    if is_limited and config.schedule_ahead_s >= config.validity_longest_s:
        raise ConfigError(
            "schedule_ahead",
            "is not below validity_longest: messages would expire before they are due",
            "the validity counts from when the carrier gets a message; write a shorter schedule_ahead",
        )


def _languages(config: Dialect) -> None:
    """A table is announced in a header, for septets that the carrier leaves as they are."""
    if not config.national_languages:
        return
    for key, value, possible in (
        ("default_alphabet", config.default_alphabet, ("gsm7", "gsm7_packed")),
        ("long_messages", config.long_messages, ("udh8", "udh16")),
    ):
        if value not in possible:
            words = " or ".join(f'"{word}"' for word in possible)
            raise ConfigError(
                "national_languages", f'cannot go with {key} = "{value}"', f"{key} is to be {words} for them"
            )


def _packing(config: Dialect) -> None:
    if config.default_alphabet == "gsm7_packed" and config.long_messages == "sar":
        raise ConfigError(
            "long_messages",
            'cannot be "sar" with default_alphabet = "gsm7_packed"',
            "packed septets begin where the header ends, so it must be there",
        )


def _latin1(config: Dialect) -> None:
    if config.latin1 and config.message_class is not None:
        raise ConfigError("latin1", "cannot go with a message_class", "Latin-1 has no classes: leave out one")


_CHECKS: Final[tuple[Callable[[Dialect], None], ...]] = (
    _originators,
    _destinations,
    _tlvs,
    _statuses,
    _states,
    _references,
    _intermediate,
    _schedule,
    _languages,
    _packing,
    _latin1,
)
