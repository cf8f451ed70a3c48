"""python -m studies make-base: what is asked for is what is made."""

from dataclasses import replace

import pytest

from studies.synthetic import make_base as command
from studies.synthetic.base import RECIPES, Course
from studies.synthetic.corpus import INSTRUCTIONS


def test_a_base_is_written_by_the_named_recipe(tmp_path, monkeypatch):
    short = replace(RECIPES["study_deep"], courses=(Course(1, 512, INSTRUCTIONS),))
    monkeypatch.setitem(RECIPES, "study_deep", short)
    assert command.main([str(tmp_path / "base"), "--recipe", "study_deep"]) == 0
    assert '"num_hidden_layers": 12' in (tmp_path / "base/config.json").read_text()
    assert (tmp_path / "base/model.safetensors").is_file()


def test_an_unknown_recipe_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["out", "--recipe", "huge"])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert all(recipe in told for recipe in RECIPES)
