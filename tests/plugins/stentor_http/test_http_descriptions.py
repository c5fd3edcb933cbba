"""Descriptions: what is wrong is told with its place; the guide's own example works as it stands."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stentor.errors import ConfigError
from stentor.outcome import Deferred, Refused, Sent
from stentor_http import catalog, commands, description
from stentor_http.carrier import compile_carrier
from stentor_http.description import Table
from stentor_http.exchange import Token, build, read, read_token, token_request
from stentor_http.inbound import Accepted, receive
from stentor_http.parsing import parse
from stentor_http.signatures import hmac_text
from tests.plugins.stentor_http.http_carrier_cases import NOW_MS, Head, carrier_of, reply_of, submission

GUIDE = Path(catalog.__file__).with_name("README.md")

RIGHT = """
schema = 1
name = "x"
[settings]
key = { secret = true }
[send]
url = "https://c.example/send"
auth = { kind = "bearer", token = "{settings.key}" }
[send.body]
to = "{to}"
text = "{text}"
[reply]
result = { id = "id" }
[[errors]]
means = "failed"
codes = [1]
[receipt]
id = "id"
status = "s"
map = { a = "sent" }
"""


def compiled(text: str) -> Any:
    return compile_carrier(parse(text, "F"), {"key": "k-1", "hook_token": "t-1"}, "https://gw.example/in/x")


@pytest.mark.parametrize(
    ("right", "wrong", "path", "detail"),
    [
        ('name = "x"', 'name = "X!"', "F: name", "is not a name"),
        ('name = "x"', 'nam = "x"', "F: nam", "unknown key"),
        ("schema = 1", "schema = 2", "F: schema", "invalid enum value 2"),
        ("schema = 1\n", "", "F: schema", "is missing"),
        ("[send.body]", "[send.boby]", "F: send.boby", "unknown key"),
        ('"bearer", token', '"bearer", tokn', "F: send.auth.tokn", "unknown key"),
        ('"bearer"', '"bear"', "F: send.auth.kind", "invalid value 'bear'"),
        ("map = { a =", "map = { b = 'sent', c =", "F: receipt.map.c", "is none of the words"),
        ('means = "failed"', 'means = "fail"', "F: errors[0].means", "is none of the words"),
        ("codes = [1]", "codes = 1", "F: errors[0].codes", "expected `array`, got `int`"),
        ('to = "{to}"', 'to = "{too}"', "x: send.body.to", "unknown variable too"),
        ('to = "{to}"', 'to = "{to|plux}"', "x: send.body.to", "unknown filter plux"),
        ('to = "{to}"', 'to = "{to|minutes}"', "x: send.body.to", "minutes is for"),
        ('to = "{to}"', 'to = "{to"', "x: send.body.to", "a brace without its partner"),
        ('to = "{to}"', 'to = "{to?1}"', "x: send.body.to", "unknown condition to"),
        ('to = "{to}"', 'to = "{settings.kex}"', "x: send.body.to", "there is no setting kex"),
        ('to = "{to}"', "to = 2026-01-01", "x: send.body.to", "a body has texts"),
        ('to = "{to}"', 'to = [{ each = "{to}" }]', "x: send.batch", "goes with `each`"),
        ('to = "{to}"', 'to = { each = "{to}", a = 1 }', "x: send.body.to.each", "stands alone"),
        ("c.example/send", "c.example/{to}", "x: send.url", "a URL is made of settings"),
        ("https://c.example", "ftp://c.example", "x: send.url", "is no http or https URL"),
        ("https://c.example", "https://u:p@c.example", "x: send.url", "is no http or https URL"),
        ('{ id = "id" }', '{ id = "a..[b]" }', "x: reply.result.id", "is no path"),
        ('{ id = "id" }', '{ id = { regex = "(" } }', "x: reply.result.id", "is no regular expression"),
        ('{ id = "id" }', '{ id = { regex = "(a+)+" } }', "x: reply.result.id", "repeats what repeats"),
        ('result = { id = "id" }', "", "x: reply.result.id", "is missing"),
        ("result = {", 'pair = "own"\nresult = {', "x: reply.result.own", "is missing"),
        ('id = "id"\nstatus', "status", "x: receipt", "names neither id nor own"),
        ('id = "id"\nstatus', 'own = "o"\nstatus', "x: receipt.id", "is missing: receipts are matched by it"),
        (
            "result = {",
            'match = "own"\nresult = {',
            "x: receipt.own",
            "is missing: receipts are matched by it",
        ),
        ('to = "{to}"', 'to = "1"', "x: send.body", "has no {to}"),
        ('text = "{text}"', 'text = "1"', "x: send.body", "has no {text}"),
        (
            'status = "s"',
            'status = "s"\ncharge = {}',
            "x: receipt.charge",
            "names neither segments nor a price",
        ),
        (
            'status = "s"',
            'status = "s"\ncharge = { price = "p", price_of = "segment" }',
            "x: receipt.charge.segments",
            "is missing",
        ),
        (
            'status = "s"',
            'status = "s"\nper_part = true\ncharge = { price = "p" }',
            "x: receipt.charge",
            "these receipts are of its parts",
        ),
        (
            'status = "s"',
            'status = "s"\ncharge = { price = "a..[b]" }',
            "x: receipt.charge.price",
            "is no path",
        ),
        (
            'status = "s"',
            'status = "s"\ncharge = { price = "p", currency = { text = "EUR", path = "c" } }',
            "x: receipt.charge.currency",
            "a text stands alone",
        ),
        ("codes = [1]", 'codes = [1]\nmatches = "["', "x: errors[0]", "is no regular expression"),
        ('url = "https', 'repeat = "safe"\nurl = "https', "x: send.repeat", "is safe only where"),
        (
            "[send.body]",
            '[send.headers]\nX-To = "{to}"\n[send.body]',
            "x: send.headers.X-To",
            "a header field",
        ),
        (
            "[receipt]",
            '[[verify]]\nkind="hmac"\nkey="k"\nheader="h"\nmessage="{bod}"\n[receipt]',
            "x: verify[0].message",
            "{bod}",
        ),
        ("[send.body]", '[send.body]\nto = "1"\n[x', "F", "is not TOML"),
    ],
)
def test_a_fault_is_told_with_its_place(right: str, wrong: str, path: str, detail: str) -> None:
    compiled(RIGHT)
    assert RIGHT.count(right) == 1
    with pytest.raises(ConfigError) as found:
        compiled(RIGHT.replace(right, wrong).replace('c = "sent"', 'c = "no"'))
    assert found.value.path == path
    assert detail in found.value.detail


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({}, "settings.key"),
        ({"key": "k", "kye": "k"}, "settings.kye"),
        ({"key": "a\r\nX: y", "hook_token": "t"}, "settings.key"),
        ({"key": "k"}, "settings.hook_token"),
    ],
)
def test_settings_are_checked(settings: dict[str, str], path: str) -> None:
    """Missing, unknown, with a line break, or without what guards our URLs."""
    with pytest.raises(ConfigError) as found:
        compile_carrier(parse(RIGHT, "F"), settings, "https://gw.example/in/x")
    assert found.value.path == path


def guide_example() -> str:
    """The whole description in the guide."""
    blocks = re.findall(r"```toml\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    return next(block for block in blocks if "schema = 1" in block)


def test_the_guide_names_every_key_and_kind() -> None:
    words = set(re.findall(r"[a-z0-9_]+", GUIDE.read_text("utf-8")))
    tables = [
        each for each in vars(description).values() if isinstance(each, type) and issubclass(each, Table)
    ]
    keys = {field.encode_name for each in tables for field in msgspec.structs.fields(each)}
    kinds = {str(each.__struct_config__.tag) for each in tables if each.__struct_config__.tag}
    assert sorted((keys | kinds) - words) == []


def test_the_guides_example_works_as_it_stands() -> None:
    description = parse(guide_example(), "tellmore.toml")
    settings = {"api_key": "tm-key", "sign_key": "tm-secret"}
    carrier = compile_carrier(description, settings, "https://gw.example/in/t")
    (exchange,) = build(carrier, [submission({})], NOW_MS).exchanges
    assert dict(exchange.request.fields)["X-Api-Key"] == "tm-key"
    assert msgspec.json.decode(exchange.request.body) == {
        "number": "3725550001",
        "sender": "Shop",
        "text": "Tere",
        "minutes": 60,
        "report_to": "https://gw.example/in/t/receipt",
        "tag": "19f2ab3c4d5e60101-1",
    }
    taken = reply_of(
        {"status": 200, "body": {"ok": True, "message": {"ref": "t-1", "units": 2, "fee": "0.045"}}}
    )
    reading = read(carrier, exchange, taken, NOW_MS)
    (outcome,) = reading.outcomes
    assert isinstance(outcome, Sent)
    assert outcome.charge is not None
    assert outcome.charge.price_micros == 45_000
    problem = {"ok": False, "problem": {"no": 30, "say": "empty, tm-key"}}
    reading = read(carrier, exchange, reply_of({"status": 200, "body": problem}), NOW_MS)
    assert isinstance(reading.outcomes[0], Deferred)
    assert reading.fault == "no_credit: 30 empty, ******** (top up the account)"
    body = b'{"ref":"t-1","tag":"19f2ab3c4d5e60101-1","number":"3725550001","state":"ok"}'
    signed = {"x-tellmore-sign": hmac_text("tm-secret", body, "sha256", "hex")}
    heard = receive(carrier, "receipt", Head(headers=signed), body, NOW_MS)
    assert isinstance(heard, Accepted)
    assert len(heard.items) == 1


def test_a_token_is_fetched_used_and_renewed_in_time() -> None:
    """OAuth client credentials: what goes in the request, what an answer gives, what is no token."""
    carrier = carrier_of("sinch-project")
    asked = token_request(carrier, NOW_MS)
    assert asked.url == "https://auth.sinch.com/oauth2/token"
    assert asked.body == b"grant_type=client_credentials"
    body = {"access_token": "tk-1", "expires_in": 3599, "token_type": "bearer"}
    assert read_token(carrier, reply_of({"status": 200, "body": body}), NOW_MS) == Token(
        "tk-1", NOW_MS + 3_539_000
    )
    refused = reply_of({"status": 401, "body": {"error": "invalid_client ks-1"}})
    assert read_token(carrier, refused, NOW_MS) == "401 invalid_client ********"


def test_batches_hold_what_belongs_together() -> None:
    """SMSAPI says one text for all: another text goes in a request of its own, and ten are a request's most."""
    carrier = carrier_of("smsapi")
    batch = [msgspec.structs.replace(submission({}), token=0x19F2AB3C4D5E601 + 256 * at) for at in range(23)]
    batch += [submission({"text": "Other"}), submission({"valid_for_s": 7200})]
    exchanges = build(carrier, batch, NOW_MS).exchanges
    assert [len(exchange.submissions) for exchange in exchanges] == [10, 10, 3, 1, 1]
    assert {one.token for exchange in exchanges for one in exchange.submissions} == {
        one.token for one in batch
    }


