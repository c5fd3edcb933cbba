"""An SMSC far away: how much of what distance and window allow is used, beside a client that does nothing else."""

import socket
from time import monotonic

from bench.harness import BenchError, Workplace, channel
from bench.scenario import Figure, Size
from stentor_smpp.fields import BIND_TRANSMITTER, SUBMIT_SM, SUBMIT_SM_RESP
from stentor_smpp.hot import pack_submit_sm, submit_head, submit_tail
from stentor_smpp.pdu import HEADER, HEADER_OCTETS, encode_body

DISTANCE_MS = 20
WINDOW = 10
ELSEWHERE = 488
ELSEWHERE_SHARE = 0.976
"""488/s of the 500/s that a window of 10 and 20 ms allow."""


def far_smsc(size: Size) -> list[Figure]:
    """An SMSC whose answers take 20 ms, window 10, with and without delayed TCP acknowledgements."""
    count = size.pick(3000, 1500, 50)
    figures = []
    for word, options, elsewhere in (("", (), ELSEWHERE), (", delayed ACKs", ("--delayed-acks",), 250)):
        latency = ("--latency", f"{DISTANCE_MS}ms", *options)
        with Workplace() as place:
            _, port = place.start_smsc("--receipts", "none", *latency)
            possible = bare_client(port, count)
        with Workplace() as place:
            smsc, port = place.start_smsc(*latency)
            place.start_daemon(channel(port, window=WINDOW))
            place.load("stream", messages=count)
            counted = place.wait_acknowledged(smsc, count, 60.0)
            reached = count / (counted["last_submit_at"] - counted["first_submit_at"])
        note = f"{possible:.0f}/s by a client that does nothing else; elsewhere {elsewhere}/s of 500/s"
        name = f"SMSC {DISTANCE_MS} ms away, window {WINDOW}{word}"
        figures.append(Figure(name, reached, "/s", at_least=ELSEWHERE_SHARE * possible, note=note))
    return figures


def bare_client(port: int, count: int) -> float:
    """Submissions a second of a client that only keeps its window full: what this machine and the SMSC allow."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fields = {"system_id": "bare", "password": "bare", "system_type": "", "interface_version": 0x34}
        fields |= {"addr_ton": 0, "addr_npi": 0, "address_range": ""}
        body = encode_body(BIND_TRANSMITTER, fields)
        sock.sendall(HEADER.pack(HEADER_OCTETS + len(body), BIND_TRANSMITTER, 0, 1) + body)
        sock.recv(4096)
        return _keep_full(sock, count)


def _keep_full(sock: socket.socket, count: int) -> float:
    body = pack_submit_sm(submit_head("", 5, 0, "bench", 1, 1), "40700000000", submit_tail(), b"far away")
    sent = answered = 0
    rest = b""
    started = last_sent_at = monotonic()
    while answered < count:
        room = min(WINDOW - (sent - answered), count - sent)
        if room:
            pdus = (
                HEADER.pack(HEADER_OCTETS + len(body), SUBMIT_SM, 0, sent + n) + body
                for n in range(2, room + 2)
            )
            sock.sendall(b"".join(pdus))
            sent += room
            last_sent_at = monotonic()
        data = sock.recv(65536)
        if not data:
            raise BenchError("the SMSC closed the connection")
        rest += data
        while len(rest) >= HEADER_OCTETS and len(rest) >= (length := int.from_bytes(rest[:4], "big")):
            answered += HEADER.unpack_from(rest)[1] == SUBMIT_SM_RESP
            rest = rest[length:]
    return count / (last_sent_at - started)
