"""Other people's SMPP codecs, spoken to in one plain form so that ours can be held against them.

The plain form of a PDU is what the specification names: a command, three numbers of the header, fields, and TLVs by
name; integers, texts and octets, no type of anybody's. What a judge calls by a name of its own is translated here
from the tables of the specification, never by our code.
"""

import io
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import smpplib.command
import smpplib.consts
import smpplib.smpp
from smpp.pdu import operations, pdu_types, smpp_time
from smpp.pdu.pdu_encoding import PDUEncoder

Value = int | str | bytes


class Plain(NamedTuple):
    """A PDU without anybody's types."""

    command: str
    status: int
    sequence: int
    fields: dict[str, Value]
    tlvs: dict[str, Value]


class Judge(Protocol):
    """A codec of somebody else's."""

    def encode(self, pdu: Plain) -> bytes: ...

    def decode(self, octets: bytes) -> Plain: ...


class Smpplib:
    """The client library that most Python programs use; since 2005."""

    def encode(self, pdu: Plain) -> bytes:
        made = smpplib.smpp.make_pdu(pdu.command, sequence=0)
        made.sequence, made.status = pdu.sequence, pdu.status
        for name, value in {**pdu.fields, **pdu.tlvs}.items():
            setattr(made, name, value)
        return bytes(made.generate())

    def decode(self, octets: bytes) -> Plain:
        found = smpplib.smpp.parse_pdu(octets, sequence=0, allow_unknown_opt_params=True)
        fields: dict[str, Value] = {}
        tlvs: dict[str, Value] = {}
        for name in found.params_order:
            value = getattr(found, name, None)
            if name == "short_message" and value is None:
                value = b""  # it stops reading where the octets end, which an empty text does
            if value is None or name == "sm_length":
                continue
            is_text = found.params[name].type is str
            into = tlvs if found.field_is_optional(name) else fields
            into[name] = value.decode("latin-1") if is_text else value
        return Plain(found.command, found.status, found.sequence, fields, tlvs)


# Names of SMPP 3.4 sections 5.2.5, 5.2.6, 5.2.12, 5.2.17, 5.2.19 and 5.2.28.
TONS = [
    "UNKNOWN",
    "INTERNATIONAL",
    "NATIONAL",
    "NETWORK_SPECIFIC",
    "SUBSCRIBER_NUMBER",
    "ALPHANUMERIC",
    "ABBREVIATED",
]
NPIS = {
    0: "UNKNOWN", 1: "ISDN", 3: "DATA", 4: "TELEX", 6: "LAND_MOBILE", 8: "NATIONAL", 9: "PRIVATE", 10: "ERMES",
    14: "INTERNET", 18: "WAP_CLIENT_ID",
}  # fmt: skip
MODES = ("DEFAULT", "DATAGRAM", "FORWARD", "STORE_AND_FORWARD")
TYPES = {
    0x00: "DEFAULT",
    0x04: "SMSC_DELIVERY_RECEIPT",
    0x08: "DELIVERY_ACKNOWLEDGEMENT",
    0x10: "MANUAL_ACKNOWLEDGMENT",
    0x18: "CONVERSATION_ABORT",
    0x20: "INTERMEDIATE_DELIVERY_NOTIFICATION",
}
FEATURES = {0x40: "UDHI_INDICATOR_SET", 0x80: "SET_REPLY_PATH"}
RECEIPTS = (
    "NO_SMSC_DELIVERY_RECEIPT_REQUESTED",
    "SMSC_DELIVERY_RECEIPT_REQUESTED",
    "SMSC_DELIVERY_RECEIPT_REQUESTED_FOR_FAILURE",
)
ACKNOWLEDGEMENTS = {0x04: "SME_DELIVERY_ACK_REQUESTED", 0x08: "SME_MANUAL_ACK_REQUESTED"}
CODINGS = {
    0: "SMSC_DEFAULT_ALPHABET", 1: "IA5_ASCII", 2: "OCTET_UNSPECIFIED", 3: "LATIN_1", 4: "OCTET_UNSPECIFIED_COMMON",
    5: "JIS", 6: "CYRILLIC", 7: "ISO_8859_8", 8: "UCS2", 9: "PICTOGRAM", 10: "ISO_2022_JP", 13: "EXTENDED_KANJI_JIS",
    14: "KS_C_5601",
}  # fmt: skip
GSM_CODINGS = {0: "DEFAULT_ALPHABET", 4: "DATA_8BIT"}
GSM_CLASSES = ("NO_MESSAGE_CLASS", "CLASS_1", "CLASS_2", "CLASS_3")
STATES = (
    "", "ENROUTE", "DELIVERED", "EXPIRED", "DELETED", "UNDELIVERABLE", "ACCEPTED", "UNKNOWN", "REJECTED",
)  # fmt: skip
NAMED: dict[str, tuple[Any, Mapping[int, str]]] = {
    **dict.fromkeys(
        ("addr_ton", "source_addr_ton", "dest_addr_ton", "esme_addr_ton"),
        (pdu_types.AddrTon, dict(enumerate(TONS))),
    ),
    **dict.fromkeys(
        ("addr_npi", "source_addr_npi", "dest_addr_npi", "esme_addr_npi"), (pdu_types.AddrNpi, NPIS)
    ),
    "priority_flag": (pdu_types.PriorityFlag, {n: f"LEVEL_{n}" for n in range(4)}),
    "replace_if_present_flag": (pdu_types.ReplaceIfPresentFlag, {0: "DO_NOT_REPLACE", 1: "REPLACE"}),
    "message_state": (pdu_types.MessageState, {n: name for n, name in enumerate(STATES) if name}),
    "more_messages_to_send": (pdu_types.MoreMessagesToSend, {0: "NO_MORE_MESSAGES", 1: "MORE_MESSAGES"}),
    "privacy_indicator": (
        pdu_types.PrivacyIndicator,
        dict(enumerate(("NOT_RESTRICTED", "RESTRICTED", "CONFIDENTIAL", "SECRET"))),
    ),
    "payload_type": (pdu_types.PayloadType, {0: "DEFAULT", 1: "WCMP"}),
    "ms_availability_status": (
        pdu_types.MsAvailabilityStatus,
        dict(enumerate(("AVAILABLE", "DENIED", "UNAVAILABLE"))),
    ),
}
"""Fields and TLVs that a judge knows by words: its enumeration, and the word of each number."""

