"""All operations of the API, in one table."""

from collections.abc import Mapping
from typing import Any, Final

from stentor.aio.server.exchange import BodyMode, Exchange
from stentor.api.answers import JSON, NDJSON
from stentor.api.batches import BatchBody, BatchResource
from stentor.api.call import Call, Tasks, give, refusal_answer
from stentor.api.channels import ChannelBody, ChannelList, ChannelResource
from stentor.api.engine import Engine
from stentor.api.events import LAST_EVENT_ID, OUTPUT_LIMIT, EventResource
from stentor.api.health import METRICS_TYPE, Health, HealthResource
from stentor.api.idempotency import HEADER, Turns
from stentor.api.inspect import Inspect, InspectResource
from stentor.api.intake import Intake, Results
from stentor.api.messages import LIMIT_DEFAULT, LIMIT_MAX, MessageResource
from stentor.api.operations import Body, Operation, Parameter, Reply, json_reply
from stentor.api.render import Listing, MessageBody, Result, Timeline
from stentor.api.route import RouteBody, RouteResource
from stentor.api.stream import SubmitStream
from stentor.api.submit import SubmitResource
from stentor.api.webhooks import BODY_LIMIT as WEBHOOK_LIMIT
from stentor.api.webhooks import LIMIT_DEFAULT as DELIVERIES_DEFAULT
from stentor.api.webhooks import LIMIT_MAX as DELIVERIES_MAX
from stentor.api.webhooks import (
    Deliveries,
    DeliveryBody,
    NewWebhook,
    Replay,
    WebhookBody,
    WebhookChange,
    WebhookList,
    WebhookResource,
)
from stentor.dispatch.snapshot import EngineSnapshot, QueueShape
from stentor.errors import Refusal
from stentor.message import STATUS_WORDS
from stentor.routing.admission import Submit
from stentor.text.inspection import Inspection
from stentor.wire import sse

