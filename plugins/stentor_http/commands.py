"""Tools for people who describe carriers: what the entry point in ``stentor.commands`` names.

Each answers with what JSON can hold and never raises; a mapping with the key ``error`` tells what is wrong.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from stentor.address import parse_destination, parse_originator
from stentor.errors import ConfigError, Refusal
from stentor.message import Priority
from stentor.outcome import Submission
from stentor.text.coding import DEFAULT, plan
from stentor_http import catalog
from stentor_http.carrier import Carrier, compile_carrier
from stentor_http.description import Description
from stentor_http.exchange import build

PUBLIC_URL: Final = "https://sms.example.org/in/CHANNEL"
TRIED_AT_MS: Final = 1_800_000_000_000
TOKEN: Final = 0x1A2B3C4D5E6F701
VALID_FOR_S: Final = 86_400


def list_() -> list[dict[str, Any]]:
    """List the carriers that are described here."""
    rows = [_summary(catalog.shipped(name)) for name in catalog.names()]
    # A title says little that the name does not: it is what a narrow screen can do without.
    return [row | {"title": row.pop("title")} for row in rows]


def show(name: str) -> dict[str, Any]:
    """Show what a carrier needs, can do, and must be told at its own site."""
    try:
        path = _path(name)
        return _shown(catalog.check(str(path)), path)
    except ConfigError as error:
        return _fault(error)


def check(file: str) -> dict[str, Any]:
    """Check a description of your own."""
    try:
        return {"right": True} | _summary(catalog.check(file))
    except ConfigError as error:
        return _fault(error)


def try_(
    name: str,
    *,
    to: str,
    text: str = "Hello",
    from_: str = "",
    set: tuple[str, ...] = (),
    flash: bool = False,
    public_url: str = PUBLIC_URL,
    reveal: bool = False,
) -> dict[str, Any]:
    """Show the request that would be sent, without sending it; NAME may be a file.

    ``--set api_key=…`` gives a setting; what is not given stands as ``API_KEY``. Secrets are masked.
    """
    try:
        path = _path(name)
        description = catalog.from_file(str(path))
        settings = catalog.samples(description) | dict(_settings(set))
        carrier = compile_carrier(description, settings, public_url, catalog.code_of(description, path))
        submission = _submission(to, text, from_, flash)
    except ConfigError as error:
        return _fault(error)
    except Refusal as refusal:
        return {"error": {"place": refusal.path.removeprefix("$."), "detail": refusal.detail}}
    return _tried(carrier, submission, reveal)


def _tried(carrier: Carrier, submission: Submission, reveal: bool) -> dict[str, Any]:
    built = build(carrier, [submission], TRIED_AT_MS, "TOKEN" if carrier.needs_token else "")
    if built.outcomes:
        return {"error": {"place": "text", "detail": getattr(built.outcomes[0], "detail", "cannot be sent")}}
    request = built.exchanges[0].request
    hide: Callable[[str], str] = str if reveal else carrier.mask
    return {
        "request": f"{request.method} {hide(request.url)}",
        "fields": {name: hide(value) for name, value in request.fields},
        "body": hide(request.body.decode()),
    }


def _submission(to: str, text: str, originator: str, flash: bool) -> Submission:
    destination = parse_destination(to)
    if originator:
        originator = parse_originator(originator).text
    planned = plan(text, DEFAULT)
    return Submission(
        TOKEN,
        1,
        destination,
        originator,
        planned.encoding,
        b"",
        b"",
        1,
        planned.segments,
        True,
        VALID_FOR_S,
        Priority.NORMAL,
        flash,
        text,
    )


def _settings(given: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = []
    for one in given:
        name, mark, value = one.partition("=")
        if not mark:
            raise ConfigError("set", f"{one} is not NAME=VALUE")
        pairs.append((name, value))
    return pairs


def _path(name: str) -> Path:
    if name in catalog.names():
        return catalog.FOLDER / f"{name}.toml"
    if "/" in name or name.endswith(".toml"):
        return Path(name)
    catalog.shipped(name)
    raise AssertionError("a name that is not shipped has been refused")


def _summary(description: Description) -> dict[str, Any]:
    batch = description.send.batch
    return {
        "name": description.name,
        "title": description.title,
        "batch": batch.max if batch else 1,
        "repeating": description.send.repeat,
        "receipts": description.receipt is not None,
        "inbound": description.mo is not None,
        "signed": bool(description.verify),
        "asked": [name for name in ("lookup", "query", "cancel") if getattr(description, name) is not None],
    }


def _shown(description: Description, path: Path) -> dict[str, Any]:
    carrier = compile_carrier(
        description, catalog.samples(description), PUBLIC_URL, catalog.code_of(description, path)
    )
    urls = {}
    for kind, hook in (("receipt", description.receipt), ("mo", description.mo)):
        if hook is not None:
            urls[kind] = f"{'/'.join(hook.methods)} {PUBLIC_URL}/{kind}?token=HOOK_TOKEN"
    return _summary(description) | {
        "checked": str(description.checked or ""),
        "settings": [
            {
                "name": name,
                "secret": setting.secret,
                "default": setting.default,
                "description": setting.description,
            }
            for name, setting in description.settings.items()
        ],
        "sends": {
            "flash": carrier.takes_flash,
            "binary": carrier.takes_binary,
            "validity": carrier.honours_validity,
            "characters": description.limits.text_characters or None,
        },
        "urls": urls,
        "file": str(path),
    }


def _fault(error: ConfigError) -> dict[str, Any]:
    return {"error": {"place": error.path, "detail": error.detail, "suggestion": error.suggestion}}


COMMANDS: Final[Mapping[str, Callable[..., Any]]] = {"list": list_, "show": show, "check": check, "try": try_}
