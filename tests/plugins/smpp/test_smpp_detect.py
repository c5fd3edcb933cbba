"""How a carrier writes message ids is found out on proof alone, and nothing that came before is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.driver import Receipt
from stentor.message import Status
from stentor_smpp import detect
from stentor_smpp.detect import SURE, Detector, Dress, Ids
from stentor_smpp.matching import Mode

FORMS = {
    Dress.ALIKE: ("{:x}", "{:X}"),
    Dress.HEX_DEC: ("{:x}", "{}"),
    Dress.DEC_HEX: ("{}", "{:08X}"),
}


class Carrier:
    """A carrier whose ids are numbers in one dress, and a host that remembers what it was told."""

    def __init__(self, dress: Dress, detector: Detector) -> None:
        self.response_form, self.receipt_form = FORMS[dress]
        self.detector = detector
        self.awaited: dict[str, int] = {}
        self.reported: dict[int, list[str]] = {}
        self.found: list[detect.Finding] = []

    def submit(self, number: int) -> None:
        key = self.detector.response_key(self.response_form.format(number))
        assert key is not None
        self.awaited[key] = number

    def report(self, number: int) -> str:
        """A receipt comes; the key it is passed on under."""
        raw = self.receipt_form.format(number)
        key = self.detector.receipt_key(raw)
        assert key is not None
        receipt = Receipt(key, Status.DELIVERED, None, number)
        self.reported.setdefault(number, []).append(key)
        self.detector.saw(raw, receipt)
        if (finding := self.detector.take_finding()) is not None:
            self.found.append(finding)
            for again in finding.receipts:
                self.reported[again.done_at_ms].append(again.match_id)
        return key

    def wrong(self) -> list[int]:
        """Numbers whose receipt was taken for another's."""
        return [
            number
            for number, keys in self.reported.items()
            if any(self.awaited.get(key, number) != number for key in keys)
        ]

    def placed(self) -> set[int]:
        """Numbers of which a receipt found its submission in the end."""
        return {
            number
            for number, keys in self.reported.items()
            if any(self.awaited.get(key) == number for key in keys)
        }


@pytest.mark.parametrize("dress", Dress)
def test_a_dress_is_found_after_five_receipts_and_all_of_them_are_placed(dress):
    carrier = Carrier(dress, Detector())
    numbers = [0x5F3A09C1 + 977 * step for step in range(20)]
    for number in numbers:
        carrier.submit(number)
    for number in numbers[: SURE + 1]:
        carrier.report(number)
    assert [finding.dress for finding in carrier.found] == [dress]
    assert not carrier.detector.is_watching
    for number in numbers:
        carrier.report(number)
    assert carrier.placed() == set(numbers)
    assert carrier.wrong() == []


@given(
    st.sampled_from(Dress),
    st.lists(st.integers(1 << 24, 1 << 80), min_size=60, max_size=60, unique=True),
    st.randoms(use_true_random=False),
)
def test_random_ids_in_any_order_lead_to_the_true_dress_or_to_none(dress, numbers, chance):
    """Receipts come late, twice, and for submissions of an earlier run."""
    carrier = Carrier(dress, Detector())
    strangers, numbers = numbers[:10], numbers[10:]
    for number in strangers:
        carrier.awaited[carrier.detector.response_key(carrier.response_form.format(number))] = number
    carrier.detector.is_watching = False
    carrier.detector.watch()
    sent: list[int] = []
    waiting = list(strangers)
    for number in numbers:
        carrier.submit(number)
        sent.append(number)
        waiting.append(number)
        while waiting and chance.random() < 0.55:
            carrier.report(waiting.pop(chance.randrange(len(waiting))))
            if chance.random() < 0.1:
                carrier.report(chance.choice(sent))
    for number in waiting + sent:
        carrier.report(number)
    assert {finding.dress for finding in carrier.found} <= {dress}
    assert carrier.found, "sixty receipts are proof enough"
    assert carrier.wrong() == []
    assert carrier.placed() >= set(numbers)
    assert carrier.placed() >= set(strangers)


