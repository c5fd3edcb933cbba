"""The repository as its rules see it: where it is, which modules it has, what each imports."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Folder -> what its modules' names are relative to.
SOURCE_ROOTS = {"engine": ROOT / "engine", "plugins": ROOT / "plugins", "bench": ROOT, "tests": ROOT}


@dataclass(frozen=True)
class Module:
    """One Python file: its dotted name, its path below the repository and its text."""

    name: str
    path: str
    text: str
    is_package: bool = False

    @property
    def folder(self) -> str:
        """The top-level folder: engine, plugins, bench or tests."""
        return self.path.partition("/")[0]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Every module below the given top-level folders, all of them by default."""
    return tuple(
        _module(path, folder) for folder in folders or SOURCE_ROOTS for path in _python_files(folder)
    )


def imported(module: Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each import, wherever it stands; ``from a import b`` gives ``a.b``."""
    package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, node.module] if node.module else base)
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def text_files() -> Iterator[Path]:
    """Every file of the repository that people write: no caches, no environment, nothing hidden but .ci."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part not in (".ci", ".gitignore") for part in parts)
        if path.is_file() and not hidden and "__pycache__" not in parts and parts[0] not in ("var", "dist"):
            yield path


def _python_files(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def _module(path: Path, folder: str) -> Module:
    parts = path.relative_to(SOURCE_ROOTS[folder]).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    return Module(name, str(path.relative_to(ROOT)), path.read_text(), is_package)
