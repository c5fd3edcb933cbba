"""Who is let in, for which account, on which paths; and the paths themselves."""

import pytest

from stentor.aio.server.exchange import Answer, Exchange, Peer, PeerKind, Route
from stentor.api.credentials import Access, Doorkeeper, Principal
from stentor.errors import Refusal
from stentor.routing.routes import ChannelDefaults, RouteTable, Rule
from stentor.wire.head import RequestHead
from tests.engine.api.api_world import World, run

OWN = 500
ACCESS = Access(
    own_uid=OWN,
    users=frozenset({601}),
    groups=frozenset({70}),
    front_office=frozenset({603}),
    accounts={604: "acme"},
)
GROUPS = {602: frozenset({7, 70}), 605: frozenset({7})}


def identify(uid: int | None, named: str | None = None, access: Access = ACCESS) -> Principal | int:
    """The principal, or the status of the refusal."""
    doorkeeper = Doorkeeper(access, lambda uid: GROUPS.get(uid, frozenset()))
    try:
        return doorkeeper.identify(uid, {} if named is None else {"stentor-account": named})
    except Refusal as refused:
        return refused.status


NOBODY_MAPPED = Access(own_uid=OWN, users=frozenset({601}), groups=frozenset({70}))


@pytest.mark.parametrize(
    ("uid", "named", "access", "expected"),
    [
        (None, None, ACCESS, 401),
        (None, "acme", ACCESS, 401),
        (OWN, None, ACCESS, Principal(OWN, "default", True)),
        (OWN, "acme", ACCESS, 403),
        (0, None, ACCESS, Principal(0, "default", True)),
        (0, "acme", ACCESS, Principal(0, "acme", True)),
        (0, "any.one:1", ACCESS, Principal(0, "any.one:1", True)),
        (0, "", ACCESS, 400),
        (0, "a b", ACCESS, 400),
        (0, "x" * 65, ACCESS, 400),
        (601, None, ACCESS, 403),
        (601, None, NOBODY_MAPPED, Principal(601, "default", True)),
        (601, "acme", NOBODY_MAPPED, 403),
        (601, "default", NOBODY_MAPPED, Principal(601, "default", True)),
        (602, None, NOBODY_MAPPED, Principal(602, "default", True)),
        (605, None, NOBODY_MAPPED, 403),
        (603, None, ACCESS, Principal(603, "default", True)),
        (603, "acme", ACCESS, Principal(603, "acme", True)),
        (604, None, ACCESS, Principal(604, "acme", False)),
        (604, "acme", ACCESS, Principal(604, "acme", False)),
        (604, "default", ACCESS, 403),
        (999, None, ACCESS, 403),
        (999, None, NOBODY_MAPPED, 403),
        (999, "default", NOBODY_MAPPED, 403),
    ],
)
def test_the_matrix_of_who_may_act_for_whom(uid, named, access, expected):
    assert identify(uid, named, access) == expected


def test_groups_are_looked_up_once_for_each_uid():
    asked: list[int] = []

    def groups_of(uid: int) -> frozenset[int]:
        asked.append(uid)
        return frozenset({70})

    doorkeeper = Doorkeeper(NOBODY_MAPPED, groups_of)
    assert doorkeeper.identify(602, {}) == doorkeeper.identify(602, {})
    assert asked == [602]


def test_over_tcp_only_health_is_served(socket_dir):
    async def check(world: World) -> None:
        for path in ("/healthz", "/readyz"):
            assert (await world.call("GET", path, tcp=True)).status == 200
        for operation in world.app.operations:
            if operation.path not in ("/healthz", "/readyz"):
                answer = await world.call(operation.method, operation.path, tcp=True)
                assert (answer.status, answer.fields["www-authenticate"]) == (401, "Bearer"), operation.path
        for path in ("/", "/nothing"):
            assert (await world.call("GET", path, tcp=True)).status == 404

    run(check, socket_dir)


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> int:
    """Whoever connects on the Unix socket has this uid."""
    monkeypatch.setattr("stentor.aio.server.server._identify", lambda sock, address: Peer(PeerKind.UNIX, 999))
    return 999


def test_who_is_not_let_in_gets_one_refusal_and_no_look_at_the_body(socket_dir, stranger):
    async def check(world: World) -> None:
        for operation in world.app.operations:
            answer = await world.call(operation.method, operation.path, b"{not read")
            assert answer.status == (200 if operation.is_open else 403), operation.path
        assert (await world.call("GET", "/nothing")).status == 403
        assert world.engine.library.reads == 0

    run(check, socket_dir)


