"""The daemon is killed around everything a phone hears and tells, and each message reaches the radio once."""

from pathlib import Path

import pytest

from tests.crash.phone_world import TOKEN, CrashPhone, Gone, Lives, lives
from tests.support.waiting import eventually


def listed_to(phones: list[CrashPhone]) -> tuple[CrashPhone, str]:
    """Pull with all phones until one is listed something."""
    found: list[tuple[CrashPhone, str]] = []

    def has_come() -> bool:
        for phone in phones:
            found.extend((phone, message_id) for message_id in phone.pull())
        return bool(found)

    eventually(has_come, what="a message is listed")
    (first,) = found
    return first


def dies_while_pulling(phones: list[CrashPhone]) -> None:
    """Pull until a pull breaks off."""
    with pytest.raises(Gone):
        listed_to(phones)


def is_delivered(history: Lives, message_id: str) -> None:
    eventually(lambda: history.message(message_id)["status"] == "delivered", what="it is delivered")


def test_each_message_reaches_the_radio_once_whenever_the_daemon_dies(tmp_path: Path) -> None:
    with lives(tmp_path) as history:
        phones = [CrashPhone(history, name) for name in ("one/anna", "one/bert")]
        history.begin()
        for phone in phones:
            phone.register()

        # Dead after the answer to a pull: it is with this phone, and is listed to it again by the same id.
        first = history.submit("+15550100001")
        owner, item = listed_to(phones)
        history.kill()
        history.begin("before-receipt-commit")
        again = [(phone, each) for _ in range(20) for phone in phones for each in phone.pull()]
        eventually(lambda: item in owner.pull(), what="it is listed again")
        assert {(phone.name, each) for phone, each in again} <= {(owner.name, item)}

        # Dead with the report in its hands: the phone repeats it.
        with pytest.raises(Gone):
            owner.report(item, "Delivered")
        history.bury()
        history.begin()
        assert owner.report(item, "Delivered") == 204
        owner.pull()
        is_delivered(history, first)

        # Dead after a report was taken: that it was is durable.
        history.kill()
        history.begin("before-memory-commit")
        assert [phone.pull() for phone in phones] == [[], []]
        assert history.message(first)["status"] == "delivered"

        # Dead before it was durable what the phone was to be told: it was told nothing, so any phone may have it.
        second = history.submit("+15550100002")
        dies_while_pulling(phones)
        history.bury()
        history.begin()
        phone, item = listed_to(phones)
        assert phone.report(item, "Delivered") == 204
        is_delivered(history, second)

        # At most once, and dead after the answer: see below.
        third = history.submit("+15550100003", delivery="at_most_once")
        witness, doubtful = listed_to(phones)
        history.kill()

        # Dead when it is durable what the phone is to be told, and the answer has not left: that phone alone has it.
        history.begin("after-memory-commit")
        fourth = history.submit("+15550100004")
        dies_while_pulling(phones)
        history.bury()
        history.begin()
        phone, item = listed_to(phones)
        assert [each.pull() for each in phones if each is not phone] == [[]]
        assert phone.report(item, "Delivered") == 204
        is_delivered(history, fourth)

        # Nobody was listed the third again, doubt is shown, and what its phone tells ends it.
        assert doubtful not in [each for _ in range(20) for phone in phones for each in phone.pull()]
        shown = history.message(third)
        assert (shown["status"], shown["error"]["code"]) == ("sending", "no_answer")
        assert witness.report(doubtful, "Delivered") == 204
        is_delivered(history, third)

        wrong = [{"id": "x", "state": "Sent", "recipients": []}]
        assert witness.request("PATCH", "/message", wrong)[0] == 204
        history.kill()
        assert sorted(number for _, number in history.radio) == [f"+1555010000{n}" for n in (1, 2, 3, 4)]
        told, secrets = history.logs(), [TOKEN, *(phone.token for phone in phones), "+1555010000", "for +1"]
        assert '"ready"' in told
        assert not [each for each in secrets if each in told], "a log line tells a token, a number or a text"
