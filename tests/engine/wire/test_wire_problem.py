"""Problem details as RFC 9457 has them."""

import msgspec
import pytest

from stentor.wire.problem import InputError, encode, phrase, problem


def test_a_problem_always_has_type_title_status_and_detail():
    assert msgspec.json.decode(encode(problem(404, "no such message"))) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "no such message",
    }


def test_code_and_errors_stand_in_it_when_there_are_any():
    said = encode(problem(422, "bad input", "bad_number", [InputError("$.to", "not a number")]))
    decoded = msgspec.json.decode(said)
    assert decoded["code"] == "bad_number"
    assert decoded["errors"] == [{"path": "$.to", "detail": "not a number"}]


@pytest.mark.parametrize(
    ("status", "name"),
    [(202, "Accepted"), (413, "Content Too Large"), (422, "Unprocessable Content"), (499, "Bad Request")],
)
def test_phrases_are_those_of_RFC_9110_and_unknown_codes_take_their_class(status, name):
    assert phrase(status) == name
