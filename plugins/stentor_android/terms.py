"""What the configuration of a channel says about its fleet."""

from collections.abc import Mapping

import msgspec

from stentor_android.pacing import Limits


class Terms(msgspec.Struct, frozen=True):
    """``limits`` by phone's name and slot; "" and 0 are the default."""

    window: int = 3
    parts_a_minute: float = 20.0
    parts_a_message: int = 6
    pickup_s: float = 60.0
    lease_s: float = 600.0
    margin_s: float = 120.0
    handover_s: float = 60.0
    ask_s: float = 120.0
    limits: Mapping[str, Mapping[int, Limits]] = msgspec.field(default_factory=lambda: {"": {0: Limits()}})