@given(
    st.sampled_from(Dress),
    st.integers(1, 1 << 20),
    st.integers(1, 40),
    st.integers(80, 200),
)
def test_a_counter_never_leads_to_a_wrong_dress(dress, first, window, count):
    """Ids that follow each other are the hardest: ``20`` names a submission whichever way it is read."""
    carrier = Carrier(dress, Detector())
    for number in range(first, first + count):
        carrier.submit(number)
        if number - first >= window:
            carrier.report(number - window)
    assert {finding.dress for finding in carrier.found} <= {dress}
    if first > 4096:
        assert carrier.wrong() == []


def test_without_proof_receipts_are_read_as_fold_reads_them():
    detector, fold = Detector(), Ids(Mode.FOLD)
    for message_id in ("00ab", "AB", "20", "id-1", "", "000", "9" * 500):
        assert detector.response_key(message_id) == fold.response_key(message_id)
        assert detector.receipt_key(message_id) == fold.receipt_key(message_id)
    assert detector.take_finding() is None


def test_receipts_of_an_earlier_run_are_read_again_once_the_dress_is_found():
    carrier = Carrier(Dress.HEX_DEC, Detector())
    early = Carrier(Dress.HEX_DEC, Detector())
    early.submit(0xABCDEF01)
    carrier.awaited |= early.awaited
    assert carrier.report(0xABCDEF01) == str(0xABCDEF01)
    for number in range(0xBEEF0000, 0xBEEF0000 + SURE):
        carrier.submit(number)
        carrier.report(number)
    (finding,) = carrier.found
    assert [receipt.match_id for receipt in finding.receipts] == ["ABCDEF01"]
    assert carrier.placed() >= {0xABCDEF01}
    assert carrier.detector.detail == "response hexadecimal, receipt decimal, found after 5 receipts"


def test_what_contradicts_itself_is_no_proof():
    detector = Detector()
    for number in range(100, 120):
        detector.response_key(f"AF{number}")
    for number in range(100, 104):
        detector.receipt_key(str(int(f"AF{number}", 16)))
    detector.receipt_key("AF110")
    for number in range(104, 108):
        detector.receipt_key(str(int(f"AF{number}", 16)))
    assert detector.is_watching
    assert detector.take_finding() is None


def test_letters_in_receipts_speak_against_decimal_ones():
    detector = Detector()
    for number in range(100, 120):
        detector.response_key(f"AF{number}")
    assert detector.receipt_key("4F") == "4F"
    for number in range(100, 120):
        raw = str(int(f"AF{number}", 16))
        assert detector.receipt_key(raw) == raw
    assert detector.dress is Dress.ALIKE


def test_one_receipt_that_comes_five_times_is_one():
    detector = Detector()
    detector.response_key("AF01")
    for _ in range(20):
        assert detector.receipt_key(str(0xAF01)) == "AF01"
    assert detector.is_watching


def test_a_carrier_that_changes_is_found_out_after_the_next_bind():
    detector = Detector()
    for dress, start in ((Dress.HEX_DEC, 0xA0000000), (Dress.ALIKE, 0xB0000000)):
        detector.watch()
        carrier = Carrier(dress, detector)
        for number in range(start, start + 20):
            carrier.submit(number)
        for number in range(start, start + 20):
            carrier.report(number)
        assert [finding.dress for finding in carrier.found] == [dress]
        assert carrier.placed() == set(range(start, start + 20))
    assert detector.detail == ""


def test_memory_is_bounded_and_a_sample_nobody_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(detect, "SAMPLE", 8)
    monkeypatch.setattr(detect, "HELD", 3)
    monkeypatch.setattr(detect, "PATIENCE", 20)
    carrier = Carrier(Dress.HEX_DEC, Detector())
    for number in range(0xA0000000, 0xA0000040):
        carrier.submit(number)
    for number in range(0xC0000000, 0xC0000014):
        carrier.report(number)
    for number in range(0xD0000000, 0xD0000010):
        carrier.submit(number)
    for number in range(0xD0000000, 0xD0000010):
        carrier.report(number)
    (finding,) = carrier.found
    assert finding.dress is Dress.HEX_DEC
    assert len(finding.receipts) == 3
    assert carrier.placed() == set(range(0xD0000000, 0xD0000010))


@given(st.lists(st.text(max_size=300), max_size=40))
def test_no_id_raises(message_ids):
    detector = Detector()
    for message_id in message_ids:
        detector.response_key(message_id)
        key = detector.receipt_key(message_id)
        if key is not None:
            detector.saw(message_id, Receipt(key, Status.DELIVERED))
