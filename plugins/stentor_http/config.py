"""The keys of a channel of driver ``http``, and the client and carrier they make."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, field

from stentor.errors import ConfigError
from stentor.wire.asking import read_proxy
from stentor.wire.calls import InvalidRequest
from stentor_http.carrier import Carrier
from stentor_http.catalog import from_file, load, shipped
from stentor_http.description import OWN_SETTINGS, Description

SECRETS: Final = frozenset({"secret", "proxy_password"})
Seconds = Annotated[float, Meta(gt=0, le=3600)]


class SecretTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A secret setting of the carrier by its name, where there are several."""

    name: Annotated[str, Meta(description="Name of the setting, as `stentor carriers show` lists it.")]
    secret: Annotated[str, Meta(description="Its value.")]


class HTTPConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One account at one carrier that is spoken to over HTTP."""

    carrier: Annotated[str, Meta(description="A carrier known by name: `stentor carriers` lists them.")] = ""
    description: Annotated[
        str, Meta(description="File with a carrier's description, for one that is not known by name.")
    ] = ""
    settings: Annotated[
        dict[str, str], Meta(description="What the carrier needs to know of the account, but for secrets.")
    ] = {}
    secret: Annotated[str, Meta(description="The carrier's secret setting, where it has only one.")] = ""
    secrets: Annotated[tuple[SecretTable, ...], Meta(description="Secret settings by name.")] = ()
    public_url: Annotated[
        str,
        Meta(
            description="Where the carrier reaches this channel from outside, as https://sms.example.org/in/NAME. "
            "Without it no receipts are asked for."
        ),
    ] = ""
    concurrency: Annotated[
        int, Meta(ge=0, le=1000, description="Requests under way at once; 0: what the description advises.")
    ] = 0
    window: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="Messages the channel may hold at once; those without a request yet wait for one. "
            "0: as many as the requests under way carry. A place is free again once a result is in the journal, so a "
            "fast carrier is kept busy by more; after a crash so many may be in doubt.",
        ),
    ] = 0
    obey_rate: Annotated[bool, Meta(description="Keep to the rate that the description advises.")] = True
    query_after_s: Annotated[
        Annotated[float, Meta(ge=0, le=2_592_000)] | None,
        Meta(
            description="How late a receipt may be before the carrier is asked; 0: never. Left out: what "
            "the description advises, where the carrier can be asked."
        ),
    ] = field(default=None, name="query_after")
    connect_timeout: Annotated[Seconds, Meta(description="To a connection, in seconds.")] = 10.0
    answer_timeout: Annotated[
        Seconds, Meta(description="From a request to the first octet of its answer, in seconds.")
    ] = 30.0
    idle_timeout: Annotated[
        Seconds, Meta(description="How long an unused connection is kept, in seconds.")
    ] = 15.0
    verify: Annotated[bool, Meta(description="Verify the carrier's certificate.")] = True
    ca_file: Annotated[str, Meta(description="Authorities to trust in place of the system's.")] = ""
    certificate_file: Annotated[str, Meta(description="Our own certificate, where the carrier asks.")] = ""
    key_file: Annotated[str, Meta(description="Its key, unless it is in the same file.")] = ""
    proxy: Annotated[str, Meta(description="HTTP proxy to go through, as http://host:port.")] = ""
    proxy_user: Annotated[str, Meta(description="Our name at the proxy.")] = ""
    proxy_password: Annotated[str, Meta(description="Our password at the proxy.")] = ""


def load_carrier(config: HTTPConfig) -> Carrier:
    """The carrier of a channel. Raises ConfigError, its path within the channel's table."""
    if bool(config.carrier) is bool(config.description):
        raise ConfigError("carrier", "stands alone or description does", "give exactly one of them")
    try:
        description = shipped(config.carrier) if config.carrier else from_file(config.description)
        return load(config.carrier, config.description, _settings(config, description), config.public_url)
    except ConfigError as error:
        if not config.description or not error.path.startswith(config.description):
            raise
        # The fault is in another file than the one the channel stands in.
        raise ConfigError("description", f"{error.path}: {error.detail}", error.suggestion) from None


def check(config: HTTPConfig) -> None:
    """Raises ConfigError for what cannot work."""
    carrier = load_carrier(config)
    if config.query_after_s and carrier.questions.query is None:
        raise ConfigError("query_after", f"{carrier.name} cannot be asked about messages")
    if config.key_file and not config.certificate_file:
        raise ConfigError("key_file", "needs certificate_file")
    try:
        proxy_url(config)
    except InvalidRequest as error:
        raise ConfigError("proxy", str(error)) from None


def proxy_url(config: HTTPConfig) -> str:
    """The proxy with its credentials, for the client. Raises InvalidRequest."""
    url = config.proxy
    if url and read_proxy(url) and config.proxy_user:
        pair = f"{_quoted(config.proxy_user)}:{_quoted(config.proxy_password)}"
        url = url.replace("http://", f"http://{pair}@", 1)
        read_proxy(url)
    return url


def _quoted(text: str) -> str:
    return "".join(f"%{octet:02X}" for octet in text.encode())


def _settings(config: HTTPConfig, description: Description) -> dict[str, str]:
    """All settings in one. What is secret must stand where it is never shown."""
    secret = {name for name, setting in description.settings.items() if setting.secret}
    for name in config.settings:
        if name in secret or name in OWN_SETTINGS:
            raise ConfigError(
                f"settings.{name}",
                "is a secret and would be shown here",
                'give it as "secret" or in "secrets"',
            )
    found = dict(config.settings)
    for index, table in enumerate(config.secrets):
        if table.name in found:
            raise ConfigError(f"secrets[{index}].name", f'"{table.name}" is given twice')
        found[table.name] = table.secret
    if config.secret:
        needed = sorted(name for name in secret if name not in found)
        if len(needed) != 1:
            names = ", ".join(needed) or "none"
            raise ConfigError("secret", f"is for a carrier that misses one secret; here it is {names}")
        found[needed[0]] = config.secret
    return found
