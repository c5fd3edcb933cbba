"""From submissions to the bodies of submit_sm PDUs (SMPP 3.4 section 4.4.1). Everything that repeats is remembered.

A channel without rules for destinations, TLVs, an alphabet of its own and the like packs from two dictionaries; what
else there is costs only those channels that are configured so. sm_default_msg_id is always 0, and
schedule_delivery_time is empty unless the channel has its carrier hold messages until they are due.
"""

from typing import Final

from stentor.outcome import Submission
from stentor.text.segments import Encoding
from stentor_smpp.addresses import Addressing, written
from stentor_smpp.dialect import Dialect
from stentor_smpp.extras import Extras, concatenation_tlvs
from stentor_smpp.flags import data_coding, esm_class, registered_delivery
from stentor_smpp.hot import pack_submit_sm, submit_head, submit_tail
from stentor_smpp.pdu import EncodeError, encode_tlvs
from stentor_smpp.recoding import Recoder
from stentor_smpp.rules import DestinationRule
from stentor_smpp.times import encode_absolute, encode_relative
from stentor_smpp.tlvs import MESSAGE_PAYLOAD, USER_MESSAGE_REFERENCE

_LONGEST_S: Final = 99 * 86_400
"""What a relative time can say in days (SMPP 3.4 section 7.1.1.2); a longer validity ends with our own expiry."""
_REMEMBERED: Final = 4096

_TailKey = tuple[bool, Encoding, bool, bool, int, int, int]


