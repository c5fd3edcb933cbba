"""The octets of a submit_sm that follow from a channel's configuration: esm_class, registered_delivery, data_coding.

SMPP 3.4 sections 5.2.12, 5.2.17 and 5.2.19; for classes TS 23.038 section 4.
"""

from typing import Final

from stentor.text.segments import Encoding
from stentor_smpp.dialect import Dialect

UDHI: Final = 0x40

_MODES: Final = {"default": 0, "datagram": 1, "forward": 2, "store_and_forward": 3}
_RECEIPTS: Final = {"none": 0, "all": 1, "failure": 2, "success": 3}
_ACKNOWLEDGEMENTS: Final = {"none": 0x00, "delivery": 0x04, "user": 0x08, "both": 0x0C}
_INTERMEDIATE: Final = 0x10

_CLASS_CODINGS: Final = {
    "0xF0": {Encoding.GSM7: 0xF0, Encoding.BINARY: 0xF4, Encoding.UCS2: 0x18},
    "0x10": {Encoding.GSM7: 0x10, Encoding.BINARY: 0x14, Encoding.UCS2: 0x18},
}
"""The first value of each family; the class is added to it. 0xF0 has no UCS-2, so that is the general group's."""


def esm_class(config: Dialect, has_udh: bool) -> int:
    """Messaging mode, and whether a user data header stands in front of the text."""
    return _MODES[config.message_mode] | (UDHI if has_udh else 0)


def registered_delivery(config: Dialect) -> int:
    """What is asked for with a message that wants a receipt."""
    asked = _RECEIPTS[config.registered_delivery] | _ACKNOWLEDGEMENTS[config.handset_acknowledgement]
    return asked | (_INTERMEDIATE if config.intermediate_receipts else 0)


def data_coding(config: Dialect, encoding: Encoding, is_flash: bool) -> int:
    """Alphabet and class. A flash message is of class 0, whatever the channel's own class; Latin-1 has no classes."""
    message_class = 0 if is_flash else config.message_class
    if encoding is Encoding.LATIN1 or message_class is None:
        codings = config.data_codings
        match encoding:
            case Encoding.GSM7:
                return codings.gsm7
            case Encoding.UCS2:
                return codings.ucs2
            case Encoding.BINARY:
                return codings.binary
            case Encoding.LATIN1:
                return codings.latin1
    return _CLASS_CODINGS[config.class_coding][encoding] + message_class


def names_gsm7(config: Dialect, is_flash: bool) -> bool:
    """Whether the data_coding of a GSM 7-bit text says so by itself, so that the carrier's default has no say."""
    return (is_flash or config.message_class is not None) and config.class_coding == "0xF0"
