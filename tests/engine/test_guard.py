"""The address guard lets requests out to public addresses of other hosts, and to no others."""

import pytest

from stentor.guard import AddressGuard

PUBLIC = [
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "223.255.255.255",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]

REFUSED = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "100.64.0.1": "behind a carrier's NAT",
    "100.127.255.255": "behind a carrier's NAT",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.169.254": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.2.1": "reserved",
    "192.168.1.1": "private",
    "198.19.0.1": "reserved",
    "224.0.0.1": "multicast",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "fc00::1": "private",
    "fd12:3456::1": "private",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "ff02::1": "multicast",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:10.1.2.3": "private",
    "::127.0.0.1": "loopback",
    "2002:7f00:1::": "loopback",
    "2002:a01:203::1": "private",
    "64:ff9b::127.0.0.1": "loopback",
    "64:ff9b::169.254.169.254": "link-local",
    "64:ff9b:1::1": "private",
    "::ffff:0:127.0.0.1": "loopback",
    "2001:2::1": "reserved",
    "2001:10::1": "reserved",
    "2001:0:7f00:1::": "loopback",
    "2001:4860::5efe:192.168.1.1": "private",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_gone_to(address):
    assert AddressGuard().refusal(address) is None


@pytest.mark.parametrize(("address", "reason"), REFUSED.items())
def test_any_other_is_refused_in_every_form_it_can_take(address, reason):
    assert AddressGuard().refusal(address) == reason


def test_a_public_address_of_this_host_is_refused():
    assert AddressGuard().refusal("8.8.8.8", is_own=True) == "this host's own"


def test_what_is_allowed_may_be_gone_to_and_its_neighbour_not():
    guard = AddressGuard(("10.1.0.0/16", "::1/128"))
    assert guard.refusal("10.1.2.3", is_own=True) is None
    assert guard.refusal("::ffff:10.1.2.3") is None
    assert guard.refusal("::1") is None
    assert guard.refusal("10.2.0.1") == "private"


@pytest.mark.parametrize("text", ["", "example.test", "10.1", "0x7f.1"])
def test_what_is_no_address_is_an_error(text):
    with pytest.raises(ValueError):
        AddressGuard().refusal(text)


def test_a_guard_is_not_made_from_what_is_no_network():
    with pytest.raises(ValueError):
        AddressGuard(("10.1.2.3/16",))
