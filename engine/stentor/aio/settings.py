"""From the configuration's file to a Config: reads the text, the secrets it points to, and the installed
drivers."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from stentor.aio.access import access_of
from stentor.aio.plugins import Plugins, load_plugins
from stentor.config import Config, ConfigErrors, LocatedError, ReadFile, ReadSecret, Secret, parse
from stentor.config.lines import key_lines, line_of

_CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
_SECRET_LIMIT: Final = 64 * 1024
_FILE_LIMIT: Final = 16 * 1024 * 1024
_LIST_LIMIT: Final = 64 * 1024 * 1024


def load_config(
    path: Path,
    plugins: Plugins | None = None,
    environ: Mapping[str, str] = os.environ,
    is_trial: bool = False,
) -> Config:
    """The configuration in the file ``path``. Raises ConfigErrors, also for a file that cannot be read.

    ``is_trial``: nothing will be run with it, so credentials that only the service has may be missing.
    """
    plugins = load_plugins() if plugins is None else plugins
    text, mode = _read(path)
    secrets, files = secret_reader(environ, is_trial), file_reader(path.parent)
    config = parse(text, plugins.specs, str(path), secrets, plugins.broken, files)
    _check_users(config, text, path)
    if mode & stat.S_IROTH and _holds_secret(config):
        warning = (
            f"{path}: holds a secret and is readable by everyone; chmod o-r it, or use the key's _file form"
        )
        config = msgspec.structs.replace(config, warnings=(*config.warnings, warning))
    return config


def _read(path: Path) -> tuple[str, int]:
    """The file's text and mode."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_LIMIT + 1)
            mode = os.fstat(file.fileno()).st_mode
        if len(content) > _FILE_LIMIT:
            raise _file_error(path, "is larger than 16 MiB; is it a configuration?")
        return content.decode(), mode
    except OSError as error:
        raise _file_error(path, f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise _file_error(path, f"is not UTF-8 at octet {error.start}") from None


def _check_users(config: Config, text: str, path: Path) -> None:
    """A user or group nobody has is a fault of the file like any other."""
    try:
        access_of(config)
    except ConfigErrors as error:
        lines = key_lines(text)
        located = [
            LocatedError(
                fault.path,
                fault.detail,
                fault.suggestion,
                str(path),
                line_of(lines, tuple(fault.path.split("."))),
            )
            for fault in error.errors
        ]
        raise ConfigErrors(str(path), tuple(located)) from None


def secret_reader(environ: Mapping[str, str] = os.environ, is_trial: bool = False) -> ReadSecret:
    """Reads secrets from files and from systemd's credentials directory (systemd.exec(5))."""

    def read(kind: str, name: str) -> Secret:
        if is_trial and kind == "credential" and not environ.get(_CREDENTIALS):
            return Secret("unread", "not checked, for only the service has its credentials")
        path = _credential_path(name, environ) if kind == "credential" else Path(name)
        with path.open("rb") as file:
            content = file.read(_SECRET_LIMIT + 1)
            mode = os.fstat(file.fileno()).st_mode
        if len(content) > _SECRET_LIMIT:
            raise ValueError("it is larger than 64 KiB; is it a secret?")
        text = content.decode().removesuffix("\n").removesuffix("\r")
        warning = f"{path} is readable by everyone; chmod o-r it" if mode & stat.S_IROTH else ""
        return Secret(text, warning)

    return read


def file_reader(folder: Path) -> ReadFile:
    """Reads text files that the configuration in ``folder`` names."""

    def read(name: str) -> str:
        with (folder / name).open("rb") as file:
            content = file.read(_LIST_LIMIT + 1)
        if len(content) > _LIST_LIMIT:
            raise ValueError("it is larger than 64 MiB; is it a list?")
        return content.decode()

    return read


def _credential_path(name: str, environ: Mapping[str, str]) -> Path:
    directory = environ.get(_CREDENTIALS, "")
    if not directory:
        raise ValueError("there is no credentials directory; LoadCredential= in the service's unit makes one")
    if "/" in name or name in (".", ".."):
        raise ValueError("a credential's name is no path")
    return Path(directory, name)


def _holds_secret(config: Config) -> bool:
    sources = (source for channel in config.channels.values() for source in channel.secrets.values())
    return any(source.kind == "value" for source in sources)


def _file_error(path: Path, detail: str) -> ConfigErrors:
    return ConfigErrors(str(path), (LocatedError("", detail, None, str(path)),))
