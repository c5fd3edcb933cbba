"""What `stentor status` says a channel waits for: in words, and whose doing it is."""

from stentor.dispatch.overview import waits_for
from stentor.driver import Capabilities
from stentor.message import Priority
from stentor.outcome import Deferred, Scope, Submission
from stentor.scheduling.lanes import Channel, Lane
from stentor.text.segments import Encoding
from tests.engine.dispatch.dispatch_engine import message

SUBMISSION = Submission(257, 1, "+1", "1", Encoding.GSM7, b"x", b"", 1, 1, True, 60, Priority.NORMAL)


def busy() -> tuple[Channel, Lane]:
    channel = Channel("a", "smpp", Capabilities(), 0.0, 0.0)
    lane = channel.lanes["1"] = Lane(channel, "1", 100, 0.0, 0.0)
    channel.refresh()
    channel.queue.put(message(1))
    return channel, lane


def test_a_pause_of_ours_tells_what_it_follows() -> None:
    channel, lane = busy()
    assert waits_for(channel, 0.0) == ()
    refused = Deferred(SUBMISSION, "login_refused", "401", scope=Scope.CHANNEL)
    lane.pause(60.0, 0.0, refused)
    assert waits_for(channel, 1.0) == ("the end of a pause after login_refused 401",)
    lane.pause(1.0, 2.0, Deferred(SUBMISSION, "carrier_error", scope=Scope.LANE))
    assert waits_for(channel, 3.0) == ("the end of a pause after login_refused 401",)
    assert waits_for(channel, 60.0) == ()


def test_a_pause_that_throttling_made_says_so() -> None:
    channel, lane = busy()
    lane.adaptive.paused_until = 5.0
    assert waits_for(channel, 1.0) == ("the end of a pause, the peer throttles",)
