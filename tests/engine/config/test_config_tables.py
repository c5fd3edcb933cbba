"""Tables inside a driver's table are read, written and documented key by key, like any section of the file."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, field

from stentor.config import ConfigErrors, effective, parse, reference
from stentor.driver import Capabilities, DriverSpec
from stentor.errors import ConfigError


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table inside a driver's table."""

    weight: Annotated[int, Meta(ge=1, description="How heavy it is.")]
    pause_s: Annotated[float, Meta(description="How long it rests.")] = field(default=0.0, name="pause")
    note: Annotated[str, Meta(description="What to say.")] | None = None


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys that a driver's table inherits."""

    late: Annotated[int, Meta(description="Comes last.")] = 0


class Settings(Base, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tables alone, in a list, and by name."""

    alone: Annotated[Rule, Meta(description="One.")] = Rule(weight=1)
    listed: Annotated[tuple[Rule, ...], Meta(description="Several.")] = ()
    named: Annotated[dict[str, Rule | Literal["light", "heavy"]], Meta(description="By name.")] = field(
        default_factory=dict
    )
    words: Annotated[dict[str, Literal["up", "down"]], Meta(description="Words.")] = field(
        default_factory=dict
    )


def _check(settings: Settings) -> None:
    for index, rule in enumerate(settings.listed):
        if rule.note == "wrong":
            raise ConfigError(f"listed[{index}].note", "is wrong")
    if "a[b" in settings.words:
        raise ConfigError("words.a[b", "is odd")


def _unused(*_: Any) -> Any:
    raise AssertionError("configuration makes no driver")


SPECS = {
    "fax": DriverSpec(
        name="fax",
        contract=1,
        config=Settings,
        capabilities=lambda settings: Capabilities(),
        make=_unused,
        check=_check,
    )
}
CHANNEL = '[channels.alpha]\ndriver = "fax"\n'


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("alone = 5", "3: channels.alpha.alone: must be a table, not a whole number"),
        ("alone = {}", "3: channels.alpha.alone.weight: is missing"),
        (
            "[[channels.alpha.listed]]\nweight = 1\n[[channels.alpha.listed]]\nweight = 0",
            "6: channels.alpha.listed[1].weight: must be at least 1",
        ),
        ("listed = [5]", "3: channels.alpha.listed[0]: must be a table, not a whole number"),
        ("listed = 5", "3: channels.alpha.listed: must be a list, not a whole number"),
        (
            'listed = [\n{ weight = 1 },\n{ weight = 1, note = "wrong" }]',
            "3: channels.alpha.listed[1].note: is wrong",
        ),
        (
            '[channels.alpha.named]\n"0x45" = { weight = 1, pause = "3 parsecs" }',
            '4: channels.alpha.named.0x45.pause: "3 parsecs" is no duration; write a number and its unit, like '
            '"250ms", "30s", "5m", "48h"',
        ),
        (
            '[channels.alpha.named]\n"0x45" = "heavi"',
            '4: channels.alpha.named.0x45: must be one of "light", "heavy" (did you mean "heavy"?)',
        ),
        (
            '[channels.alpha.named."a b"]\nweight = 1\nnoet = "x"',
            '5: channels.alpha.named.a b.noet: unknown key (did you mean "note"?)',
        ),
        ("named = 5", "3: channels.alpha.named: must be a table, not a whole number"),
        (
            '[channels.alpha.words]\nx = "up"\ny = "dwon"',
            '5: channels.alpha.words.y: must be one of "up", "down" (did you mean "down"?)',
        ),
        ('[channels.alpha.words]\n"a[b" = "up"', "3: channels.alpha.words.a: is odd"),
    ],
)
def test_a_fault_inside_names_its_full_path_and_what_would_be_right(keys: str, expected: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse(CHANNEL + keys + "\n", SPECS, "f")
    assert [str(error).removeprefix("f:") for error in caught.value.errors] == [expected]


def test_what_is_written_back_means_the_same() -> None:
    config = parse(
        CHANNEL
        + 'late = 4\nalone = { weight = 3, pause = "2m" }\n'
        + 'listed = [{ weight = 1, note = "\\"" }, { weight = 2 }]\n'
        + 'named = { "0x45" = "light", "a b" = { weight = 9 } }\nwords = { x = "up" }\n',
        SPECS,
    )
    assert parse(effective(config), SPECS) == config
    assert config.channels["alpha"].settings == Settings(
        late=4,
        alone=Rule(weight=3, pause_s=120.0),
        listed=(Rule(weight=1, note='"'), Rule(weight=2)),
        named={"0x45": "light", "a b": Rule(weight=9)},
        words={"x": "up"},
    )


def test_the_reference_has_a_table_for_each_and_inherited_keys_last() -> None:
    text = reference(SPECS)
    for title in ("[channels.NAME.alone]", "[[channels.NAME.listed]]", "[channels.NAME.named.KEY]"):
        assert f'### `{title} with driver = "fax"`' in text
    assert text.count('| `pause` | duration | `"0s"` | How long it rests. |') == 3
    assert '| `named` | table of `"light"`, `"heavy"` | `{}` | By name. |' in text
    keys = [line.split("`")[1] for line in text.partition('driver = "fax"`')[2].splitlines()[4:9]]
    assert keys == ["alone", "listed", "named", "words", "late"]
