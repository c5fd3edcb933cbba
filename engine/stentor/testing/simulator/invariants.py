"""What must hold after every step, and at the end.

Checked from the outside in: the model journal and the commits under way say what is; the dispatcher's memory must be
exactly that.
"""

from collections import Counter

from msgspec.structs import replace

from stentor.dispatch.dispatcher import Dispatcher
from stentor.driver import Inbound, Receipt
from stentor.message import Delivery, Message, Status
from stentor.scheduling.lanes import Lane
from stentor.testing.simulator.faults import Violation
from stentor.testing.simulator.handsets import is_kept
from stentor.testing.simulator.journal import ModelJournal, Rows
from stentor.testing.simulator.scene import Scene
from stentor.testing.simulator.texts import check_texts


def check_memory(dispatcher: Dispatcher, journal: ModelJournal, writing: Rows | None) -> None:
    """The dispatcher's memory is the journal's, and each message is in one place."""
    waiting = _waiting(dispatcher)
    sending, in_flight = _sending(dispatcher)
    _check_places(dispatcher, waiting, sending)
    _check_counts(dispatcher, journal)
    _check_doubts(dispatcher)
    _check_replay(dispatcher, journal, writing)
    _check_windows(dispatcher, in_flight)
    _check_parts(dispatcher, journal, writing)


def _waiting(dispatcher: Dispatcher) -> dict[int, int]:
    """In how many places a queued message waits, by key."""
    found = dict.fromkeys(dispatcher.placing.due._waiting, 1)
    for channel in dispatcher.channels.values():
        for key in channel.queue._waiting:
            found[key] = found.get(key, 0) + 1
        for key in channel.parking.keys() if channel.parking is not None else ():
            found[key] = found.get(key, 0) + 1
    for key in dispatcher.placing.ordering.waiting_keys():
        found[key] = found.get(key, 0) + 1
    for message, _ in dispatcher.placing.again:
        if message.status is Status.QUEUED:
            found[message.key] = found.get(message.key, 0) + 1
    return found


def _sending(dispatcher: Dispatcher) -> tuple[Counter[int], Counter[Lane]]:
    """How many submissions of a message are under way, by key; how many slots of each lane's window are taken."""
    sending: Counter[int] = Counter()
    taken: Counter[Lane] = Counter()
    tokens: Counter[int] = Counter()
    open_ = dispatcher.backlog.open
    ledger = dispatcher.ledger
    for token, (_, message, lane, _) in dispatcher.settler.flights.items():
        tokens[token] += 1
        taken[lane] += 1
        sending[message.key] += 1
        if open_.get(message.key) is not message:
            raise Violation(f"segment {token} is in flight, its message is not in memory")
    for effects in (ledger.effects, ledger.writing_effects):
        for lane, message, submission in effects.leases:
            tokens[submission.token] += 1
            taken[lane] += 1
            sending[message.key] += 1
        for lane, count in effects.slots.items():
            taken[lane] += count
    for channel in dispatcher.channels.values():
        for message, submission in channel.repeats:
            tokens[submission.token] += 1
            sending[message.key] += 1
            if dispatcher.settler.repeats.bound.get(submission.token) is not channel:
                raise Violation(
                    f"segment {submission.token} is repeated by {channel.name}, which it is not bound to"
                )
        for lane in channel.lanes.values():
            for message, submission in lane.leftover:
                tokens[submission.token] += 1
                sending[message.key] += 1
            if lane.leftover and not channel.is_up:
                raise Violation(f"{lane.key} keeps what its channel cannot send")
    if len(tokens) != sum(sending.values()):
        twice = [token for token, count in tokens.items() if count > 1]
        raise Violation(f"segments {twice} are under way twice")
    for token in (*dispatcher.settler.told, *dispatcher.settler.repeats.bound):
        if token not in tokens:
            raise Violation(f"segment {token} is said to be under way")
    return sending, taken


def _check_places(dispatcher: Dispatcher, waiting: dict[int, int], sending: Counter[int]) -> None:
    open_ = dispatcher.backlog.open
    attempts = dispatcher.settler._attempts
    for key, message in open_.items():
        places, parts = waiting.pop(key, 0), sending.pop(key, 0)
        if message.status is Status.QUEUED:
            if (places, parts) != (1, 0):
                raise Violation(f"message {key} is queued in {places} places, {parts} parts are under way")
        elif message.status is Status.SENDING:
            attempt = attempts.get(key)
            pending = attempt.pending if attempt is not None else 1
            if places or parts != pending:
                raise Violation(
                    f"message {key}: {parts} parts under way, {pending} expected; {places} places"
                )
        else:
            raise Violation(f"message {key} is {message.status.word} and in memory")
    if waiting or sending:
        raise Violation(f"not in memory, yet waiting {dict(waiting)}, sending {dict(sending)}")
    for key in attempts:
        if key not in open_:
            raise Violation(f"an attempt at {key} outlived it")


