"""``python -m stentor.cli.reference``: the table of all keys as it stands in config/README.md."""

from stentor.aio.plugins import load_plugins
from stentor.cli.screen import say
from stentor.config import reference

if __name__ == "__main__":
    say(reference(load_plugins().specs).rstrip("\n"))
