"""The table of TLVs: tag, name and what the value holds (SMPP 3.4 section 5.3, SMPP 5.0 section 4.8).

A TLV travels through the codec as ``(tag, octets)`` and is read only when somebody asks, because carriers
send known tags in sizes the books do not know. Unknown tags are kept like known ones.
"""

from enum import Enum
from typing import Final

import msgspec

TLV = tuple[int, bytes]


class TLVKind(Enum):
    """What the octets of a value are."""

    INTEGER = "integer"
    STRING = "C-octet string"
    OCTETS = "octets"


class TLVSpec(msgspec.Struct, frozen=True, gc=False):
    """One row of the table; sizes in octets of the value alone."""

    tag: int
    name: str
    kind: TLVKind
    smallest: int
    largest: int


_INTEGERS: Final[dict[int, tuple[str, int]]] = {
    0x0005: ("dest_addr_subunit", 1),
    0x0006: ("dest_network_type", 1),
    0x0007: ("dest_bearer_type", 1),
    0x0008: ("dest_telematics_id", 2),
    0x000D: ("source_addr_subunit", 1),
    0x000E: ("source_network_type", 1),
    0x000F: ("source_bearer_type", 1),
    0x0010: ("source_telematics_id", 1),
    0x0017: ("qos_time_to_live", 4),
    0x0019: ("payload_type", 1),
    0x0030: ("ms_msg_wait_facilities", 1),
    0x0201: ("privacy_indicator", 1),
    0x0204: ("user_message_reference", 2),
    0x0205: ("user_response_code", 1),
    0x020A: ("source_port", 2),
    0x020B: ("destination_port", 2),
    0x020C: ("sar_msg_ref_num", 2),
    0x020D: ("language_indicator", 1),
    0x020E: ("sar_total_segments", 1),
    0x020F: ("sar_segment_seqnum", 1),
    0x0210: ("sc_interface_version", 1),
    0x0302: ("callback_num_pres_ind", 1),
    0x0304: ("number_of_messages", 1),
    0x0420: ("dpf_result", 1),
    0x0421: ("set_dpf", 1),
    0x0422: ("ms_availability_status", 1),
    0x0425: ("delivery_failure_reason", 1),
    0x0426: ("more_messages_to_send", 1),
    0x0427: ("message_state", 1),
    0x0428: ("congestion_state", 1),
    0x0501: ("ussd_service_op", 1),
    0x0600: ("broadcast_channel_indicator", 1),
    0x0603: ("broadcast_message_class", 1),
    0x0604: ("broadcast_rep_num", 2),
    0x0607: ("broadcast_error_status", 4),
    0x0608: ("broadcast_area_success", 1),
    0x0611: ("dest_addr_np_resolution", 1),
    0x1201: ("display_time", 1),
    0x1203: ("sms_signal", 2),
    0x1380: ("its_reply_type", 1),
}
_STRINGS: Final[dict[int, tuple[str, int, int]]] = {
    0x001D: ("additional_status_info_text", 1, 256),
    0x001E: ("receipted_message_id", 1, 65),
    0x0609: ("broadcast_end_time", 16, 17),
    0x060D: ("source_network_id", 7, 65),
    0x060E: ("dest_network_id", 7, 65),
}
_OCTETS: Final[dict[int, tuple[str, int, int]]] = {
    0x0202: ("source_subaddress", 2, 23),
    0x0203: ("dest_subaddress", 2, 23),
    0x0303: ("callback_num_atag", 1, 65),
    0x0381: ("callback_num", 4, 19),
    0x0423: ("network_error_code", 3, 3),
    0x0424: ("message_payload", 0, 65535),
    0x0601: ("broadcast_content_type", 3, 3),
    0x0602: ("broadcast_content_type_info", 1, 255),
    0x0605: ("broadcast_frequency_interval", 3, 3),
    0x0606: ("broadcast_area_identifier", 1, 101),
    0x060A: ("broadcast_service_group", 1, 255),
    0x060B: ("billing_identification", 1, 1024),
    0x060F: ("source_node_id", 6, 6),
    0x0610: ("dest_node_id", 6, 6),
    0x0612: ("dest_addr_np_information", 10, 10),
    0x0613: ("dest_addr_np_country", 1, 5),
    0x1204: ("ms_validity", 1, 4),
    0x130C: ("alert_on_message_delivery", 0, 1),
    0x1383: ("its_session_info", 2, 2),
}

