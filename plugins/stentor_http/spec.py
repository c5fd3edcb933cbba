"""The door: what the entry point in ``stentor.drivers`` names."""

from stentor.driver import CONTRACT_VERSION, Capabilities, Driver, DriverSpec, Host
from stentor.text.segments import Encoding
from stentor_http.config import SECRETS, HTTPConfig, check, load_carrier


def capabilities(config: HTTPConfig) -> Capabilities:
    """What the channel can do, as its carrier's description says."""
    carrier = load_carrier(config)
    questions = carrier.questions
    query_after_s = config.query_after_s
    if query_after_s is None:
        query_after_s = questions.query.after_s if questions.query is not None else 0.0
    texts = frozenset({Encoding.GSM7, Encoding.UCS2})
    return Capabilities(
        unit="message",
        encodings=texts | {Encoding.BINARY} if carrier.takes_binary else texts,
        receipts="message" if carrier.has_receipts else "none",
        has_inbound=carrier.has_inbound,
        honours_validity=carrier.honours_validity,
        is_idempotent=carrier.is_idempotent,
        echoes_reference=carrier.echoes_reference and carrier.has_receipts,
        query_after_s=query_after_s if carrier.has_receipts else 0.0,
        can_look_up=questions.lookup is not None,
        can_cancel=questions.cancel is not None,
    )


def make(config: HTTPConfig, host: Host) -> Driver:
    """A driver that is not running yet. The shell is loaded only when a channel needs it."""
    from stentor_http.driver import HTTPDriver

    return HTTPDriver(config, host)


SPEC = DriverSpec(
    name="http",
    contract=CONTRACT_VERSION,
    config=HTTPConfig,
    capabilities=capabilities,
    make=make,
    secrets=SECRETS,
    check=check,
)