def _check_counts(dispatcher: Dispatcher, journal: ModelJournal) -> None:
    """What is only in the journal is counted exactly."""
    backlog, ledger, rows = dispatcher.backlog, dispatcher.ledger, journal.messages
    open_ = backlog.open
    changed = ledger.commit.changed
    changing = ledger.writing.changed if ledger.writing is not None else {}
    accepted = ledger.writing.accepted if ledger.writing is not None else ()
    to_come = ledger.effects.queued.keys() | ledger.writing_effects.queued.keys()
    in_doubt = dispatcher.settler.holding.held.keys()
    elsewhere = open_.keys() | in_doubt | to_come | {message.key for message in accepted}
    behind: dict[tuple[tuple[str, ...], int, int], int] = {}
    scheduled = earliest_ms = 0
    for key in journal.unsent.keys() - elsewhere:
        message = changed.get(key) or changing.get(key) or rows[key]
        status = message.status
        if status is Status.QUEUED:
            name = message.route, message.priority, message.strand
            behind[name] = behind.get(name, 0) + 1
        elif status is Status.SCHEDULED:
            scheduled += 1
            earliest_ms = min(earliest_ms or message.due_at_ms, message.due_at_ms)
        elif status is Status.SENDING:
            raise Violation(f"message {key} is said to be sending, but nobody has it")
    if scheduled != dispatcher.scheduled:
        raise Violation(f"{scheduled} are scheduled, counted are {dispatcher.scheduled}")
    reading = dispatcher.reading
    if earliest_ms and not reading._is_reading_due and not 0 < reading.next_due_ms <= earliest_ms:
        raise Violation(f"a message is due at {earliest_ms}, the next known is at {reading.next_due_ms}")
    active: dict[tuple[tuple[str, ...], int, int], int] = {}

    for message in open_.values():
        name = message.route, message.priority, message.strand
        active[name] = active.get(name, 0) + 1
    for queue in backlog.queues():
        if not (queue.active or queue.behind):
            continue  # what it should count is left over below
        kind = queue.key.route, queue.key.priority, queue.key.strand
        there = active.pop(kind, 0), behind.pop(kind, 0)
        if (queue.active, queue.behind) != there:
            counted = queue.active, queue.behind
            raise Violation(f"queue {kind} counts {counted} in memory and behind, there are {there}")
    if active or behind:
        raise Violation(f"queues nobody counts: {active} in memory, {behind} behind")


def _check_doubts(dispatcher: Dispatcher) -> None:
    """Something can be settled about each message in doubt, and each held message is in doubt."""
    holding, open_ = dispatcher.settler.holding, dispatcher.backlog.open
    doubts = [doubt for found in holding.doubts.by_key.values() for doubt in found]
    if len(doubts) != len(holding.doubts) or len(doubts) > holding.doubts.limit:
        raise Violation(f"{len(doubts)} are in doubt, counted are {len(holding.doubts)}")
    in_doubt = set()
    for doubt in doubts:
        in_doubt.add(doubt.message.key)
        if doubt.message.final_at_ms:
            raise Violation(f"segment {doubt.token} is in doubt, its message is {doubt.message.status.word}")
    for key, message in holding.held.items():
        if key in open_ or message.status is not Status.SENDING or key not in in_doubt:
            raise Violation(f"message {key} is held and {message.status.word}")
    for key in dispatcher.settler.detours:
        if key not in open_:
            raise Violation(f"message {key} is on a detour and not in memory")


def _check_replay(dispatcher: Dispatcher, journal: ModelJournal, writing: Rows | None) -> None:
    """Once what is under way is written, the journal says of each message in memory what memory says."""
    commit = dispatcher.ledger.commit
    held = dispatcher.settler.holding.held
    for key, message in (*dispatcher.backlog.open.items(), *held.items()):
        if key not in commit.changed:
            row = writing.changed.get(key) if writing is not None else None
            if row is None:
                row = journal.messages.get(key)
            if row is None:
                raise Violation(f"message {key} is in memory and not in the journal")
            if _saved(message) != _saved(row):
                raise Violation(f"message {key} is {_saved(message)}, the journal would say {_saved(row)}")
            if message.delivery is Delivery.AT_MOST_ONCE and message.status is not row.status:
                raise Violation(f"message {key} is {message.status.word}, in the journal {row.status.word}")
        for segment in message.segment_list:
            token = key + segment.index
            if token in commit.segments:
                continue
            stored = writing.segments.get(token) if writing is not None else None
            stored = stored or journal.segments.get(token)
            if stored is None or replace(stored[1], channel=segment.channel) != segment:
                raise Violation(f"segment {token} is {segment}, the journal would say {stored}")


def _saved(message: Message) -> tuple[object, ...]:
    """What a message in memory and its row have in common."""
    is_unsent = message.status in (Status.QUEUED, Status.SENDING)
    return (
        is_unsent or message.status,
        message.due_at_ms,
        message.expires_at_ms,
        message.attempts,
        message.error,
        message.final_at_ms,
    )


