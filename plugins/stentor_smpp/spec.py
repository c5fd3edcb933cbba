"""The door: what the entry point in ``stentor.drivers`` names."""

from stentor.driver import CONTRACT_VERSION, Capabilities, Driver, DriverSpec, Host
from stentor.text.segments import Encoding
from stentor_smpp.checks import check
from stentor_smpp.config import SECRETS, SMPPConfig
from stentor_smpp.places import can_receive, can_send, check_connections


def capabilities(config: SMPPConfig) -> Capabilities:
    """What the channel can do with this configuration."""
    # The network makes the header that the TLVs of "sar" stand for, so its segments leave the same room for one.
    return Capabilities(
        unit="message" if config.long_messages == "payload" else "segment",
        encodings=frozenset(Encoding) if config.latin1 else Capabilities().encodings,
        coding=config.coding,
        receipts=_receipts(config),
        has_inbound=can_receive(config),
        honours_validity=config.validity != "none",
        receipt_family=f"smpp {config.host}:{config.port}",
        echoes_reference=config.receipts_echo_reference,
        query_after_s=config.query_after_s,
        can_cancel=config.cancel,
        can_send=can_send(config),
        schedules_s=0.0 if config.schedule == "none" else config.schedule_ahead_s,
    )


def _receipts(config: SMPPConfig) -> str:
    if config.registered_delivery == "none":
        return "none"
    return "message" if config.long_messages == "payload" else "segment"


def _check(config: SMPPConfig) -> None:
    check_connections(config)
    check(config)


def make(config: SMPPConfig, host: Host) -> Driver:
    """A driver that is not running yet. The shell is loaded only when a channel needs it."""
    from stentor_smpp.driver import SMPPDriver

    return SMPPDriver(config, host)


SPEC = DriverSpec(
    name="smpp",
    contract=CONTRACT_VERSION,
    config=SMPPConfig,
    capabilities=capabilities,
    make=make,
    secrets=SECRETS,
    check=_check,
)
