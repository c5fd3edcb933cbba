"""The running engine as a whole: which of its channels are up, those included that only receive."""

from types import SimpleNamespace

from stentor.aio.engine import RunningEngine
from stentor.clock import ManualClock
from stentor.driver import Capabilities, DriverStatus, LaneStatus
from stentor.message import EventKind
from stentor.scheduling.lanes import Channel, Lane


def test_a_channel_that_only_receives_is_counted_and_its_changes_are_events() -> None:
    told: list[tuple[EventKind, str, str]] = []
    ledger = SimpleNamespace(
        channel_event=lambda kind, name, at_ms, detail: told.append((kind, name, detail))
    )
    pump = SimpleNamespace(
        clock=ManualClock(1.0), dispatcher=SimpleNamespace(ledger=ledger), kick=lambda: None
    )
    engine = RunningEngine(pump, SimpleNamespace(), SimpleNamespace())
    inbox = Channel("inbox", "smpp", Capabilities(can_send=False), 0.0, 0.0)
    line = Channel("line", "smpp", Capabilities(), 0.0, 0.0)
    line.lanes["1"] = Lane(line, "1", 10, 0.0, 0.0)
    line.refresh()
    status = DriverStatus((LaneStatus("rx-1", "bound", "peer", 0, is_receiving=True),))
    engine.running = {
        "inbox": SimpleNamespace(channel=inbox, status=lambda: status),
        "line": SimpleNamespace(channel=line, status=DriverStatus),
    }
    assert [engine.count_up() for _ in range(2)] == [2, 2]
    status = DriverStatus((LaneStatus("rx-1", "closed", "peer", 0),), last_error="connection lost")
    assert [engine.count_up() for _ in range(2)] == [1, 1]
    status = DriverStatus((LaneStatus("rx-1", "bound", "peer", 0, is_receiving=True),))
    assert engine.count_up() == 2
    del engine.running["inbox"]
    assert engine.count_up() == 1
    assert told == [
        (EventKind.CHANNEL_UP, "inbox", ""),
        (EventKind.CHANNEL_DOWN, "inbox", "connection lost"),
        (EventKind.CHANNEL_UP, "inbox", ""),
        (EventKind.CHANNEL_DOWN, "inbox", ""),
    ]
