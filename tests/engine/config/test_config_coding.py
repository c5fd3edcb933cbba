"""How a channel's carrier takes texts: from the file to where messages are admitted."""

import pytest

from stentor.aio.plugins import load_plugins
from stentor.config import ConfigErrors, effective, parse
from stentor.text.coding import Coding
from stentor.text.languages import Language


def test_how_a_channel_takes_texts_reaches_the_route_table() -> None:
    smpp = load_plugins().specs
    channel = '[channels.a]\ndriver = "smpp"\nhost = "127.0.0.1"\nsystem_id = "x"\n'
    config = parse(channel + 'long_messages = "udh16"\nnational_languages = ["turkish"]\n', smpp)
    coding = config.channel_defaults["a"].coding
    assert coding == Coding(languages=(Language.TURKISH,), wide_reference=True)
    assert parse(channel, smpp).channel_defaults["a"].coding == Coding()


def test_impossible_combinations_of_a_drivers_keys_are_named() -> None:
    text = (
        '[channels.a]\ndriver = "smpp"\nhost = "127.0.0.1"\nsystem_id = "x"\n'
        'default_alphabet = "latin1"\nnational_languages = ["turkish"]\n'
    )
    with pytest.raises(ConfigErrors) as caught:
        parse(text, load_plugins().specs)
    (error,) = caught.value.errors
    assert (error.path, error.line) == ("channels.a.national_languages", 6)
    assert error.suggestion is not None


def test_data_codings_are_given_one_by_one_and_dumped_whole() -> None:
    smpp = load_plugins().specs
    channel = (
        '[channels.a]\ndriver = "smpp"\nhost = "127.0.0.1"\nsystem_id = "x"\ndata_codings = { ucs2 = 24 }\n'
    )
    config = parse(channel, smpp)
    codings = config.channels["a"].settings.data_codings
    assert (codings.gsm7, codings.ucs2, codings.binary, codings.latin1) == (0, 24, 4, 3)
    again = parse(effective(config), smpp)
    assert again.channels["a"].settings == config.channels["a"].settings
    with pytest.raises(ConfigErrors) as caught:
        parse(channel.replace("24", "256"), smpp)
    assert caught.value.errors[0].path == "channels.a.data_codings.ucs2"
    with pytest.raises(ConfigErrors):
        parse(channel.replace("ucs2 =", "usc2 ="), smpp)
