"""The options of the simulated SMSC, checked; ``arguments`` reads them from a command line."""

from collections.abc import Sequence
from random import Random

import msgspec

from bench.peers.arguments import make_parser
from bench.peers.behaviour import Behaviour
from bench.peers.dialect import Dialect
from bench.peers.inbound import InboundForm, make_inbound

STORE = 10_000


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """All options."""

    host: str = "127.0.0.1"
    port: int = 0
    system_id: str = ""
    password: str = ""
    name: str = "SMSC"
    refuse_bind: int = 0
    refuse_binds: int = 0
    most_sessions: int = 0
    is_deliver_early: bool = False
    outbind: tuple[str, int] | None = None
    tls_cert: str = ""
    tls_key: str = ""
    tls_ca: str = ""
    window: int = 100_000
    deliver_window: int = 1000
    deliver_timeout_s: float = 60.0
    enquire_link_s: float | None = None
    has_delayed_acks: bool = False
    piece: int = 0
    query_status: int = 0
    schedule_ahead_s: float = 30 * 86_400.0
    is_slow: bool = False
    inbound_rate: float = 0.0
    alert_rate: float = 0.0
    record: str = ""
    store: int = 0
    seed: int = 0
    first_id: int = 0
    behaviour: Behaviour = Behaviour()
    dialect: Dialect = Dialect()
    inbound: InboundForm = InboundForm()

    @property
    def is_fast(self) -> bool:
        """Nothing is to go wrong and nothing to be remembered: traffic goes the fast way."""
        is_plain = self.behaviour.is_plain and self.dialect.is_plain and not self.is_deliver_early
        return (
            is_plain
            and not self.store
            and not self.query_status
            and self.enquire_link_s is None
            and not self.is_slow
        )


def parse_options(argv: Sequence[str] | None = None) -> Options:
    """Options from a command line; prints usage and exits with 2 for a wrong one."""
    parser = make_parser()
    chosen = vars(parser.parse_args(argv))
    behaviour = Behaviour(**{name: chosen.pop(name) for name in Behaviour.__struct_fields__})
    dialect = Dialect(**{name: chosen.pop(name) for name in Dialect.__struct_fields__})
    inbound = InboundForm(**{name: chosen.pop(f"inbound_{name}") for name in InboundForm.__struct_fields__})
    try:
        make_inbound(inbound, 0, Random(0))
    except ValueError as error:
        parser.error(f"--mo-text: {error}")
    options = Options(**chosen, behaviour=behaviour, dialect=dialect, inbound=inbound)
    if options.store or options.is_fast:
        return options
    return msgspec.structs.replace(options, store=STORE)
