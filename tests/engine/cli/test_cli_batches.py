"""batch, hold and release: what an operator sees of what is held back."""

import pytest

from tests.engine.cli.conftest import FakeDaemon, Run
from tests.engine.cli.test_cli_messages import ID, message

BATCH = {
    "batch": "june",
    "state": "paused",
    "total": 1_000_000,
    "counts": {"queued": 750_000, "delivered": 250_000},
    "held": 750_000,
    "left": 750_000,
    "progress": 0.25,
    "rate": 12.5,
    "expected_end": "2027-01-15T08:00:03.000Z",
}


@pytest.fixture
def socket(daemon: FakeDaemon) -> tuple[str, str]:
    daemon.answers["GET /v1/batches/june"] = BATCH
    daemon.answers["POST /v1/batches/june/pause"] = BATCH
    for word in ("hold", "release"):
        answer = message("queued", is_final=False, held=word == "hold")
        daemon.answers[f"POST /v1/messages/{ID}/{word}"] = answer
    return "--socket", str(daemon.path)


def test_a_batch_is_shown_and_paused(run: Run, socket: tuple[str, str]) -> None:
    for arguments in (("june",), ("june", "pause")):
        result = run("batch", *arguments, *socket)
        assert (result.code, result.err) == (0, "")
        lines = result.out.splitlines()
        assert lines[0] == "june  paused"
        assert "1,000,000 messages, 25.0% done, 750,000 left, 750,000 held, 12.5 a second" in lines[1]
        assert ["queued", "750,000"] in [line.split() for line in lines]
    assert run("batch", "june", "--json", *socket).json == BATCH


def test_an_unknown_action_is_wrong_usage(run: Run, socket: tuple[str, str]) -> None:
    assert run("batch", "june", "stop", *socket).code == 2


@pytest.mark.parametrize("word", ["hold", "release"])
def test_a_message_is_held_and_released(run: Run, socket: tuple[str, str], word: str) -> None:
    result = run(word, ID, *socket)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{ID}  queued{', held' if word == 'hold' else ''}  gsm7")
    assert run(word, ID, "--json", *socket).json["status"] == "queued"


def test_the_queue_is_shown_by_country_and_age(run: Run, daemon: FakeDaemon, socket: tuple[str, str]) -> None:
    lines = [{"prefix": "+40", "counts": [1200, 0, 3]}, {"prefix": "other", "counts": [0, 4, 0]}]
    daemon.answers["GET /v1/queue"] = {"ages_s": [60, 3600], "lines": lines, "is_whole": False}
    result = run("status", "--queue", *socket)
    assert (result.code, result.err) == (0, "")
    cells = [line.split() for line in result.out.splitlines()]
    assert ["all", "1,207", "1,200", "4", "3"] in cells
    assert ["+40", "1,203", "1,200", "–", "3"] in cells
    assert "longer than was looked at" in result.out
    assert run("status", "--queue", "--json", *socket).json["lines"] == lines
