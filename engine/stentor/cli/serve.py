"""``stentor serve`` and ``stentor check``: the two commands that read the configuration."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from stentor.aio.settings import load_config
from stentor.cli.errors import DONE, WRONG_USAGE, CommandError
from stentor.cli.screen import counted, paint, say, say_json, warn
from stentor.config import Config, ConfigErrors, effective
from stentor.errors import ConfigError, StentorError


def serve(options: argparse.Namespace) -> int:
    """Run the daemon until it is told to stop."""
    try:
        return int(import_module("stentor.aio.daemon").serve(Path(options.config), _announce))
    except ConfigError as error:
        raise CommandError(_faults(error), WRONG_USAGE) from None
    except StentorError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise CommandError(f"{place}{error.strerror or error}") from None


def _announce(line: str) -> None:
    """Whoever waits for this line may read it through a pipe."""
    say(line)
    sys.stdout.flush()


def check(options: argparse.Namespace) -> int:
    """Validate; 2 and every fault if it cannot be used."""
    if options.json:
        return _check_json(options.config)
    config = _load(options.config)
    for warning in config.warnings:
        warn(warning)
    if options.effective:
        say(effective(config).rstrip("\n"))
    else:
        counts = f"{counted(len(config.channels), 'channel')}, {counted(len(config.routes), 'route')}"
        say(f"{options.config}: {paint('valid', 'green')}, {counts}")
    return DONE


def _check_json(path: str) -> int:
    try:
        config = load_config(Path(path), is_trial=True)
    except ConfigErrors as error:
        faults = [
            {"line": fault.line, "path": fault.path, "detail": fault.detail, "suggestion": fault.suggestion}
            for fault in error.errors
        ]
        say_json({"valid": False, "errors": faults, "warnings": []})
        return WRONG_USAGE
    say_json({"valid": True, "errors": [], "warnings": config.warnings, "effective": effective(config)})
    return DONE


def _load(path: str) -> Config:
    try:
        return load_config(Path(path), is_trial=True)
    except ConfigErrors as error:
        raise CommandError(_faults(error), WRONG_USAGE) from None


def _faults(error: ConfigError) -> str:
    if isinstance(error, ConfigErrors) and len(error.errors) > 1:
        return f"{len(error.errors)} faults in the configuration\n{error}"
    return str(error)