def test_a_reload_changes_who_is_let_in_and_where_messages_go(socket_dir, stranger):
    async def check(world: World) -> None:
        body = {"to": "+40712345678", "text": "x"}
        assert (await world.call("POST", "/v1/messages", body)).status == 403
        table = RouteTable((Rule(("beta",)),), {"beta": ChannelDefaults("New")})
        world.app.adjust(table, Access(own_uid=OWN, accounts={stranger: "acme"}), 60)
        assert (await world.call("POST", "/v1/messages", body)).json["from"] == "New"
        (message,) = world.engine.library.messages.values()
        assert (message.account, message.route) == ("acme", ("beta",))
        assert message.expires_at_ms == message.submitted_at_ms + 60_000

    run(check, socket_dir)


def test_health_says_whether_work_can_be_taken(socket_dir):
    async def check(world: World) -> None:
        assert (await world.call("GET", "/readyz")).json == {"status": "ready"}
        world.engine.unready = "the daemon is draining"
        answer = await world.call("GET", "/readyz")
        assert (answer.status, answer.json["detail"]) == (503, "the daemon is draining")
        assert answer.fields["retry-after"] == "1"
        assert (await world.call("GET", "/healthz")).status == 200
        assert (await world.call("GET", "/metrics")).body.startswith(b"stentor_")

    run(check, socket_dir)


def test_channels_are_shown_paused_and_resumed(socket_dir):
    async def check(world: World) -> None:
        listing = (await world.call("GET", "/v1/channels")).json["channels"]
        assert [one["name"] for one in listing] == ["alpha", "beta"]
        assert listing[0]["counters"] == {"sent": 3, "binds": 1}
        assert listing[1]["last_error"] == {"at": "2027-01-15T08:00:00.000Z", "detail": "connection refused"}
        assert (await world.call("POST", "/v1/channels/alpha/pause")).json["paused"] is True
        assert (await world.call("GET", "/v1/channels/%61lpha")).json["state"] == "paused"
        assert (await world.call("POST", "/v1/channels/alpha/resume")).json["paused"] is False
        for method, path in (("GET", "gamma"), ("POST", "gamma/pause"), ("POST", "gamma/resume")):
            assert (await world.call(method, f"/v1/channels/{path}")).status == 404

    run(check, socket_dir)


def test_a_customer_does_not_pause_channels(socket_dir, stranger):
    async def check(world: World) -> None:
        answer = await world.call("POST", "/v1/channels/alpha/pause")
        assert (answer.status, world.engine.paused) == (403, set())

    run(check, socket_dir, Access(own_uid=OWN, accounts={stranger: "acme"}))


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/messages", "POST, GET, HEAD"),
        ("TRACE", "/v1/messages/x", "GET, HEAD, DELETE"),
        ("OPTIONS", "/v1/channels/x/pause", "POST"),
        ("HEAD", "/v1/events", "GET"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_a_method_a_path_does_not_take_is_405_with_those_it_takes(method, path, allow, socket_dir):
    async def check(world: World) -> None:
        connection = await world.connect()
        await connection.send(method, path)
        status, fields = await connection.head()
        assert (status, fields["allow"]) == (405, allow)

    run(check, socket_dir)


def test_head_is_get_without_the_body(socket_dir):
    async def check(world: World) -> None:
        connection = await world.connect()
        await connection.send("HEAD", "/healthz")
        status, fields = await connection.head()
        assert (status, fields["content-length"]) == (200, str(len(b'{"status":"alive"}')))

    run(check, socket_dir)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/messages/", "/v1/messages/a/b", "/v1/hooks", "*", "//"])
def test_a_path_that_leads_nowhere_is_404(path, socket_dir):
    async def check(world: World) -> None:
        assert (await world.call("GET", path)).status == 404

    run(check, socket_dir)


class Driver:
    """What a driver registers to take receipts."""

    def route(self, head: RequestHead, peer: Peer) -> Route | Answer:
        return Answer(404) if head.path == "/receipts/none" else Route("driver's own")

    def handle(self, exchange: Exchange) -> None:
        assert exchange.route.context == "driver's own"
        exchange.respond(200, exchange.head.path.encode() + exchange.body, "text/plain")


def test_what_a_driver_registers_is_served_everywhere_below_its_path_and_over_tcp(socket_dir):
    async def check(world: World) -> None:
        world.app.mount("/receipts", Driver())
        for path in ("/receipts", "/receipts/a/b"):
            connection = await world.connect(tcp=True)
            await connection.send("POST", path, b"!")
            assert (await connection.response()).body == path.encode() + b"!"
        for path, status in (("/receipts/none", 404), ("/receiptsx", 404)):
            connection = await world.connect(tcp=True)
            await connection.send("GET", path)
            assert (await connection.response()).status == status
        world.app.unmount("/receipts")
        assert (await world.call("GET", "/receipts")).status == 404

    run(check, socket_dir)
