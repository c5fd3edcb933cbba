"""A phone for the driver's tests: it registers, holds an event stream, pulls and reports as it is told.

Everything goes through the host's own door, in memory. It starts no timer and no task.
"""

import hashlib
import hmac
import json

from stentor.driver import Inbound
from stentor.message import Status
from stentor.testing.peer import Answer, Can, Peer, Seen
from stentor.testing.world import CANARY
from stentor.text.segments import Encoding

BASE = "/api/mobile/v1"
AGENT = "me.capcom.smsgateway/1.68.0"
ERRORS = {
    Answer.REFUSED: "Send result: RESULT_INVALID_ARGUMENTS (Invalid arguments)",
    Answer.DEFERRED: "Send result: RESULT_ERROR_GENERIC_FAILURE (Generic failure cause)",
}
STATES = {Status.DELIVERED: "Delivered", Status.UNDELIVERED: "Failed", Status.SENT: "Sent"}


class Pieces(list):
    """What a stream was sent; whoever listens is told."""

    def __init__(self, heard):
        super().__init__()
        self.heard = heard

    def append(self, data):
        super().append(data)
        self.heard(data)


class PhonePeer(Peer):
    """One phone with one SIM."""

    can = frozenset(
        {
            Can.REFUSE,
            Can.HOLD,
            Can.STRAY,
            Can.RECEIPTS,
            Can.INBOUND,
            Can.ACKNOWLEDGED,
            Can.ORDER,
            Can.SUBMITS,
        }
    )

    def __init__(self):
        super().__init__()
        self.token = self.device_id = self.key = self.hook = ""
        self.known = {}
        self.handles = 0
        self.host = self.loop = None

    async def start(self, loop):
        self.loop = loop

    def adopt(self, host):
        """Come as soon as this host serves phones."""
        serve = host.serve

        def served(prefix, handler, body_limit=65_536):
            serve(prefix, handler, body_limit)
            if prefix == BASE:
                self.loop.call_soon(self.come, host)

        host.serve = served

    def come(self, host):
        if host.is_over:
            return
        self.host = host
        if not self.token:
            body = {"name": "samsung/beyond0ltexx", "simCards": [{"slotIndex": 0, "simNumber": 1}]}
            told = self.ask("POST", "/device", body, {"Authorization": f"Bearer {CANARY}"})
            if told.status != 201:
                return
            registered = json.loads(told.sent)
            self.token, self.device_id = registered["token"], registered["id"]
        self.logins += 1
        self.key = json.loads(self.ask("GET", "/settings").sent)["webhooks"]["signing_key"]
        entries = json.loads(self.ask("GET", "/webhooks").sent)
        self.hook = next(each["url"] for each in entries if each["event"] == "sms:received")
        stream = self.ask("GET", "/events")
        stream.pieces = Pieces(self.hear)
        self.pull()

    def ask(self, method, path, body=None, headers=None):
        headers = {"Authorization": f"Bearer {self.token}", "User-Agent": AGENT, **(headers or {})}
        octets = b"" if body is None else json.dumps(body).encode()
        return self.host.ask(method, BASE + path, octets, headers)

    def hear(self, data):
        if b"event: MessageEnqueued" in data:
            self.loop.call_soon(self.pull)

    def pull(self):
        visit = self.ask("GET", "/message?order=fifo")
        if visit.status != 200:
            return
        for listed in json.loads(visit.sent):
            if listed["id"] not in self.known and listed["state"] == "Pending":
                self.take(listed)

    def take(self, listed):
        text = listed["textMessage"]["text"]
        seen = Seen(
            listed["phoneNumbers"][0],
            "",
            Encoding.GSM7,
            b"",
            b"",
            text=text,
            ticket=listed,
            wants_receipt=listed.get("withDeliveryReport", True),
        )
        self.known[listed["id"]] = seen
        self.seen.append(seen)
        self.most_in_flight = max(self.most_in_flight, len(self.held))
        if self.answer is not Answer.HOLD:
            self.reply(seen, self.answer)

    def report(self, message_id, number, state, error=None):
        told = {"phoneNumber": number, "state": state}
        if error is not None:
            told["error"] = error
        states = {state: "2026-07-01T09:15:02.310+02:00"}
        return self.ask(
            "PATCH", "/message", [{"id": message_id, "state": state, "recipients": [told], "states": states}]
        )

    def reply(self, seen, answer):
        seen.answers += 1
        if answer is Answer.SENT:
            seen.carrier_id = seen.ticket["id"]
        error = ERRORS.get(answer)
        self.report(seen.ticket["id"], seen.to, "Failed" if error else "Sent", error)

    def reply_stray(self):
        self.report("no-such-message", "+15550100048", "Sent")

    def send_receipt(self, seen, status):
        error = "Delivery result from SC +15550009999: 65" if status is Status.UNDELIVERED else None
        visit = self.report(seen.ticket["id"], seen.to, STATES[status], error)
        return self.acknowledged(visit)

    def send_inbound(self, inbound: Inbound):
        payload = {
            "message": inbound.text,
            "receivedAt": f"2026-07-01T09:15:02.{self.handles % 1000:03d}+02:00",
            "messageId": "5d3f9a1c",
            "sender": inbound.originator,
            "recipient": inbound.to,
            "simNumber": 1,
            "phoneNumber": inbound.originator,
        }
        return self.acknowledged(self.call("sms:received", payload, f"Ev{self.handles:019d}"))

    def call(self, event, payload, delivery_id, key=None, timestamp="1782890103", **changes):
        """A webhook delivery, signed as the phone does it."""
        envelope = {
            "id": delivery_id,
            "webhookId": "wh-in-01",
            "event": event,
            "deviceId": self.device_id,
            "payload": payload,
            **changes,
        }
        body = json.dumps(envelope).encode()
        signature = hmac.new(
            (key or self.key).encode(), body + timestamp.encode(), hashlib.sha256
        ).hexdigest()
        headers = {"User-Agent": AGENT, "X-Timestamp": timestamp, "X-Signature": signature}
        return self.host.ask("POST", self.hook.partition("gw.example.test")[2], body, headers)

    def acknowledged(self, visit):
        self.handles += 1
        handle = self.handles
        answers = self.acknowledgements.setdefault(handle, [])
        if visit.is_complete:
            answers.append(visit.status < 300)
        else:
            end = visit.end

            def ended():
                end()
                answers.append(visit.status < 300)

            visit.end = ended
        return handle