SSE: Final = sse.CONTENT_TYPE
_TEXT: Final[Mapping[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 64}
_TIME: Final[Mapping[str, Any]] = {"type": "string", "format": "date-time"}


def _filter(name: str, description: str, schema: Mapping[str, Any] = _TEXT) -> Parameter:
    return Parameter(name, "query", description, schema)


FILTERS: Final = (
    _filter("status", "in this status", {"type": "string", "enum": list(STATUS_WORDS)}),
    _filter("to", "to this destination"),
    _filter("from", "from this originator"),
    _filter("ref", "with this reference of the client"),
    _filter("channel", "carried by this channel"),
    _filter("direction", "outgoing (mt) or incoming (mo)", {"type": "string", "enum": ["mt", "mo"]}),
    _filter("since", "accepted at this time or later", _TIME),
    _filter("until", "accepted before this time", _TIME),
    _filter(
        "limit",
        "messages of a page",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    ),
    _filter("cursor", "`next` of the page before", {"type": "string", "pattern": "^[0-9a-f]{1,15}$"}),
)
ROUTE_PARAMETERS: Final = (
    Parameter("to", "query", "the destination", _TEXT, is_required=True),
    _filter("from", "the originator it names"),
    _filter("tag", "its tags, a comma between them", {"type": "string", "minLength": 1, "maxLength": 263}),
    _filter("at", "when it is to be sent; now", _TIME),
    _filter("channel", "the channel it pins"),
)
IDEMPOTENCY_KEY: Final = Parameter(
    "Idempotency-Key",
    "header",
    "The same key and body within 24 h are answered what the first were, and store nothing.",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*$"},
)
LAST_ID: Final = Parameter(
    "Last-Event-ID", "header", "Go on after this event.", {"type": "string", "pattern": "^[0-9]{1,18}$"}
)
assert IDEMPOTENCY_KEY.name.lower() == HEADER
assert LAST_ID.name.lower() == LAST_EVENT_ID


_WEBHOOK: Final = "/v1/webhooks/{id}"


def build_operations(
    engine: Engine, intake: Intake, tasks: Tasks, events: EventResource
) -> tuple[Operation, ...]:
    """The table, for a running engine."""
    channels = ChannelResource(engine, tasks)
    health = HealthResource(engine)
    return (
        _submit(engine, intake, tasks),
        *_messages(MessageResource(engine, tasks)),
        *_batches(BatchResource(engine, tasks)),
        Operation(
            "POST",
            "/v1/inspect",
            "inspect",
            "How a text will be sent; nothing is stored.",
            InspectResource(intake.coding).handle,
            json_reply(Inspection, "encoding, segments and units"),
            refusals=(415, 422),
            bodies={JSON: Body(Inspect)},
        ),
        Operation(
            "GET",
            "/v1/route",
            "explain_route",
            "Which way a message would take, step by step; nothing is stored.",
            RouteResource(engine, intake).show,
            json_reply(RouteBody, "the route, or why it would be refused"),
            refusals=(422,),
            parameters=ROUTE_PARAMETERS,
        ),
        _stream(events),
        *_webhooks(WebhookResource(engine, tasks)),
        *_channels(channels),
        Operation(
            "GET",
            "/v1/status",
            "status",
            "The engine's picture of itself: channels, lanes, backlog, queues, journal.",
            channels.status,
            json_reply(EngineSnapshot, "the engine at this moment"),
        ),
        Operation(
            "GET",
            "/v1/queue",
            "show_queue",
            "Queued messages by calling code and age.",
            channels.queue,
            json_reply(QueueShape, "counts; the longest line first"),
        ),
        *_health(health),
    )


def _stream(events: EventResource) -> Operation:
    return Operation(
        "GET",
        "/v1/events",
        "events",
        "Server-Sent Events from now, or after Last-Event-ID.",
        events.handle,
        Reply(200, "a stream without end; each event's data is an EventBody", {SSE: ()}),
        parameters=(LAST_ID,),
        has_head=False,
        output_limit=OUTPUT_LIMIT,
    )


def _submit(engine: Engine, intake: Intake, tasks: Tasks) -> Operation:
    turns = Turns()
    whole = SubmitResource(engine, intake, turns, tasks)

    def handle(exchange: Exchange, call: Call) -> None:
        if exchange.route.mode is BodyMode.WHOLE:
            whole.handle(exchange, call)
            return
        stream = SubmitStream(engine, intake, turns, tasks, exchange, call.account)
        try:
            stream.open(exchange.head.headers.get(HEADER))
        except Refusal as error:
            give(exchange, refusal_answer(error))

    return Operation(
        "POST",
        "/v1/messages",
        "submit",
        "Submit a message, an array of messages, or a stream with one message a line.",
        handle,
        Reply(
            202,
            "accepted: an object is answered by one result, an array or a list of destinations by all "
            "results, a stream by one result a line",
            {JSON: (Result, Results), NDJSON: ()},
        ),
        refusals=(409, 415, 422, 429),
        bodies={JSON: Body(Submit | list[Submit]), NDJSON: Body(Submit, BodyMode.LINES, None)},
        parameters=(IDEMPOTENCY_KEY,),
    )


def _messages(messages: MessageResource) -> tuple[Operation, ...]:
    one = json_reply(MessageBody, "the message")
    return (
        Operation(
            "GET",
            "/v1/messages",
            "list_messages",
            "Messages by filters, newest first.",
            messages.list,
            json_reply(Listing, "one page"),
            refusals=(422,),
            parameters=FILTERS,
        ),
        Operation(
            "GET", "/v1/messages/{id}", "show_message", "One message.", messages.show, one, refusals=(404,)
        ),
        Operation(
            "DELETE",
            "/v1/messages/{id}",
            "cancel_message",
            "Cancel a message that has not left. One that has is answered with 409: with the code "
            "`withdrawal_requested` if its carrier was asked to take it back, which its status will tell, else with "
            "`already_left`; one that is cancelled, with `already_cancelled`.",
            messages.cancel,
            one,
            refusals=(404, 409),
        ),
        Operation(
            "POST",
            "/v1/messages/{id}/hold",
            "hold_message",
            "Hold back a message that has not left, until it is released.",
            messages.hold,
            one,
            refusals=(404, 409),
        ),
        Operation(
            "POST",
            "/v1/messages/{id}/release",
            "release_message",
            "Let a held message go on.",
            messages.release,
            one,
            refusals=(404, 409),
        ),
        Operation(
            "GET",
            "/v1/messages/{id}/timeline",
            "show_timeline",
            "Every state change and attempt, oldest first.",
            messages.timeline,
            json_reply(Timeline, "the timeline"),
            refusals=(404,),
        ),
    )


def _batches(batches: BatchResource) -> tuple[Operation, ...]:
    one = json_reply(BatchBody, "the batch")
    path = "/v1/batches/{label}"
    changes = (
        ("pause", "Let nothing more of a batch leave, until it is resumed.", batches.pause, (404, 429)),
        ("resume", "Let all that is held of a batch go on.", batches.resume, (404,)),
        ("cancel", "Cancel all messages of a batch that have not left.", batches.cancel, (404,)),
    )
    return (
        Operation(
            "GET",
            path,
            "show_batch",
            "How far a batch is: messages by status.",
            batches.show,
            one,
            refusals=(404,),
        ),
        *(
            Operation("POST", f"{path}/{word}", f"{word}_batch", summary, handle, one, refusals=refusals)
            for word, summary, handle, refusals in changes
        ),
    )


def _webhooks(webhooks: WebhookResource) -> tuple[Operation, ...]:
    one, path = json_reply(WebhookBody, "the webhook"), _WEBHOOK
    return (
        Operation(
            "POST",
            "/v1/webhooks",
            "create_webhook",
            "Have events posted to an address. The answer alone shows the secret that signs them.",
            webhooks.create,
            json_reply(WebhookBody, "the webhook, with its secret", 201),
            refusals=(409, 415, 422),
            bodies={JSON: Body(NewWebhook, limit=WEBHOOK_LIMIT)},
        ),
        Operation(
            "GET",
            "/v1/webhooks",
            "list_webhooks",
            "All webhooks of the account, oldest first.",
            webhooks.list,
            json_reply(WebhookList, "the webhooks"),
        ),
        Operation("GET", path, "show_webhook", "One webhook.", webhooks.show, one, refusals=(404,)),
        Operation(
            "PATCH",
            path,
            "change_webhook",
            "Change a webhook. One that is enabled again goes on where it stood.",
            webhooks.change,
            one,
            refusals=(404, 409, 415, 422),
            bodies={JSON: Body(WebhookChange, limit=WEBHOOK_LIMIT)},
        ),
        Operation(
            "DELETE",
            path,
            "remove_webhook",
            "Remove a webhook with all that waits for it, and its log.",
            webhooks.remove,
            one,
            refusals=(404,),
        ),
        *_webhook_log(webhooks),
    )


def _webhook_log(webhooks: WebhookResource) -> tuple[Operation, ...]:
    path = _WEBHOOK
    page = (
        _filter(
            "limit",
            "attempts of a page",
            {"type": "integer", "minimum": 1, "maximum": DELIVERIES_MAX, "default": DELIVERIES_DEFAULT},
        ),
        _filter("cursor", "`next` of the page before", {"type": "string", "pattern": "^[0-9]{1,15}$"}),
        _filter("outcome", "those that ended so", {"type": "string", "enum": ["delivered", "failed"]}),
    )
    return (
        Operation(
            "GET",
            f"{path}/deliveries",
            "list_deliveries",
            "The log of attempts, newest first.",
            webhooks.deliveries,
            json_reply(Deliveries, "one page"),
            refusals=(404, 422),
            parameters=page,
        ),
        Operation(
            "POST",
            f"{path}/test",
            "test_webhook",
            "Send a test event now, whatever state the webhook is in, and tell what came of it.",
            webhooks.test,
            json_reply(DeliveryBody, "the attempt"),
            refusals=(404, 409),
        ),
        Operation(
            "POST",
            f"{path}/replay",
            "replay_webhook",
            "Deliver the events of a time once more, or one of them; as far as they are kept.",
            webhooks.replay,
            json_reply(WebhookBody, "the webhook", 202),
            refusals=(404, 409, 415, 422),
            bodies={JSON: Body(Replay, limit=WEBHOOK_LIMIT)},
        ),
    )


def _channels(channels: ChannelResource) -> tuple[Operation, ...]:
    one = json_reply(ChannelBody, "the channel")
    path = "/v1/channels/{name}"
    return (
        Operation(
            "GET",
            "/v1/channels",
            "list_channels",
            "All channels.",
            channels.list,
            json_reply(ChannelList, "in the order of the configuration"),
        ),
        Operation("GET", path, "show_channel", "One channel.", channels.show, one, refusals=(404,)),
        Operation(
            "POST",
            f"{path}/pause",
            "pause_channel",
            "Send nothing more through a channel; survives a restart.",
            channels.pause,
            one,
            refusals=(404,),
        ),
        Operation(
            "POST",
            f"{path}/resume",
            "resume_channel",
            "Send through a paused channel again.",
            channels.resume,
            one,
            refusals=(404,),
        ),
    )


def _health(health: HealthResource) -> tuple[Operation, ...]:
    word = json_reply(Health, "yes")
    return (
        Operation("GET", "/healthz", "alive", "Whether the daemon lives.", health.alive, word, is_open=True),
        Operation("GET", "/readyz", "ready", "Whether it can take work.", health.ready, word, is_open=True),
        Operation(
            "GET",
            "/metrics",
            "metrics",
            "Metrics in Prometheus text format.",
            health.metrics,
            Reply(200, "all metrics", {METRICS_TYPE: ()}),
        ),
    )