class Packer:
    """Packs for one channel, and for peers that take TLVs or for those that do not."""

    __slots__ = (
        "_addressing",
        "_config",
        "_extras",
        "_flags",
        "_heads",
        "_heads_of",
        "_is_absolute",
        "_is_plain",
        "_joins_by_tlvs",
        "_longest_s",
        "_may_send_tlvs",
        "_recoder",
        "_schedule",
        "_tails",
    )

    def __init__(self, config: Dialect, may_send_tlvs: bool = True) -> None:
        self._config = config
        self._addressing = Addressing(config)
        self._extras = Extras(config)
        self._may_send_tlvs = may_send_tlvs
        self._joins_by_tlvs = may_send_tlvs and config.long_messages == "sar"
        # A whole text has still to be made octets, whether or not it may go into a TLV.
        is_whole = config.long_messages == "payload"
        self._recoder = Recoder(config)
        is_more = self.sends_tlvs or is_whole or self._recoder.is_needed
        self._is_plain = not is_more and self._addressing.is_uniform
        flags = config.priority_flags
        self._flags = (flags.urgent, flags.high, flags.normal, flags.bulk)
        self._is_absolute = config.validity == "absolute"
        self._schedule = config.schedule
        self._longest_s = int(config.validity_longest_s) or _LONGEST_S
        self._heads: dict[str, bytes] = {}
        self._heads_of: dict[tuple[int, int], dict[str, bytes]] = {}
        self._tails: dict[_TailKey, bytes] = {}

    @property
    def sends_tlvs(self) -> bool:
        """Are there any TLVs that go with messages?"""
        config = self._config
        wants = config.tlvs or config.user_message_reference or config.long_messages in ("sar", "payload")
        return self._may_send_tlvs and bool(wants)

    def pack(self, submission: Submission, wall_ms: int) -> bytes:
        """The body of a submit_sm that is sent at ``wall_ms``.

        Raises pdu.EncodeError for what the protocol cannot carry, Refusal for what the message itself lacks.
        """
        if not self._is_plain:
            return self._pack_more(submission, wall_ms)
        originator, udh = submission.originator, submission.udh
        return pack_submit_sm(
            self._heads.get(originator) or self._head(originator, self._heads, self._addressing.plain),
            submission.to[1:],
            self._tail(submission, udh != b"", wall_ms),
            udh + submission.data if udh else submission.data,
        )

    def _pack_more(self, submission: Submission, wall_ms: int) -> bytes:
        """The same for a channel that rewrites destinations or sends TLVs."""
        rule = self._addressing.rule(submission.to)
        heads = self._heads_of.setdefault((rule.ton, rule.npi), {})
        head = heads.get(submission.originator) or self._head(submission.originator, heads, rule)
        udh, tlvs = submission.udh, b""
        if self._may_send_tlvs:
            tlvs = self._tlvs(submission)
            if self._joins_by_tlvs and udh:
                udh, joining = concatenation_tlvs(udh)
                tlvs += joining
        text = udh + self._recoder.octets(submission, udh)
        tail = self._tail(submission, udh != b"", wall_ms)
        if self._config.long_messages == "payload" and submission.segments > 1:
            if not self._may_send_tlvs:
                raise EncodeError("message_payload is needed and the SMSC takes no TLVs")
            tlvs += encode_tlvs(((MESSAGE_PAYLOAD, text),))
            text = b""
        return pack_submit_sm(head, written(submission.to, rule), tail, text, tlvs)

    def _tlvs(self, submission: Submission) -> bytes:
        tlvs = self._extras.of(submission.metadata)
        if self._config.user_message_reference:
            tlvs += encode_tlvs(((USER_MESSAGE_REFERENCE, submission.reference.to_bytes(2, "big")),))
        return tlvs

    def _head(self, originator: str, heads: dict[str, bytes], rule: DestinationRule) -> bytes:
        if len(heads) >= _REMEMBERED:
            heads.clear()
        source = self._addressing.source(originator)
        head = submit_head(source.service_type, source.ton, source.npi, source.address, rule.ton, rule.npi)
        heads[originator] = head
        return head

    def _tail(self, submission: Submission, has_udh: bool, wall_ms: int) -> bytes:
        valid_s = submission.valid_for_s
        if self._is_absolute:
            valid_s = min(valid_s, self._longest_s) + wall_ms // 1000
        key = (
            has_udh,
            submission.encoding,
            submission.flash,
            submission.wants_receipt,
            self._flags[submission.priority],
            valid_s,
            self._due_s(submission.send_at_ms, wall_ms) if submission.send_at_ms > wall_ms else 0,
        )
        return self._tails.get(key) or self._make_tail(key)

    def _due_s(self, send_at_ms: int, wall_ms: int) -> int:
        """When a message is due that lies ahead, in whole seconds and never too soon: the span until then, or seconds
        since 1970, as the carrier is told it; 0 when it is told nothing."""
        if self._schedule == "none":
            return 0
        since_ms = wall_ms if self._schedule == "relative" else 0
        return -((since_ms - send_at_ms) // 1000)

    def _make_tail(self, key: _TailKey) -> bytes:
        """``valid_s`` is the span, or the end in seconds since 1970 when the carrier is told that; so is ``due_s``."""
        if len(self._tails) >= _REMEMBERED:
            self._tails.clear()
        config = self._config
        has_udh, encoding, is_flash, wants_receipt, priority_flag, valid_s, due_s = key
        validity = schedule = ""
        if self._is_absolute:
            validity = _absolute("validity_period", valid_s)
        elif config.validity == "relative" and valid_s:
            validity = encode_relative(min(valid_s, self._longest_s))
        if due_s and self._schedule == "absolute":
            schedule = _absolute("schedule_delivery_time", due_s)
        elif due_s:
            schedule = encode_relative(min(due_s, _LONGEST_S))
        tail = submit_tail(
            esm_class(config, has_udh),
            data_coding(config, encoding, is_flash),
            registered_delivery(config) if wants_receipt else 0,
            validity,
            schedule,
            config.protocol_id,
            priority_flag,
            int(config.replace_if_present),
        )
        self._tails[key] = tail
        return tail


def _absolute(field: str, at_s: int) -> str:
    try:
        return encode_absolute(at_s * 1000)
    except (ValueError, OverflowError) as error:
        raise EncodeError(f"{field}: {error}") from None
