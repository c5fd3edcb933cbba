"""Which sessions a channel's configuration asks for, and what cannot work together."""

import msgspec
import pytest

from stentor.errors import ConfigError
from stentor_smpp.config import SMPPConfig
from stentor_smpp.places import address, places
from stentor_smpp.spec import SPEC, capabilities

PIN = "ab" * 32


def config(**table) -> SMPPConfig:
    return msgspec.convert({"host": "a.test", "system_id": "x", "password": "p", **table}, SMPPConfig)


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        ({}, ["trx-1"]),
        ({"sessions": 3}, ["trx-1", "trx-2", "trx-3"]),
        ({"bind": "receiver", "sessions": 2}, ["rx-1", "rx-2"]),
        ({"bind": "transmitter", "sessions": 2, "receivers": 1}, ["tx-1", "tx-2", "rx-1"]),
        (
            {
                "binds": [
                    {"kind": "transmitter", "sessions": 2},
                    {"kind": "receiver"},
                    {"kind": "transmitter"},
                ]
            },
            ["tx-1", "tx-2", "rx-1", "tx-3"],
        ),
    ],
)
def test_each_session_has_a_place_with_a_key_of_its_own(table, keys):
    assert [place.key for place in places(config(**table))] == keys


def test_a_place_takes_from_the_channel_what_its_table_does_not_say():
    first, second = places(
        config(
            window=7,
            port=4000,
            fallback_hosts=["b.test", "c.test:5000", "[::1]:6000"],
            binds=[
                {"kind": "transmitter"},
                {
                    "kind": "transceiver",
                    "host": "d.test",
                    "port": 1,
                    "system_id": "y",
                    "password": "q",
                    "window": 9,
                },
            ],
        )
    )
    assert first.addresses == (("a.test", 4000), ("b.test", 4000), ("c.test", 5000), ("::1", 6000))
    assert (first.system_id, first.password, first.window) == ("x", "p", 7)
    assert second.addresses == (("d.test", 1),)
    assert (second.system_id, second.password, second.window) == ("y", "q", 9)
    assert first.login != second.login
    assert "p" not in repr(first).removeprefix("Place")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.test", ("a.test", 9)),
        ("a.test:1", ("a.test", 1)),
        ("10.0.0.1:65535", ("10.0.0.1", 65535)),
        ("[::1]", ("::1", 9)),
        ("[fe80::1]:2", ("fe80::1", 2)),
        ("::1", None),
        ("a.test:0", None),
        ("a.test:65536", None),
        ("a.test:", None),
        ("", None),
        ("a b", None),
        ("[a.test]:1", None),
    ],
)
def test_an_address_is_a_host_with_or_without_a_port(text, expected):
    assert address(text, 9) == expected


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({"receivers": 1}, "receivers"),
        ({"receivers": 1, "bind": "receiver"}, "receivers"),
        ({"binds": [{"kind": "receiver"}], "bind": "transmitter"}, "bind"),
        ({"binds": [{"kind": "receiver"}], "sessions": 2}, "sessions"),
        ({"binds": [{"kind": "receiver"}], "receivers": 2}, "receivers"),
        ({"binds": [{"kind": "transmitter"}, {"kind": "receiver", "window": 5}]}, "binds[1].window"),
        ({"bind": "receiver", "cancel": True}, "cancel"),
        ({"bind": "receiver", "query_after": 60.0}, "query_after"),
        ({"fallback_hosts": ["b.test", "b test"]}, "fallback_hosts[1]"),
        ({"reconnect_first": 100.0}, "reconnect_first"),
        ({"refused_pause": 1000.0}, "refused_pause"),
        ({"tls": {"key_file": "k"}}, "tls.key_file"),
        ({"tls": {"verify": False, "ca_file": "c"}}, "tls.ca_file"),
        ({"tls": {"verify": False, "fingerprint": PIN}}, "tls.fingerprint"),
        ({"tls": {"ca_file": "c", "fingerprint": PIN}}, "tls.ca_file"),
    ],
)
def test_what_cannot_work_together_is_refused_by_its_key(table, path):
    with pytest.raises(ConfigError) as refused:
        SPEC.check(config(**table))
    assert refused.value.path == path


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"bind": "receiver"},
        {"bind": "transmitter", "receivers": 2, "cancel": True, "query_after": 60.0},
        {"tls": True},
        {"tls": {"verify": False}},
        {"tls": {"fingerprint": ":".join(["AB"] * 32)}},
        {"tls": {"certificate_file": "c", "key_file": "k", "ca_file": "a", "server_name": "x"}},
        {"binds": [{"kind": "receiver"}, {"kind": "transmitter", "window": 1}], "query_after": 1.0},
    ],
)
def test_what_works_is_taken(table):
    assert SPEC.check(config(**table)) is None


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        ({"fingerprint": "abc"}, "fingerprint"),
        ({"minimum_version": "1.1"}, "1.1"),
        ({"verfy": True}, "verfy"),
        ("yes", "bool"),
    ],
)
def test_tls_that_means_nothing_is_no_configuration(tls, words):
    with pytest.raises(msgspec.ValidationError, match=words):
        config(tls=tls)


@pytest.mark.parametrize(
    ("table", "can_send", "has_inbound"),
    [
        ({}, True, True),
        ({"bind": "transmitter"}, True, False),
        ({"bind": "transmitter", "receivers": 1}, True, True),
        ({"bind": "receiver"}, False, True),
        ({"binds": [{"kind": "receiver"}]}, False, True),
        ({"binds": [{"kind": "receiver"}, {"kind": "transmitter"}]}, True, True),
    ],
)
def test_the_capabilities_follow_from_the_sessions(table, can_send, has_inbound):
    found = capabilities(config(**table))
    assert (found.can_send, found.has_inbound) == (can_send, has_inbound)


def test_following_is_claimed_as_configured():
    found = capabilities(config(query_after=90.0, cancel=True))
    assert (found.query_after_s, found.can_cancel) == (90.0, True)
    assert (capabilities(config()).query_after_s, capabilities(config()).can_cancel) == (0.0, False)