def test_code_stands_beside_its_description(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(RIGHT.replace('name = "x"', 'name = "x"\ncode = "mine.py"'))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        catalog.check(str(file))
    (tmp_path / "mine.py").write_text(
        "def sign(request, settings, wall_ms):\n    return request.__class__('PUT', settings['key'])\n"
    )
    carrier = catalog.load("", str(file), {"key": "k-1", "hook_token": "t"})
    (exchange,) = build(carrier, [submission({})], NOW_MS).exchanges
    assert exchange.request.method == "PUT"
    file.write_text(RIGHT.replace('name = "x"', 'name = "x"\ncode = "../mine.py"'))
    with pytest.raises(ConfigError, match="beside"):
        catalog.check(str(file))


@pytest.mark.parametrize("name", catalog.names())
def test_every_carrier_can_be_shown_and_tried(name: str) -> None:
    """Nothing secret is shown unless it is asked for."""
    assert commands.show(name)["name"] == name
    secrets = [key for key, setting in catalog.shipped(name).settings.items() if setting.secret]
    given = tuple(f"{key}=geheim-{key}" for key in secrets)
    tried = commands.try_(name, to="+447700900123", from_="+12025550100", set=given)
    assert "error" not in tried
    assert "geheim" not in str(tried)
    assert str(commands.try_(name, to="+447700900123", set=given, reveal=True)) != str(tried)


def test_tools_tell_what_is_wrong() -> None:
    assert commands.show("twili")["error"]["suggestion"] == 'did you mean "twilio"?'
    assert commands.check("/nowhere.toml")["error"]["place"] == "/nowhere.toml"
    assert commands.try_("twilio", to="123")["error"]["place"] == "to"
    assert commands.try_("twilio", to="+447700900123", flash=True)["error"]["place"] == "text"
    assert commands.try_("twilio", to="+447700900123", set=("key",))["error"]["place"] == "set"
    assert {row["name"] for row in commands.list_()} == set(catalog.names())


def test_a_misused_carrier_refuses_what_it_cannot_say() -> None:
    carrier = carrier_of("46elks")
    for given in ({"data": "00"}, {"udh": "0500"}):
        (outcome,) = build(carrier, [submission(given)], NOW_MS).outcomes
        assert isinstance(outcome, Refused)
        assert outcome.code == "bad_content"
