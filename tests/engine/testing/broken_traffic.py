"""Faults in how a driver sends, answers, takes in, and bears pressure and noise."""

import asyncio
import time

import msgspec

from stentor.driver import Capabilities, Inbound, Receipt
from stentor.outcome import Deferred, Refused, Returned, Sent, Unknown
from tests.engine.testing.broken import Bending, CopyingHost, Meddling, found_by, spec_found_by
from tests.engine.testing.line_driver import LANE, TellDriver

# -- submission -------------------------------------------------------------------------------------------------------


@found_by("submit_returns_at_once", "s for 10 submissions")
class TakesItsTime(TellDriver):
    def submit(self, lane, batch):
        end = time.perf_counter() + 0.06
        while time.perf_counter() < end:
            pass
        super().submit(lane, batch)


@found_by("the_window_is_the_peers", "offers 100")
class IgnoresTheWindow(TellDriver):
    def up(self, writer):
        super().up(writer)
        self.host.lane(LANE, 10 * self.config.window)


@found_by("any_batch_is_taken", "submit raised")
class NeedsSomething(TellDriver):
    def submit(self, lane, batch):
        assert batch[0].to
        super().submit(lane, batch)


@found_by("order_is_kept_within_a_lane", "")
class TurnsBatchesAround(TellDriver):
    def submit(self, lane, batch):
        super().submit(lane, batch[::-1])


@found_by("every_encoding_arrives_as_it_was", "the data became")
class CutsTrailingZeros(TellDriver):
    def submit(self, lane, batch):
        super().submit(lane, batch)

    def __init__(self, config, host):
        super().__init__(config, CopyingHost(host))
        self.submit = self.cut  # type: ignore[method-assign]  # a fault needs no types

    def cut(self, lane, batch):
        copies = [msgspec.structs.replace(each, data=each.data.rstrip(b"\0")) for each in batch]
        self.host.originals.update((copy.token, each) for copy, each in zip(copies, batch, strict=True))
        TellDriver.submit(self, lane, copies)


# -- exactly one outcome ----------------------------------------------------------------------------------------------


@found_by("answers_become_outcomes", "'refused for good' became Deferred")
class HopesAgainstHope(Bending):
    def bend(self, outcome):
        return [Deferred(outcome.submission, outcome.code) if isinstance(outcome, Refused) else outcome]


@found_by("answers_become_outcomes", "not in the catalogue")
class InventsACode(Bending):
    def bend(self, outcome):
        return [Refused(outcome.submission, "computer_says_no") if isinstance(outcome, Refused) else outcome]


@found_by("answers_become_outcomes", "which was not handed over in this form")
class AnswersForACopy(Bending):
    def bend(self, outcome):
        return [msgspec.structs.replace(outcome, submission=msgspec.structs.replace(outcome.submission))]


@found_by("answers_may_come_in_any_order", "")
class TakesAnswersInOrder(TellDriver):
    def hear(self, lines, writer):
        oldest = iter(list(self.in_flight))
        bent = []
        for line in lines:
            words = line.split(b" ")
            if words[0] in (b"SENT", b"NEVER") and words[1].isdigit() and int(words[1]) in self.in_flight:
                words[1] = str(next(oldest)).encode()
            bent.append(b" ".join(words))
        super().hear(bent, writer)


@found_by("answers_nobody_waits_for_are_borne", "got two outcomes")
class ResolvesTwice(TellDriver):
    def __init__(self, config, host):
        super().__init__(config, host)
        self.known = {}

    def submit(self, lane, batch):
        self.known.update((each.token, each) for each in batch)
        super().submit(lane, batch)

    def hear(self, lines, writer):
        for line in lines:
            token = int(line.split(b" ")[1]) if line.startswith(b"SENT ") else 0
            if token in self.known and token not in self.in_flight:
                self.host.resolve([Sent(self.known[token], "x", "x")])
        super().hear(lines, writer)


@found_by("a_missing_answer_is_doubt", "an outcome for every submission")
class HasNoPatienceToEnd(TellDriver):
    def watch(self):
        if not self.in_flight:
            self.is_idle.set()