TIMES = ("schedule_delivery_time", "validity_period", "final_date")


class SmppPdu:
    """The codec of a gateway in Python; knows nearly every PDU and gives the values words."""

    def encode(self, pdu: Plain) -> bytes:
        made_type = operations.getPDUClass(pdu_types.CommandId[pdu.command])
        values = {name: self._theirs(name, value) for name, value in {**pdu.fields, **pdu.tlvs}.items()}
        if pdu.command == "deliver_sm_resp":
            values["message_id"] = None  # SMPP 3.4 section 4.6.2: unused
        status = pdu_types.CommandStatus[_STATUS_NAMES[pdu.status]]
        return bytes(PDUEncoder().encode(made_type(pdu.sequence, status, **values)))

    def decode(self, octets: bytes) -> Plain:
        found = PDUEncoder().decode(io.BytesIO(octets))
        values = {name: self._plain(name, value) for name, value in found.params.items()}
        fields = {name: value for name, value in values.items() if name in found.mandatoryParams}
        tlvs = {name: value for name, value in values.items() if name not in fields}
        status = next(number for number, name in _STATUS_NAMES.items() if name == found.status.name)
        return Plain(found.id.name, status, found.seqNum, fields, tlvs)

    def _theirs(self, name: str, value: Value) -> Any:
        if name in NAMED:
            enumeration, words = NAMED[name]
            return enumeration[words[int(value)]]
        if isinstance(value, int) and name == "esm_class":
            features = [pdu_types.EsmClassGsmFeatures[word] for bit, word in FEATURES.items() if value & bit]
            mode, kind = pdu_types.EsmClassMode[MODES[value & 3]], pdu_types.EsmClassType[TYPES[value & 0x3C]]
            return pdu_types.EsmClass(mode, kind, features)
        if isinstance(value, int) and name == "registered_delivery":
            wanted = [
                pdu_types.RegisteredDeliverySmeOriginatedAcks[word]
                for bit, word in ACKNOWLEDGEMENTS.items()
                if value & bit
            ]
            receipt = pdu_types.RegisteredDeliveryReceipt[RECEIPTS[value & 3]]
            return pdu_types.RegisteredDelivery(receipt, wanted, bool(value & 0x10))
        if isinstance(value, int) and name == "data_coding":
            return self._coding(value)
        if name in TIMES:
            return smpp_time.parse(value) if value else None
        return value.encode("latin-1") if isinstance(value, str) else value

    def _coding(self, value: int) -> Any:
        schemes = pdu_types.DataCodingScheme
        if value >= 0xF0:
            coding = pdu_types.DataCodingGsmMsgCoding[GSM_CODINGS[value & 4]]
            kind = pdu_types.DataCodingGsmMsgClass[GSM_CLASSES[value & 3]]
            return pdu_types.DataCoding(schemes.GSM_MESSAGE_CLASS, pdu_types.DataCodingGsmMsg(coding, kind))
        if value in CODINGS:
            return pdu_types.DataCoding(schemes.DEFAULT, pdu_types.DataCodingDefault[CODINGS[value]])
        return pdu_types.DataCoding(schemes.RAW, value)

    def _plain(self, name: str, value: Any) -> Value:
        if name in NAMED:
            return next(number for number, word in NAMED[name][1].items() if word == value.name)
        if name == "esm_class":
            features = {feature.name for feature in value.gsmFeatures}
            kind = next(number for number, word in TYPES.items() if word == value.type.name)
            return (
                MODES.index(value.mode.name)
                | kind
                | sum(bit for bit, word in FEATURES.items() if word in features)
            )
        if name == "registered_delivery":
            wanted = {each.name for each in value.smeOriginatedAcks}
            bits = sum(bit for bit, word in ACKNOWLEDGEMENTS.items() if word in wanted)
            return RECEIPTS.index(value.receipt.name) | bits | 0x10 * value.intermediateNotification
        if name == "data_coding":
            return self._plain_coding(value)
        if name in TIMES:
            return "" if value is None else _time_text(value)
        if isinstance(value, bytes) and name not in ("short_message", "message_payload"):
            return value.decode("latin-1")
        if value is None:
            return "" if name == "message_id" else 0
        return value

    def _plain_coding(self, value: Any) -> int:
        if value.scheme.name == "RAW":
            return int(value.schemeData)
        if value.scheme.name == "DEFAULT":
            return next(number for number, word in CODINGS.items() if word == value.schemeData.name)
        coding = next(
            number for number, word in GSM_CODINGS.items() if word == value.schemeData.msgCoding.name
        )
        return 0xF0 | coding | GSM_CLASSES.index(value.schemeData.msgClass.name)


