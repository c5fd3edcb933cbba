"""The list of modules in engine/ARCHITECTURE.md, made from the modules' own first sentences.

``python -m tests.support.modules`` writes it anew; tests/test_docs.py compares.
"""

import ast
from collections import defaultdict
from pathlib import Path

from tests.support.source import ROOT

ARCHITECTURE = ROOT / "engine" / "ARCHITECTURE.md"
HEADING = "## 8. Modules\n"
FLOOR_NAMES = {
    1: "Floor 1 · vocabulary",
    1.5: "Floor 1.5 · the driver contract",
    2: "Floor 2 · cores",
    2.1: "Floor 2.1 · pacing",
    2.2: "Floor 2.2 · the journal",
    2.3: "Floor 2.3 · scheduling",
    2.4: "Floor 2.4 · settling",
    2.5: "Floor 2.5 · the dispatcher",
    3: "Floor 3 · interfaces",
    4: "Floor 4 · shells",
    5: "Floor 5 · assembly",
    3.5: "Beside · testing",
}


def module_list() -> str:
    """The section's text below its heading."""
    from tests.test_layers import floor

    rows: dict[float, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "engine").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / "engine").with_suffix("").parts).removesuffix(".__init__")
        rows[floor(name)].append(f"| `{name}` | {first_sentence(path)} |")
    parts = ["\nOne line each, from the first sentence of the module itself; a test compares.\n"]
    for number, title in FLOOR_NAMES.items():
        parts.append(f"\n### {title}\n\n| module | owns |\n| --- | --- |\n" + "\n".join(rows[number]) + "\n")
    return "".join(parts)


def first_sentence(path: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(docstring.split("\n\n")[0].replace("``", "`").replace("|", "\\|").split())


def main() -> None:
    head = ARCHITECTURE.read_text().partition(HEADING)[0]
    ARCHITECTURE.write_text(head + HEADING + module_list())


if __name__ == "__main__":
    main()