class RemembersWhatItDoubts(TellDriver):
    """Ends nothing but the doubt when the time is up, and hears what comes after it."""

    def __init__(self, config, host):
        super().__init__(config, host)
        self.doubted = {}
        self.timer = None

    def watch(self):
        if not self.in_flight:
            self.is_idle.set()
        elif self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(self.config.answer_s, self.doubt)

    def doubt(self):
        self.timer = None
        self.doubted.update(self.in_flight)
        self.host.resolve([Unknown(each) for each in self.in_flight.values()])
        self.in_flight.clear()
        self.is_idle.set()

    def down(self, writer):
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        super().down(writer)

    def hear(self, lines, writer):
        for line in lines:
            word, *rest = line.split(b" ")
            if word in (b"SENT", b"NEVER", b"LATER") and rest[0].isdigit():
                known = self.forget(int(rest[0]))
                if known is not None:
                    self.late(known, word, rest[1:])
        super().hear(lines, writer)

    def forget(self, token):
        return self.doubted.pop(token, None)

    def late(self, submission, word, rest):
        raise NotImplementedError


@found_by("a_refusal_after_doubt_changes_nothing", "got two outcomes: Unknown, then Refused")
class RefusesWhatItDoubted(RemembersWhatItDoubts):
    def late(self, submission, word, rest):
        if word == b"NEVER":
            self.host.resolve([Refused(submission, "rejected")])


@found_by("a_missing_answer_is_doubt", "got two outcomes: Unknown, Sent, then Sent")
class SettlesDoubtTwice(RemembersWhatItDoubts):
    def forget(self, token):
        return self.doubted.get(token)

    def late(self, submission, word, rest):
        if word == b"SENT":
            self.host.resolve([Sent(submission, rest[0].decode(), rest[0].decode())])


@found_by("a_missing_answer_is_doubt", "carries the id of another")
class MixesUpLateAnswers(RemembersWhatItDoubts):
    def late(self, submission, word, rest):
        if word == b"SENT":
            self.host.resolve([Sent(submission, "another", "another")])


@found_by("what_comes_after_the_link_is_returned", "they became")
class DoubtsEverything(Bending):
    def bend(self, outcome):
        return [Unknown(outcome.submission) if isinstance(outcome, Returned) else outcome]


@found_by("a_link_cut_while_writing", "had begun to leave, and was Returned")
class ReturnsWhatLeft(Bending):
    def bend(self, outcome):
        return [Returned(outcome.submission) if isinstance(outcome, Unknown) else outcome]


@found_by("a_link_cut_while_writing", "was sent later")
class SendsAgainByItself(TellDriver):
    def __init__(self, config, host):
        super().__init__(config, host)
        self.lost = []

    def down(self, writer):
        self.lost += self.in_flight.values()
        super().down(writer)

    def up(self, writer):
        super().up(writer)
        lost, self.lost = self.lost, []
        for submission in lost:
            writer.write(f"SEND {submission.token} {submission.to} x gsm7   00\n".encode())


@found_by("a_link_cut_after_writing", "an outcome for every submission")
class LosesAnOutcome(TellDriver):
    def down(self, writer):
        if self.in_flight:
            self.in_flight.popitem()
        super().down(writer)


@found_by("a_link_cut_while_answers_arrive", "half an answer")
class TakesHalfALine(TellDriver):
    async def listen(self, reader, writer):
        feed = self.hear

        def hear(lines, writer):
            feed(lines, writer)

        while chunk := await reader.read(65_536):
            hear([line for line in chunk.split(b"\n") if line], writer)
            await self.may_read.wait()
        raise EOFError("closed")


# -- giving back ------------------------------------------------------------------------------------------------------


class GivesBack(TellDriver):
    """TELL has no way back: what is in flight has left."""

    def recall(self, submissions):
        held = [each for each in submissions if self.in_flight.pop(each.token, None) is not None]
        self.host.resolve([Returned(each) for each in held])
        return ()


class AsksForWhatItGaveBack(GivesBack):
    def recall(self, submissions):
        super().recall(submissions)
        return [each.token for each in submissions]


_CAN_RECALL = {"capabilities": lambda config: Capabilities(honours_validity=False, can_recall=True)}
spec_found_by("what_is_recalled_comes_home_once", "had left", make=GivesBack, **_CAN_RECALL)
spec_found_by("what_is_recalled_comes_home_once", "as well", make=AsksForWhatItGaveBack, **_CAN_RECALL)
spec_found_by("what_the_peer_has_is_not_given_back", "gave back", make=GivesBack, **_CAN_RECALL)

