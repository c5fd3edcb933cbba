"""Explaining a route: what is answered is what a submit of the same message gets."""

import os

import msgspec
import pytest
from hypothesis import strategies as st

from stentor.api.credentials import Access, Doorkeeper, Principal
from stentor.message import Priority
from stentor.pacing.quiet import Quiet, QuietRule
from stentor.routing.prices import Price, PriceTable
from stentor.routing.routes import AccountTerms, ChannelDefaults, RouteTable, Routing, Rule
from tests.engine.api.api_world import World, run
from tests.engine.api.test_api_openapi import TEXTS, examples

UID = os.getuid()
CHANNELS = {"alpha": ChannelDefaults("Alpha", tags=frozenset({"eea"})), "beta": ChannelDefaults("Beta")}
RULES = (
    Rule(("beta", "alpha"), is_cheapest=True, name="any"),
    Rule(("beta",), ("+40",), tags=frozenset({"otp"}), name="codes"),
    Rule(("beta",), ("+36",), name="hungary"),
)
ROUTING = Routing(
    {"shop": AccountTerms(frozenset({"eea"}))},
    deny=("KP",),
    prices=PriceTable([Price("alpha", "", 12_500, "EUR"), Price("beta", "", 20_000, "EUR")]),
)


def adjust(world: World) -> None:
    access = Access(own_uid=UID, front_office=frozenset({UID}))
    world.app.adjust(RouteTable(RULES, CHANNELS, ROUTING), access, 3600, "RO")


async def explain(world: World, query: str, account: str = "default"):
    answer = await world.call("GET", f"/v1/route?{query}", b"", {"Stentor-Account": account})
    return answer.status, answer.json


def test_each_step_of_the_decision_is_answered_and_nothing_is_stored(socket_dir):
    async def check(world: World) -> None:
        adjust(world)
        status, found = await explain(world, "to=0712345678")
        assert status == 200
        assert (found["to"], found["country"], found["from"]) == ("+40712345678", "RO", "Alpha")
        assert found["channels"] == [
            {"name": "alpha", "state": "up", "price": "0.0125", "currency": "EUR"},
            {"name": "beta", "state": "up", "price": "0.02", "currency": "EUR"},
        ]
        assert (found["channel"], found["refusal"]) == ("alpha", None)
        assert [(step["step"], step["subject"], step["result"]) for step in found["steps"]] == [
            ("number", "+40712345678", "passed"),
            ("destination", "everyone", "passed"),
            ("rule", "codes", "skipped"),
            ("rule", "any", "chosen"),
            ("order", "alpha beta", "chosen"),
            ("originator", "Alpha", "chosen"),
        ]
        assert world.engine.library.messages == {}

    run(check, socket_dir)


CASES = [
    {"to": "+40712345678"},
    {"to": "+40712345678", "tags": ["vip", "otp"]},
    {"to": "+36201234567", "from": "Shop"},
    {"to": "+8501921234567"},
    {"to": "+40712345678", "channel": "beta"},
    {"to": "+40712345678", "channel": "gamma"},
    {"to": "12"},
    {"to": "+40712345678", "from": "12"},
]


@pytest.mark.parametrize("account", ["default", "shop"])
@pytest.mark.parametrize("message", CASES, ids=str)
def test_what_is_explained_is_what_a_submit_gets(message, account, socket_dir):
    async def check(world: World) -> None:
        adjust(world)
        query = "&".join(
            f"{'tag' if name == 'tags' else name}={','.join(value) if name == 'tags' else value}"
            for name, value in message.items()
        )
        status, explained = await explain(world, query, account)
        assert status == 200
        submitted = await world.call(
            "POST", "/v1/messages", {**message, "text": "x"}, {"Stentor-Account": account}
        )
        if submitted.status == 202:
            (stored,) = world.engine.library.messages.values()
            assert [one["name"] for one in explained["channels"]] == list(stored.route)
            assert explained["from"] == submitted.json["from"]
            assert explained["to"] == submitted.json["to"]
            assert explained["refusal"] is None
        else:
            assert explained["refusal"]["code"] == submitted.json["code"]
            assert explained["refusal"]["detail"] == submitted.json["detail"]
            assert explained["steps"][-1]["result"] == "refused"
            assert explained["channels"] == []

    run(check, socket_dir)


