"""What a message goes by is what the explanation says: the SIM of the highest score among those that may take it."""

from hypothesis import given
from hypothesis import strategies as st

from stentor_android.fleet import Fleet
from stentor_android.pacing import Limits
from stentor_android.protocol import SIMCard
from stentor_android.registry import Phone
from stentor_android.sealing import Sealer
from stentor_android.terms import Terms
from tests.plugins.android.phone_world import submission

WALL_MS = 1_800_000_000_000
FACTS = st.tuples(
    st.booleans(), st.integers(0, 3), st.integers(0, 2), st.sampled_from([0.0, 3.0, 90.0]), st.integers(0, 4)
)
"""Of a SIM: whether its phone streams, what waits for it, failures, rest, and parts of the hour that are used."""


@given(st.lists(FACTS, min_size=1, max_size=12), st.integers(0, 3), st.integers(0, 12))
def test_a_message_goes_by_the_sim_that_the_explanation_has_first(facts, hourly, sticky):
    limits = Limits(hourly=hourly)
    fleet = Fleet(Terms(limits={"": {0: limits}}), b"k" * 32, Sealer())
    to, now = "+15550100042", 1000.0
    for number, (is_streaming, waiting, failures, rest_s, used) in enumerate(facts):
        phone = Phone(
            f"dv{number}", f"p{number}", b"", "L", "m", 0, version=(1, 68, 0), sims=(SIMCard(0, 1),)
        )
        phone.seen_at_ms = WALL_MS
        device = fleet.add(phone, {}, now, WALL_MS)
        (sim,) = device.present
        device.streams = int(is_streaming)
        sim.waiting, sim.failures, sim.used_at = waiting, failures, now - rest_s
        sim.allowance.take(to, used, WALL_MS)
        if number == sticky:
            fleet._chooser.gave(to, sim)
        fleet.measure(device, now, WALL_MS)
    told = fleet.explain(to, 1, now, WALL_MS)
    mine = submission(1, to)
    fleet.place([mine], now, WALL_MS)
    item = fleet.items.get(1)
    assert bool(item) == bool(told)
    if item is not None:
        chosen = next(each for each in told if each.key == f"{item.device_id}/{item.slot}")
        assert chosen.score == told[0].score
