"""Where descriptions come from: those shipped with the driver by name, a user's own from a file."""

import difflib
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stentor.errors import ConfigError
from stentor_http.carrier import Carrier, compile_carrier
from stentor_http.code import FUNCTIONS, Code
from stentor_http.description import Description, fault
from stentor_http.parsing import parse

FOLDER: Final = Path(__file__).with_name("carriers")


def names() -> tuple[str, ...]:
    """The shipped carriers, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def shipped(name: str) -> Description:
    """Raises ConfigError at ``carrier`` for a name that is not shipped, with the nearest as suggestion."""
    return _read(_shipped_path(name))


def from_file(path: str) -> Description:
    """A user's own. Raises ConfigError whose path is ``FILE: key.of.the.fault``."""
    return _read(Path(path))


def load(carrier: str, file: str, settings: Mapping[str, str], public_url: str = "") -> Carrier:
    """The carrier of a channel: ``carrier`` names one that is shipped, else ``file`` one of the user's. Raises
    ConfigError."""
    path = _shipped_path(carrier) if carrier else Path(file)
    description = _read(path)
    return _compiled(description, path, settings, public_url)


def check(path: str) -> Description:
    """A user's description, tried as a channel would use it: with a word in place of each setting. Raises
    ConfigError with the place of the first fault."""
    description = from_file(path)
    _compiled(description, Path(path), samples(description), "https://sms.example.org/in/x")
    return description


def _compiled(description: Description, path: Path, settings: Mapping[str, str], public_url: str) -> Carrier:
    """Raises ConfigError that names the file, as those of reading it do."""
    try:
        return compile_carrier(description, settings, public_url, code_of(description, path))
    except ConfigError as error:
        mark = f"{description.name}: "
        if not error.path.startswith(mark):
            raise
        raise ConfigError(
            f"{path}: {error.path.removeprefix(mark)}", error.detail, error.suggestion
        ) from None


def samples(description: Description) -> dict[str, str]:
    """Settings to try a description with: its defaults, and the name in capitals where there is none."""
    found = {"hook_token": "HOOK_TOKEN"}
    for name, setting in description.settings.items():
        is_url = "url" in name.split("_") or "host" in name.split("_")
        sample = "https://carrier.example" if is_url else name.upper()
        found[name] = sample if setting.default is None else setting.default
    return found


def code_of(description: Description, path: Path) -> Code:
    """The functions of the Python file beside a description. Raises ConfigError when it cannot be loaded."""
    if not description.code:
        return Code()
    if not re.fullmatch(r"\w+\.py", description.code):
        raise fault(str(path), "code", "names a Python file beside the description")
    file = path.with_name(description.code)
    spec = importlib.util.spec_from_file_location(f"stentor_http_code_{file.stem}", file)
    assert spec is not None, "a path that ends with .py has a loader"
    assert spec.loader is not None, "a path that ends with .py has a loader"
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise fault(
            str(path), "code", f"{file.name} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return Code(**{name: getattr(module, name, None) for name in FUNCTIONS}, file=file.name)


def _shipped_path(name: str) -> Path:
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"there are {', '.join(names())}"
        raise ConfigError("carrier", f'no description of "{name}" is shipped', hint)
    return FOLDER / f"{name}.toml"


def _read(path: Path) -> Description:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        detail = getattr(error, "strerror", None) or "is not UTF-8"
        raise ConfigError(str(path), f"cannot be read: {detail}") from None
    return parse(text, str(path))
