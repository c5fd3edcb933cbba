"""Requests to others as octets, and the URLs and proxies they go to."""

import h11
import pytest

from stentor.wire.asking import Proxy, read_proxy, read_url, write_connect, write_request
from stentor.wire.calls import HTTPRequest, InvalidRequest

URLS = {
    "https://api.test/v1/x?a=b%20c": (True, "api.test", 443, "api.test", "/v1/x?a=b%20c"),
    "http://api.test": (False, "api.test", 80, "api.test", "/"),
    "http://api.test?q=1": (False, "api.test", 80, "api.test", "/?q=1"),
    "HTTPS://API.Test:8443/X": (True, "api.test", 8443, "api.test:8443", "/X"),
    "https://api.test:443/": (True, "api.test", 443, "api.test", "/"),
    "http://127.0.0.1:8080/": (False, "127.0.0.1", 8080, "127.0.0.1:8080", "/"),
    "http://[::1]:8080/x": (False, "::1", 8080, "[::1]:8080", "/x"),
    "http://api.test/x#part": (False, "api.test", 80, "api.test", "/x"),
    "http://bücher.test/": (False, "xn--bcher-kva.test", 80, "xn--bcher-kva.test", "/"),
}


@pytest.mark.parametrize("text", URLS)
def test_a_url_is_read(text):
    url = read_url(text)
    assert (url.is_tls, url.host, url.port, url.authority, url.target) == URLS[text]


def test_the_origin_is_scheme_host_and_port():
    assert read_url("http://h.test/a").origin == read_url("http://H.test:80/b").origin
    assert read_url("http://h.test/a").origin != read_url("https://h.test/a").origin
    assert read_url("http://h.test/a").origin != read_url("http://h.test:81/a").origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api.test/x",
        "/x",
        "ftp://api.test/",
        "http:///x",
        "http://user:secret@api.test/",
        "http://api.test@evil.test/",
        "http://api.test:0/",
        "http://api.test:65536/",
        "http://api.test:/",
        "http://api.test:80x/",
        "http://api.test\\@evil.test/",
        "http://api .test/",
        "http://api.test/a b",
        "http://api.test/a\r\nX: y",
        "http://api.test/ä",
        "http://a%2eb.test/",
        "http://-a.test/",
        "http://" + "ü" * 70 + ".test/",
        "http://[::1/",
    ],
)
def test_what_is_no_url_is_refused_without_being_quoted(text):
    with pytest.raises(InvalidRequest) as caught:
        read_url(text)
    assert "secret" not in str(caught.value)


def written(request: HTTPRequest, *arguments) -> bytes:
    return write_request(request, read_url(request.url), *arguments)


def test_a_request_is_written_as_h11_reads_it():
    fields = (("X-A", "b c"), ("x-a", "ü"), ("Empty", ""))
    octets = written(HTTPRequest("POST", "https://api.test:8443/x?y=z", fields, b"body"), "stentor")
    judge = h11.Connection(h11.SERVER)
    judge.receive_data(octets)
    event = judge.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (b"POST", b"/x?y=z")
    assert list(event.headers) == [
        (b"host", b"api.test:8443"),
        (b"x-a", b"b c"),
        (b"x-a", "ü".encode("latin-1")),
        (b"empty", b""),
        (b"user-agent", b"stentor"),
        (b"content-length", b"4"),
    ]
    data = judge.next_event()
    assert isinstance(data, h11.Data)
    assert bytes(data.data) == b"body"
    assert isinstance(judge.next_event(), h11.EndOfMessage)


@pytest.mark.parametrize(
    ("method", "has_length"), [("GET", False), ("HEAD", False), ("POST", True), ("PUT", True)]
)
def test_an_empty_body_has_a_length_where_one_is_expected(method, has_length):
    assert (b"Content-Length: 0\r\n" in written(HTTPRequest(method, "http://h.test/"))) is has_length


def test_a_user_agent_of_ones_own_stays_alone():
    octets = written(HTTPRequest("GET", "http://h.test/", (("user-agent", "mine"),)), "stentor")
    assert octets.lower().count(b"user-agent") == 1


@pytest.mark.parametrize(
    "field",
    [
        ("X", "a\r\nEvil: b"),
        ("X", "a\nb"),
        ("X", "a\r"),
        ("X", "a\0"),
        ("X", "中"),
        ("X\r\nEvil", "a"),
        ("X: a\r\nEvil", "b"),
        ("X Y", "a"),
        ("", "a"),
        ("Host", "evil.test"),
        ("content-length", "3"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Expect", "100-continue"),
    ],
)
def test_a_field_that_would_break_out_of_its_line_or_is_not_the_callers_is_refused(field):
    with pytest.raises(InvalidRequest):
        written(HTTPRequest("POST", "http://h.test/", (("Good", "one"), field)))


@pytest.mark.parametrize("method", ["", "get", "GET /x", "G\r\nE", "CONNECT"])
def test_a_method_that_cannot_be_sent_is_refused(method):
    with pytest.raises(InvalidRequest):
        written(HTTPRequest(method, "http://h.test/"))


def test_a_proxy_gets_the_whole_url_and_its_own_credentials():
    proxy = read_proxy("http://us%40er:pa%3Ass@proxy.test:3128")
    assert proxy == Proxy("proxy.test", 3128, "Basic dXNAZXI6cGE6c3M=")
    octets = written(HTTPRequest("GET", "http://h.test:81/x?y"), "", proxy)
    assert octets.startswith(b"GET http://h.test:81/x?y HTTP/1.1\r\nHost: h.test:81\r\n")
    assert b"\r\nProxy-Authorization: Basic dXNAZXI6cGE6c3M=\r\n" in octets


def test_a_tunnel_is_asked_for_by_host_and_port():
    octets = write_connect(read_url("https://[2001:db8::1]/secret"), Proxy("p.test", 1, ""))
    assert octets == b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n"


def test_no_proxy_is_none():
    assert read_proxy("") is None


@pytest.mark.parametrize(
    "text", ["proxy:3128", "https://p.test:1", "http://", "socks5://p:1", "http://a b:1"]
)
def test_what_is_no_proxy_is_refused(text):
    with pytest.raises(InvalidRequest):
        read_proxy(text)
