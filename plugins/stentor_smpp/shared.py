"""What the binds of one channel share: configuration, host, packer, counters, the last error, and who may connect when.

Owns no connection. Counters have a fixed set of names but for one for each listed command_status.
"""

from typing import Final

from stentor.driver import Host
from stentor_smpp import tls
from stentor_smpp.addresses import Addressing
from stentor_smpp.config import SMPPConfig
from stentor_smpp.connection import UNANSWERED_PAUSE
from stentor_smpp.detect import Detector, Finding, Ids
from stentor_smpp.link import SessionSettings
from stentor_smpp.matching import Mode
from stentor_smpp.outcomes import Verdicts
from stentor_smpp.pdu import Limits
from stentor_smpp.places import Place
from stentor_smpp.questions import Questions
from stentor_smpp.reports import Reports
from stentor_smpp.session import INTERFACE_VERSION
from stentor_smpp.states import Role
from stentor_smpp.status import lookup
from stentor_smpp.submitting import Packer
from stentor_smpp.tables import TLSTable
from stentor_smpp.timers import TimerSettings
from stentor_smpp.turnstile import Turnstile

COUNTERS: Final = (
    "late_responses",
    "unexpected_responses",
    "malformed_pdus",
    "ignored_pdus",
    "unreadable_receipts",
    "receipts_read_again",
    "alert_notifications",
    "congestion_steps",
    "unasked",
    "unanswered_questions",
    "queries_refused",
    "cancels_refused",
)


class Shared:
    """One channel's."""

    def __init__(self, config: SMPPConfig, host: Host) -> None:
        self.config = config
        self.host = host
        self.ids = Detector() if config.message_ids == "auto" else Ids(Mode(config.message_ids))
        self.reports = Reports(config, self.ids)
        self.verdicts = Verdicts(config.statuses)
        self._packers = (Packer(config), Packer(config, may_send_tlvs=False))
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.questions = Questions(
            config.queries_in_flight, Addressing(config).source, self.reports.meaning, self.counters
        )
        self.last_error: str | None = None
        self.last_error_at_ms = 0
        self.tls = _tls_table(config)
        self._context: tls.Context | None = None
        self._settings: dict[int, SessionSettings] = {}
        self._turnstiles: dict[object, Turnstile] = {}

    def settings(self, window: int) -> SessionSettings:
        """Of a session with this window; questions to the carrier go beside it."""
        settings = self._settings.get(window)
        if settings is None:
            settings = self._settings[window] = _session_settings(self.config, window)
        return settings

    def turnstile(self, place: Place) -> Turnstile:
        """That of the place's login."""
        turnstile = self._turnstiles.get(place.login)
        if turnstile is None:
            turnstile = self._turnstiles[place.login] = Turnstile(self.host.clock.now, self.host.random)
        return turnstile

    def open_turnstiles(self) -> None:
        """The channel ends: nobody waits any longer."""
        for turnstile in self._turnstiles.values():
            turnstile.open()

    def context(self) -> "tls.Context | None":
        """For a new connection; None without TLS. Raises OSError for files that cannot be used."""
        if self.tls is not None and self._context is None:
            self._context = tls.make_context(self.tls)
        return self._context

    def forget_context(self) -> None:
        """Something was wrong with TLS: the files may be other ones by the next attempt."""
        self._context = None

    def packer(self, peer_version: int | None) -> Packer:
        """For an SMSC of this version. One that announces none is taken to know the TLVs it has us configured for."""
        with_tlvs, without = self._packers
        if peer_version is None or peer_version >= INTERFACE_VERSION or self.config.tlvs_to_old_peers:
            return with_tlvs
        if with_tlvs.sends_tlvs:
            self.host.log.warning("the SMSC takes no TLVs: sent without", version=f"0x{peer_version:02X}")
        return without

    def found_ids(self, found: Finding) -> None:
        """It was found out how receipts name messages; what was read in another way is read again."""
        self.host.log.info("message ids found", ids=found.dress.value, after_receipts=found.evidence)
        if found.receipts:
            self.counters["receipts_read_again"] += len(found.receipts)
            self.host.receive(found.receipts, self._read_again)

    def _read_again(self, is_durable: bool) -> None:
        if not is_durable:
            self.host.log.warning("receipts read again were not stored")

    def fail(self, text: str) -> None:
        """Remember and report what went wrong last. Never holds a secret."""
        if text != self.last_error:
            self.host.log.warning("link trouble", detail=text)
        self.last_error, self.last_error_at_ms = text, self.host.clock.wall_ms()

    def count_status(self, status: int) -> None:
        info = lookup(status)
        # Codes without a name share a counter: there are four thousand million of them.
        name = f"status_{info.name}" if info.is_listed else "status_unlisted"
        self.counters[name] = self.counters.get(name, 0) + 1


def _tls_table(config: SMPPConfig) -> TLSTable | None:
    if isinstance(config.tls, TLSTable):
        return config.tls
    return TLSTable() if config.tls else None


def _session_settings(config: SMPPConfig, window: int) -> SessionSettings:
    return SessionSettings(
        role=Role.ESME,
        window=window + config.queries_in_flight,
        peer_window=max(10_000, 2 * UNANSWERED_PAUSE),
        timers=TimerSettings(
            bind_response_s=config.connect_s,
            enquire_link_s=config.enquire_link_s,
            enquire_response_s=config.enquire_response_s,
            response_s=config.response_s,
        ),
        limits=Limits(are_passwords_long=True),
        reads_receipts=True,
    )