# -- inbound ----------------------------------------------------------------------------------------------------------


@found_by("a_receipt_names_what_it_is_about", "does not match")
class NamesReceiptsItsOwnWay(Meddling):
    def meddle(self, item):
        return (
            msgspec.structs.replace(item, match_id="0x" + item.match_id)
            if isinstance(item, Receipt)
            else item
        )


@found_by("a_message_arrives_as_it_was", "")
class SwapsTheEnds(Meddling):
    def meddle(self, item):
        if isinstance(item, Inbound):
            return msgspec.structs.replace(item, originator=item.to, to=item.originator)
        return item


@found_by("nothing_is_acknowledged_before_it_is_durable", "before they were durable")
class AcknowledgesEarly(TellDriver):
    def settler(self, numbers, writer):
        super().settler(numbers, writer)(True)
        return lambda is_durable: None


@found_by("what_was_not_stored_is_not_acknowledged", "it was acknowledged and is lost")
class AcknowledgesWhatIsLost(TellDriver):
    def settler(self, numbers, writer):
        settled = super().settler(numbers, writer)
        return lambda is_durable: settled(True)


@found_by("duplicates_are_passed_on", "both")
class KnowsBetter(TellDriver):
    def hear(self, lines, writer):
        # A dictionary keeps the first of each.
        known = self.__dict__.setdefault("known", {})
        fresh = [line for line in lines if known.setdefault(line.partition(b"+")[2] or line, line) is line]
        super().hear(fresh, writer)


@found_by("a_link_may_end_before_it_is_durable", "acknowledged over a link that is gone")
class AcknowledgesOverAnotherLink(TellDriver):
    def settler(self, numbers, writer):
        def settled(is_durable):
            current = self.writer or self.reach()
            current.write(b"".join(b"DONE %b\n" % number for number in numbers))

        return settled

    def reach(self):
        """A second connection for what must be said: authors do such things."""
        loop = asyncio.get_running_loop()
        tasks = []

        class Later:
            def write(self, octets):
                async def say():
                    _, writer = await asyncio.open_connection("tell.test", 4711)
                    writer.write(octets)
                    writer.close()

                tasks.append(loop.create_task(say()))

        return Later()


@found_by("malformed_input_is_borne", "neither counted nor reported")
class CountsNothing(TellDriver):
    def status(self):
        return msgspec.structs.replace(super().status(), counters={}, last_error=None)


# -- pressure ---------------------------------------------------------------------------------------------------------


@found_by("a_slow_host_stops_the_reading", "items taken that are not durable")
class ReadsOn(TellDriver):
    def hear(self, lines, writer):
        super().hear(lines, writer)
        self.may_read.set()


@found_by("a_peer_that_does_not_read_ends_in_doubt", "an outcome for every submission")
class WaitsForThePeer(HasNoPatienceToEnd):
    pass


@found_by("a_full_pipe_does_not_hold_up_the_drain", "connections left behind")
class FlushesForEver(TellDriver):
    def down(self, writer):
        super().down(None)
        if writer is not None:
            writer.close()


@found_by("a_plea_for_a_slower_pace_is_passed_on", "not as a throttle")
class HearsNoPlea(Bending):
    def bend(self, outcome):
        is_plea = isinstance(outcome, Deferred) and outcome.is_throttle
        return [msgspec.structs.replace(outcome, is_throttle=False) if is_plea else outcome]


@found_by("a_closed_lane_sends_nothing", "had its outcome already")
class KeepsItsOwnQueue(SendsAgainByItself):
    pass


# -- fuzz -------------------------------------------------------------------------------------------------------------


class Fragile(TellDriver):
    """Takes for granted that lines are lines."""

    def hear(self, lines, writer):
        for line in lines:
            if not line.split(b" ")[0].isalpha():
                raise LookupError("no such word")
        super().hear(lines, writer)


found_by("noise_is_borne", "run() raised")(Fragile)
found_by("damaged_conversations_are_borne", "run() raised")(Fragile)


@found_by("endless_input_takes_bounded_room", "of a message that never ends")
class HoardsInput(TellDriver):
    async def listen(self, reader, writer):
        rest = b""
        while chunk := await reader.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            self.hear([line for line in lines if len(line) < 2_000], writer)
        raise EOFError("closed")
