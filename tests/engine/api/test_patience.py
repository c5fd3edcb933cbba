"""Which clients of streams are believed to wait for their answers."""

from stentor.api.patience import HURRY_S, LONG_S, SIGNS, Patience


def one_that_waits(now: float) -> Patience:
    """What is known at ``now`` of a client that was silent as often as it takes."""
    patience = Patience()
    for _ in range(SIGNS):
        assert patience.lasts(now)
        patience.answered(LONG_S, was_silent=True, now=now)
    return patience


def test_a_client_that_is_silent_while_it_waits_is_answered_at_once_for_a_while() -> None:
    patience = one_that_waits(5.0)
    assert not patience.lasts(5.0 + HURRY_S / 2)
    assert patience.lasts(5.0 + HURRY_S)


def test_after_that_one_trial_tells_that_it_waits_still() -> None:
    patience = one_that_waits(5.0)
    patience.answered(0.001, was_silent=True, now=5.5)
    patience.answered(LONG_S, was_silent=True, now=7.0)
    assert not patience.lasts(7.5)


def test_silence_during_a_short_time_tells_nothing() -> None:
    patience = Patience()
    for _ in range(10 * SIGNS):
        patience.answered(LONG_S / 2, was_silent=True, now=5.0)
    assert patience.lasts(5.0)


def test_silence_now_and_then_is_chance() -> None:
    patience = Patience()
    for _ in range(10):
        for _ in range(SIGNS - 1):
            patience.answered(LONG_S, was_silent=True, now=5.0)
        patience.answered(LONG_S, was_silent=False, now=5.0)
    assert patience.lasts(5.0)
