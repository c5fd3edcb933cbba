"""Listening sockets: permissions, stale paths, and whose they are."""

import os
import socket
import stat

import pytest

from stentor.aio.server.listeners import ListenError, adopt_listener, listen_tcp, listen_unix


def test_a_unix_listener_has_its_mode_from_the_first_moment_and_takes_its_path_along(tmp_path):
    path = tmp_path / "s"
    listener = listen_unix(path, 0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert listener.name == f"unix:{path}"
    listener.close()
    assert not path.exists()


def test_a_path_that_is_not_a_socket_is_refused_and_kept(tmp_path):
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ListenError, match="is not a socket"):
        listen_unix(path)
    assert path.read_text() == "precious"


def test_a_link_to_a_socket_is_not_followed(tmp_path):
    listener = listen_unix(tmp_path / "s")
    (tmp_path / "link").symlink_to(tmp_path / "s")
    with pytest.raises(ListenError, match="is not a socket"):
        listen_unix(tmp_path / "link")
    listener.close()


def test_a_socket_that_a_server_answers_on_is_refused(tmp_path):
    listener = listen_unix(tmp_path / "s")
    with pytest.raises(ListenError, match="answers there already"):
        listen_unix(tmp_path / "s")
    listener.close()


def test_a_socket_left_by_a_crash_is_replaced(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    listener = listen_unix(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    listener.close()


def test_a_path_that_another_has_taken_over_is_left_to_it(tmp_path):
    path = tmp_path / "s"
    first = listen_unix(path)
    path.unlink()
    second = listen_unix(path)
    first.close()
    assert path.exists()
    second.close()


def test_what_cannot_be_listened_on_is_named(tmp_path):
    with pytest.raises(ListenError, match="107 octets"):
        listen_unix(tmp_path / ("x" * 120))
    with pytest.raises(ListenError, match="No such file"):
        listen_unix(tmp_path / "no" / "s")
    listener = listen_tcp("127.0.0.1", 0)
    port = listener.sock.getsockname()[1]
    with pytest.raises(ListenError, match=f"127.0.0.1 port {port}: .*in use"):
        listen_tcp("127.0.0.1", port)
    with pytest.raises(ListenError):
        listen_tcp("127.0.0.1", 70_000)
    with pytest.raises(ListenError):
        listen_tcp("not an address", 80)
    listener.close()


def test_a_descriptor_is_adopted_if_it_listens_and_its_path_stays(tmp_path):
    given = listen_unix(tmp_path / "s")
    adopted = adopt_listener(os.dup(given.fileno()))
    assert adopted.name == given.name
    assert not adopted.sock.get_inheritable()
    adopted.close()
    assert (tmp_path / "s").exists()
    given.close()


def test_a_descriptor_that_does_not_listen_is_refused_and_left_open(tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        with pytest.raises(ListenError, match="not a listening"):
            adopt_listener(sock.fileno())
        os.fstat(sock.fileno())
    with (tmp_path / "file").open("w") as file, pytest.raises(ListenError):
        adopt_listener(file.fileno())
