"""The timers of a session, by arithmetic."""

from stentor_smpp.timers import Timer, Timers, TimerSettings

SETTINGS = TimerSettings(
    session_init_s=5,
    bind_response_s=7,
    enquire_link_s=30,
    enquire_response_s=10,
    inactivity_s=100,
    unbind_response_s=3,
    pdu_s=2,
)


def test_an_open_session_waits_for_its_bind():
    timers = Timers(SETTINGS, 100.0)
    assert timers.next_deadline() == 105.0
    assert timers.fired(104.9) == []
    assert timers.fired(105.0) == [Timer.SESSION_INIT]


def test_a_bind_waits_for_its_answer_and_no_longer_for_itself():
    timers = Timers(SETTINGS, 100.0).bind_sent(101.0)
    assert timers.next_deadline() == 108.0
    assert timers.fired(200.0) == [Timer.BIND_RESPONSE]


def test_silence_brings_enquire_link_and_then_the_end():
    timers = Timers(SETTINGS, 0.0).bound(10.0)
    assert timers.next_deadline() == 40.0
    assert timers.fired(40.0) == [Timer.ENQUIRE_LINK]
    asked = timers.enquired(40.0)
    assert asked.next_deadline() == 50.0
    assert asked.fired(50.0) == [Timer.ENQUIRE_RESPONSE]


def test_anything_received_proves_life():
    asked = Timers(SETTINGS, 0.0).bound(10.0).enquired(40.0)
    alive = asked.received(49.0, False, None)
    assert alive.next_deadline() == 79.0


def test_only_messages_put_off_inactivity():
    timers = Timers(SETTINGS, 0.0).bound(10.0)
    for moment in (30.0, 60.0, 90.0):
        timers = timers.received(moment, False, None)
    assert timers.fired(110.0) == [Timer.INACTIVITY]
    assert timers.received(100.0, True, None).fired(110.0) == []
    assert timers.sent(100.0).fired(110.0) == []


def test_inactivity_and_enquire_link_may_be_off():
    timers = Timers(TimerSettings(enquire_link_s=None, inactivity_s=None), 0.0).bound(10.0)
    assert timers.next_deadline() == float("inf")
    assert timers.fired(1e9) == []


def test_after_unbind_only_its_answer_is_waited_for():
    timers = Timers(SETTINGS, 0.0).bound(10.0).unbind_sent(20.0)
    assert timers.next_deadline() == 23.0
    assert timers.received(22.0, True, None).next_deadline() == 23.0
    assert timers.fired(1e9) == [Timer.UNBIND_RESPONSE]


def test_a_pdu_once_begun_must_be_finished():
    timers = Timers(SETTINGS, 0.0).bound(10.0).began(11.0)
    assert timers.next_deadline() == 13.0
    assert timers.fired(13.0) == [Timer.PDU]
    assert timers.received(12.0, True, None).next_deadline() == 42.0
    assert timers.received(12.0, True, 12.0).next_deadline() == 14.0


def test_a_pdu_begun_before_the_bind_must_be_finished_too():
    assert Timers(SETTINGS, 0.0).began(1.0).next_deadline() == 3.0
    assert Timers(SETTINGS, 0.0).began(1.0).received(2.0, True, None).next_deadline() == 5.0
    assert Timers(SETTINGS, 0.0).bind_sent(1.0).began(1.5).next_deadline() == 3.5


def test_the_oldest_request_counts_among_the_deadlines():
    timers = Timers(SETTINGS, 0.0).bound(10.0)
    assert timers.next_deadline(20.0) == 20.0
    assert timers.next_deadline(50.0) == 40.0


def test_timers_that_are_due_together_come_earliest_first():
    timers = Timers(SETTINGS, 0.0).bound(10.0).began(50.0)
    assert timers.fired(1e9) == [Timer.ENQUIRE_LINK, Timer.PDU, Timer.INACTIVITY]
