"""`python -m serving` hands over to the command that is named."""

import pytest

from serving.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "shown"), [([], "RUN"), (["bench"], "--against"), (["sign"], "--key")], ids=["serve", "bench", "sign"]
)
def test_every_command_has_its_help(arguments, shown, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    assert shown in capsys.readouterr().out
