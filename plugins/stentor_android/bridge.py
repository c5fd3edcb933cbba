"""What the third-party API asks of the fleet: who has a login, which phones are his, and what to tell them.

Pure: events for phones are collected in the core for the shell to write.
"""

from collections.abc import Callable, Sequence

import msgspec

from stentor_android.core import Core
from stentor_android.dates import date_text
from stentor_android.devices import Device
from stentor_android.protocol import Credentials
from stentor_android.push import EXPORT, SETTINGS, WEBHOOKS
from stentor_android.thirdparty import PhoneBody
from stentor_android.thirdparty_inbox import Refresh
from stentor_android.thirdparty_tokens import Login


class Bridge:
    """Both of what that API needs: the logins there are, and the phones of each. ``account`` is whose messages its
    clients submit, ``is_barred`` whether whoever asks now has tried too many passwords."""

    def __init__(self, core: Core, account: str, is_barred: Callable[[], bool]) -> None:
        self._core = core
        self._account = account
        self._is_barred = is_barred

    def check(self, login: str, password: str) -> Login | None:
        credentials = Credentials("basic", login=login, password=password)
        found = self._core.registry.account(credentials, self._is_barred())
        return None if found is None else Login(found.login, self._account)

    def find(self, login: str) -> Login | None:
        return Login(login, self._account) if self._core.registry.has_account(login) else None

    def listed(self, login: str) -> Sequence[PhoneBody]:
        return [
            PhoneBody(
                phone.id,
                phone.name,
                date_text(phone.created_at_ms),
                date_text(phone.seen_at_ms),
                date_text(phone.seen_at_ms),
                # Its clients want the slot of each, also of the first, which is 0.
                [{**msgspec.to_builtins(sim), "slotIndex": sim.slot_index} for sim in phone.sims] or None,
            )
            for phone in (device.phone for device in self._devices(login))
        ]

    def remove(self, login: str, device_id: str) -> bool:
        device = self._core.fleet.devices.get(device_id)
        if device is None or device.phone.login != login:
            return False
        self._core.remove(device.phone.name)
        self._core.write()
        return True

    def hooks_changed(self, login: str) -> None:
        self._tell(self._devices(login), WEBHOOKS)

    def settings_changed(self, login: str) -> None:
        self._tell(self._devices(login), SETTINGS)

    def refresh_inbox(self, login: str, refresh: Refresh) -> bool:
        wanted = refresh.device_id
        devices = [each for each in self._devices(login) if wanted in (None, each.phone.id)]
        self._tell(devices, EXPORT, refresh.values())
        return bool(devices)

    def _devices(self, login: str) -> list[Device]:
        return [each for each in self._core.fleet.devices.values() if each.phone.login == login]

    def _tell(self, devices: Sequence[Device], name: str, values: dict[str, str] | None = None) -> None:
        for device in devices:
            self._core.told += self._core.push.tell(device.phone.id, name, values)
