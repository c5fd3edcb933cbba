"""The door: what the entry point in ``stentor.drivers`` names."""

from stentor.driver import CONTRACT_VERSION, Capabilities, Driver, DriverSpec, Host
from stentor_smpp.config import SECRETS, SMPPConfig


def capabilities(config: SMPPConfig) -> Capabilities:
    """What the channel can do with this configuration."""
    return Capabilities(
        wide_reference=config.wide_reference,
        has_inbound=config.bind != "transmitter" or config.receivers > 0,
        honours_validity=config.validity,
        receipt_family=f"smpp {config.host}:{config.port}",
    )


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
)
