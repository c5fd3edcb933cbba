"""Entry points of the group ``stentor.drivers`` -> DriverSpecs by name.

Whatever is wrong with a plugin is a value, so that a broken one that nobody uses stops nothing. A problem
becomes a ConfigError only when a channel names the driver; the reader of the configuration sees to that.
"""

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import msgspec

from stentor.config.schema import ENGINE_KEYS
from stentor.driver import CONTRACT_VERSION, DriverSpec

GROUP: Final = "stentor.drivers"


class PluginProblem(msgspec.Struct, frozen=True):
    """Why the driver ``name`` cannot be used. ``value`` is what its entry point names."""

    name: str
    value: str
    reason: str


class Plugins(msgspec.Struct, frozen=True):
    """What is installed: usable drivers by name, and what is wrong with the others."""

    specs: dict[str, DriverSpec]
    problems: tuple[PluginProblem, ...] = ()

    @property
    def broken(self) -> dict[str, str]:
        """Reasons by driver name."""
        return {problem.name: problem.reason for problem in self.problems}


def load_plugins(points: Iterable[EntryPoint] | None = None) -> Plugins:
    """Import and check every driver. ``points`` stands for the installed entry points. Never raises for a
    plugin."""
    by_name: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=GROUP) if points is None else points:
        # One package found twice on the path names the same object twice; that is no conflict.
        by_name.setdefault(point.name, {})[point.value] = point
    specs: dict[str, DriverSpec] = {}
    problems: list[PluginProblem] = []
    for name, candidates in sorted(by_name.items()):
        values = ", ".join(sorted(candidates))
        if len(candidates) > 1:
            reason = f"several plugins call themselves so: {values}; uninstall all but one"
            problems.append(PluginProblem(name, values, reason))
            continue
        spec, reason = _load(next(iter(candidates.values())))
        if spec is None:
            problems.append(PluginProblem(name, values, reason))
        else:
            specs[name] = spec
    return Plugins(specs, tuple(problems))


def _load(point: EntryPoint) -> tuple[DriverSpec | None, str]:
    """The spec, or None and what is wrong with it."""
    try:
        spec = point.load()
    except (Exception, SystemExit) as error:  # a stranger's module may raise anything while it is imported
        return None, f"{point.value} cannot be imported: {type(error).__name__}: {error}"
    if not isinstance(spec, DriverSpec):
        return None, f"{point.value} is no DriverSpec but {type(spec).__name__}"
    if spec.contract != CONTRACT_VERSION:
        needed = "a newer stentor" if spec.contract > CONTRACT_VERSION else "a newer version of the plugin"
        return (
            None,
            f"it is written for contract {spec.contract}, this is contract {CONTRACT_VERSION}; use {needed}",
        )
    if spec.name != point.name:
        return None, f'its entry point says "{point.name}", its spec "{spec.name}"'
    return (spec, "") if not (reason := _config_problem(spec)) else (None, reason)


def _config_problem(spec: DriverSpec) -> str:
    if not (isinstance(spec.config, type) and issubclass(spec.config, msgspec.Struct)):
        return "its config is no msgspec.Struct"
    if not spec.config.__struct_config__.forbid_unknown_fields:
        return "its config Struct lacks forbid_unknown_fields"
    fields = msgspec.structs.fields(spec.config)
    if taken := sorted(ENGINE_KEYS & {item.encode_name for item in fields}):
        return f"its config claims keys of the engine: {', '.join(taken)}"
    if missing := sorted(spec.secrets - {item.name for item in fields}):
        return f"it lists secrets that its config has not: {', '.join(missing)}"
    return ""
