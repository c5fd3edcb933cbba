"""The door: what the entry point in ``stentor.drivers`` names."""

from stentor.driver import CONTRACT_VERSION, Capabilities, Driver, DriverSpec, Host
from stentor.text.segments import Encoding
from stentor_android.config import SECRETS, AndroidConfig, check


def capabilities(config: AndroidConfig) -> Capabilities:
    """What the channel can do with this configuration.

    A phone cuts texts itself. One phone sends what it was listed once however often that is, but the fleet is not one
    phone: it is not idempotent. Reports name the attempt, so they settle doubt. What no phone was told of can be given
    back, and phones of the present can be asked for the rest.
    """
    encodings = {Encoding.GSM7, Encoding.UCS2}
    if config.data_messages:
        encodings.add(Encoding.BINARY)
    return Capabilities(
        unit="message",
        encodings=frozenset(encodings),
        receipts="message",
        has_inbound=True,
        honours_validity=True,
        echoes_reference=True,
        can_recall=True,
        patience_s=0.25,
    )


def make(config: AndroidConfig, host: Host) -> Driver:
    """A driver that is not running yet. The shell is loaded only when a channel needs it."""
    from stentor_android.driver import AndroidDriver

    return AndroidDriver(config, host)


SPEC = DriverSpec(
    name="android",
    contract=CONTRACT_VERSION,
    config=AndroidConfig,
    capabilities=capabilities,
    make=make,
    secrets=SECRETS,
    check=check,
)