def _time_text(value: Any) -> str:
    """A time in the words of SMPP 3.4 section 7.1.1; their own writer of absolute times fails on any."""
    if isinstance(value, smpp_time.SMPPRelativeTime):
        return "".join(f"{each:02d}" for each in value) + "000R"
    offset = value.utcoffset()
    quarters = 0 if offset is None else round(offset.total_seconds() / 900)
    sign = "-" if quarters < 0 else "+"
    return f"{value:%y%m%d%H%M%S}{value.microsecond // 100_000}{abs(quarters):02d}{sign}"


# SMPP 3.4 section 5.1.3.
_STATUS_NAMES = {
    0x00: "ESME_ROK", 0x04: "ESME_RINVBNDSTS", 0x05: "ESME_RALYBND", 0x08: "ESME_RSYSERR", 0x0B: "ESME_RINVDSTADR",
    0x0C: "ESME_RINVMSGID", 0x0D: "ESME_RBINDFAIL", 0x0E: "ESME_RINVPASWD", 0x11: "ESME_RCANCELFAIL",
    0x14: "ESME_RMSGQFUL", 0x45: "ESME_RSUBMITFAIL", 0x58: "ESME_RTHROTTLED", 0x61: "ESME_RINVSCHED",
    0x64: "ESME_RX_T_APPN", 0x67: "ESME_RQUERYFAIL", 0xC0: "ESME_RINVOPTPARSTREAM", 0xFE: "ESME_RDELIVERYFAILURE",
}  # fmt: skip
STATUSES = tuple(_STATUS_NAMES)
