"""Commands that moved: what people type goes on working, and says where it went where it cannot."""

import pytest

from schemas.errors import UserError
from schemas.hand_over import hand_over


def test_a_command_that_moved_runs_with_its_arguments(tmp_path, capsys):
    assert hand_over("schemas", ["docs", str(tmp_path)]) == 0
    assert "configuration.md" in capsys.readouterr().out


def test_without_the_package_the_message_is_the_command_to_run():
    with pytest.raises(UserError, match=r"python -m absent study\.yaml") as refused:
        hand_over("absent", ["study.yaml"])
    assert "docker compose run --rm absent study.yaml" in str(refused.value)