def test_prices_are_shown_to_operators_alone(socket_dir, monkeypatch):
    customer = Principal(12345, "default", is_operator=False)
    monkeypatch.setattr(Doorkeeper, "identify", lambda self, uid, headers: customer)

    async def check(world: World) -> None:
        adjust(world)
        _, found = await explain(world, "to=%2B40712345678")
        assert [one["price"] for one in found["channels"]] == [None, None]

    run(check, socket_dir)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("", "$.query.to"),
        ("to=%2B40712345678&x=1", "$.query.x"),
        ("to=%2B40712345678&at=noon", "$.query.at"),
        ("to=%2B40712345678&at=0001-01-01T00:00:00Z", "$.query.at"),
        ("to=%2B40712345678&at=9999-12-31T23:59:59-10:00", "$.query.at"),
        ("to=%2B40712345678&tag=two%20words", "$.query.tag"),
        ("to=%2B40712345678&tag=a,b,c,d,e,f,g,h,i", "$.query.tag"),
        ("to=", "$.query.to"),
        ("to=1&to=2", "$.query.to"),
    ],
)
def test_a_faulty_question_is_refused_with_its_place(query, path, socket_dir):
    async def check(world: World) -> None:
        adjust(world)
        status, found = await explain(world, query)
        assert (status, found["errors"][0]["path"]) == (422, path)

    run(check, socket_dir)


def test_tags_are_short_words_and_few(socket_dir):
    async def check(world: World) -> None:
        for tags in (["two words"], ["x" * 33], ["a"] * 9, "otp", [1], [""]):
            answer = await world.call(
                "POST", "/v1/messages", {"to": "+40712345678", "text": "x", "tags": tags}
            )
            assert answer.status == 422
            assert answer.json["errors"][0]["path"].startswith("$.tags")
        good = {"to": "+40712345678", "text": "x", "tags": ["otp", "v1.2-b_3"]}
        assert (await world.call("POST", "/v1/messages", good)).status == 202

    run(check, socket_dir)


def test_any_question_gets_a_described_answer(socket_dir):
    names = st.sampled_from(["to", "from", "tag", "at", "channel", "x"])

    async def check(world: World, pairs: list[tuple[str, str]]) -> None:
        query = "&".join(f"{name}={value.replace(' ', '%20')}" for name, value in pairs)
        answer = await world.call("GET", f"/v1/route?{query.replace('#', '')}")
        assert answer.status in (200, 422), answer

    examples(check, st.lists(st.tuples(names, TEXTS), max_size=4), socket_dir)


def test_quiet_hours_at_the_destination_are_a_step_of_their_own(socket_dir):
    night = QuietRule(
        start_min=21 * 60, end_min=8 * 60, exempt_priorities=(Priority.URGENT,), exempt_tags=("otp",)
    )

    async def check(world: World) -> None:
        adjust(world)
        world.app.set_quiet(Quiet([night]))

        async def step(more: str) -> tuple[str, str]:
            _, found = await explain(world, f"to=%2B40712345678&{more}")
            last = found["steps"][-1]
            assert (last["step"], last["subject"]) == ("quiet_hours", "+40712345678")
            return last["result"], last["detail"]

        waits = "until 2027-01-16T06:00:00.000Z; priority urgent would not wait"
        assert await step("at=2027-01-15T22:00:00Z") == ("waits", waits)
        assert await step("at=2027-01-15T22:00:00Z&tag=otp") == ("passed", "a tag is exempt")
        assert await step("at=2027-01-15T12:00:00Z") == ("passed", "it is not quiet there")

    run(check, socket_dir)


def test_a_channel_whose_circuit_is_open_is_passed_over_while_another_works(socket_dir, monkeypatch):
    async def check(world: World) -> None:
        adjust(world)
        before = world.engine.channels()
        known = [
            msgspec.structs.replace(each, state="up", breaker=breaker) for each, breaker in circuits(before)
        ]
        monkeypatch.setattr(world.engine, "channels", lambda: known)
        _, found = await explain(world, "to=0712345678")
        assert found["channel"] == "beta"
        assert [(each["name"], each["state"]) for each in found["channels"]] == [
            ("alpha", "open"),
            ("beta", "up"),
        ]

    def circuits(channels):
        return [(each, "open" if each.name == "alpha" else "closed") for each in channels]

    run(check, socket_dir)