TLV_SPECS: Final[dict[int, TLVSpec]] = {
    **{tag: TLVSpec(tag, name, TLVKind.INTEGER, size, size) for tag, (name, size) in _INTEGERS.items()},
    **{tag: TLVSpec(tag, name, TLVKind.STRING, low, high) for tag, (name, low, high) in _STRINGS.items()},
    **{tag: TLVSpec(tag, name, TLVKind.OCTETS, low, high) for tag, (name, low, high) in _OCTETS.items()},
}
TLV_TAGS: Final[dict[str, int]] = {spec.name: tag for tag, spec in TLV_SPECS.items()}

ADDITIONAL_STATUS_INFO_TEXT: Final = 0x001D
RECEIPTED_MESSAGE_ID: Final = 0x001E
USER_MESSAGE_REFERENCE: Final = 0x0204
SAR_MSG_REF_NUM: Final = 0x020C
SAR_TOTAL_SEGMENTS: Final = 0x020E
SAR_SEGMENT_SEQNUM: Final = 0x020F
SC_INTERFACE_VERSION: Final = 0x0210
NETWORK_ERROR_CODE: Final = 0x0423
MESSAGE_PAYLOAD: Final = 0x0424
MORE_MESSAGES_TO_SEND: Final = 0x0426
MESSAGE_STATE: Final = 0x0427
CONGESTION_STATE: Final = 0x0428


def first(tlvs: tuple[TLV, ...], tag: int) -> bytes | None:
    """Octets of the first TLV with ``tag``, or None."""
    for found, value in tlvs:
        if found == tag:
            return value
    return None


def first_integer(tlvs: tuple[TLV, ...], tag: int) -> int | None:
    """The first TLV with ``tag`` as a number, whatever its size; None when absent or without octets."""
    value = first(tlvs, tag)
    return int.from_bytes(value, "big") if value else None


def tlv_name(tag: int) -> str:
    """The name of the specification, or the tag in hexadecimal when it has none."""
    spec = TLV_SPECS.get(tag)
    return spec.name if spec is not None else f"0x{tag:04x}"


def tlv_value(tag: int, octets: bytes) -> int | str:
    """A value for people: a number, a text, or hexadecimal when the table or the size does not say."""
    spec = TLV_SPECS.get(tag)
    if spec is None or not spec.smallest <= len(octets) <= spec.largest:
        return octets.hex()
    if spec.kind is TLVKind.INTEGER:
        return int.from_bytes(octets, "big")
    if spec.kind is TLVKind.STRING:
        return octets.rstrip(b"\0").decode("latin-1")
    return octets.hex()


def make_tlv(tag: int, value: int | str | bytes) -> TLV:
    """A TLV from a value; a number takes the table's size (or the smallest of 1, 2, 4), a text gets its NUL.

    Raises ValueError when the value does not fit the tag. Vendor tags accept anything up to 65,535 octets.
    """
    spec = TLV_SPECS.get(tag)
    if isinstance(value, int):
        known = spec is not None and spec.kind is TLVKind.INTEGER
        size = spec.smallest if spec is not None and known else _integer_size(value)
        try:
            octets = value.to_bytes(size, "big")
        except OverflowError:
            raise ValueError(f"{tlv_name(tag)}: {value} does not fit {size} octets") from None
    elif isinstance(value, str):
        octets = value.encode("latin-1") + b"\0"
    else:
        octets = value
    smallest, largest = (spec.smallest, spec.largest) if spec is not None else (0, 65535)
    if not smallest <= len(octets) <= largest:
        raise ValueError(f"{tlv_name(tag)}: {len(octets)} octets, the tag takes {smallest} to {largest}")
    return tag, octets


def _integer_size(value: int) -> int:
    return 1 if value < 0x100 else 2 if value < 0x10000 else 4