def _check_windows(dispatcher: Dispatcher, taken: Counter[Lane]) -> None:
    for channel in dispatcher.channels.values():
        for lane in channel.lanes.values():
            if lane.window.in_flight != taken[lane]:
                raise Violation(
                    f"{lane.key} counts {lane.window.in_flight} in flight, there are {taken[lane]}"
                )
            if lane.window.limit > lane.window.offered:
                raise Violation(f"{lane.key} uses {lane.window.limit} of {lane.window.offered}")


def _check_parts(dispatcher: Dispatcher, journal: ModelJournal, writing: Rows | None) -> None:
    """Once what is under way is written, the parts in the journal are those that wait in memory."""
    after = ModelJournal()
    after.parts, after.joined = dict(journal.parts), dict(journal.joined)
    if writing is not None:
        after.write_parts(writing)
    after.write_parts(dispatcher.ledger.commit)
    joiner = dispatcher.receiver.joiner
    waiting = {part.key for collection in joiner._open.values() for part in collection.parts.values()}
    remembered = {joined.key for joined in joiner._joined.values()}
    if waiting != set(after.parts) or remembered != set(after.joined):
        raise Violation(
            f"parts {sorted(waiting)} wait, {sorted(after.parts)} would be in the journal;"
            f" {sorted(remembered)} are remembered, {sorted(after.joined)} would be"
        )
    if len(waiting) != len(joiner) or len(joiner) > joiner.limit or len(remembered) > joiner.limit:
        raise Violation(f"{len(joiner)} parts are counted, {len(waiting)} wait, {joiner.limit} may")


def check_settled(world: Scene, item: Receipt | Inbound) -> None:
    """What the carrier is told we have is in the journal."""
    journal = world.journal
    if isinstance(item, Inbound):
        if not is_kept(journal, item):
            raise Violation(f"inbound message {item.text!r} was acknowledged and is not stored")
        return
    if item.status is Status.SENT or not item.match_id:
        return
    token = world.truth.get(item.match_id)
    if token is not None:
        segment = journal.segments.get(token)
        if segment is not None and segment[1].final_at_ms:
            return
        if journal.messages[token & ~255].final_at_ms or token in world.fates.anew:
            return
    if not any(match_id == item.match_id for _, match_id in journal.parked):
        raise Violation(f"receipt {item.match_id} was acknowledged and is not stored")


def check_end(world: Scene, dispatcher: Dispatcher, finished_before: int) -> None:
    """After the calm: everything is finished, nothing is left over, counters add up."""
    journal = world.journal
    check_texts(journal, world.said)
    for key in world.accepted:
        if not journal.messages[key].final_at_ms:
            raise Violation(f"message {key} never became final")
    for key in world.cancelled:
        if journal.messages[key].status is not Status.CANCELLED:
            raise Violation(f"message {key} was cancelled and is {journal.messages[key].status.word}")
    for match_id, (status, at) in world.acknowledged.items():
        _check_kept(world, match_id, status, at)
    world.fates.check_end()
    settler = dispatcher.settler
    if settler.told or settler.repeats.bound or settler.holding.held or settler.detours:
        raise Violation("something unusual is left in memory")
    if len(settler.holding.doubts):
        raise Violation(f"{len(settler.holding.doubts)} are left in doubt")
    if (
        dispatcher.settler.flights
        or dispatcher.backlog.open
        or dispatcher.scheduled
        or len(dispatcher.placing.due)
    ):
        raise Violation("something is left in memory")
    if len(dispatcher.backlog):
        raise Violation(f"the backlog counts {len(dispatcher.backlog)}, there is nothing")
    counted, did = dispatcher.settler.counters["finished"], len(world.final_at) - finished_before
    if counted != did:
        raise Violation(f"{counted} counted as finished, {did} did")


def _check_kept(world: Scene, match_id: str, status: Status, at: float) -> None:
    """A receipt that was acknowledged has reached its message, if we ever knew whose it is."""
    token = world.journal.learnt.get(match_id)
    if token is None:
        return
    segment = world.journal.segments[token][1]
    is_anew = segment.status is Status.QUEUED or token in world.fates.anew
    if segment.carrier_id != match_id or is_anew:
        return  # another name counts now; or its message went anew, and an idempotent peer gave that name again
    if segment.final_at_ms:
        row = world.journal.messages[token & ~255]
        if row.segments == 1 and row.status is not segment.status:
            raise Violation(f"message {row.key} is {row.status.word}, its segment {segment.status.word}")
        told = {found for found, _ in _receipts_of(world, token)} | world.unnamed.get(token, {}).keys()
        if segment.status not in told:
            raise Violation(f"segment {token} is {segment.status.word}, its receipt said {status.word}")
        return
    message = world.journal.messages[token & ~255]
    if not message.final_at_ms or world.final_at[message.key] > at + 60.0:
        raise Violation(f"receipt {match_id} of segment {token} was acknowledged and lost")


def _receipts_of(world: Scene, token: int) -> list[tuple[Status, float]]:
    """What was acknowledged about a segment, under all the ids it was ever given."""
    return [told for match_id, told in world.acknowledged.items() if world.truth.get(match_id) == token]
