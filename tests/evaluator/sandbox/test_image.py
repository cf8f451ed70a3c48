"""The sandbox image is named by what is in it, and built where that is missing."""

import pytest
from docker.errors import APIError, ImageNotFound

from evaluator.sandbox.image import built
from schemas.errors import UserError


class Images:
    """An engine's images, as far as they are asked for."""

    def __init__(self, *, fails: bool = False) -> None:
        self.images, self.built, self.fails = self, [], fails

    def get(self, tag):
        if tag not in self.built:
            raise ImageNotFound(tag)

    def build(self, *, tag, **_):
        if self.fails:
            raise APIError("no base image")
        self.built.append(tag)


def test_it_is_built_once_for_each_version_of_its_contents(monkeypatch):
    engine = Images()
    tags = [built(engine, "python:3.11"), built(engine, "python:3.11"), built(engine, "python:3.12")]
    monkeypatch.setenv("SANDBOX_PACKAGES", "")
    tags.append(built(engine, "python:3.11"))
    assert tags[0] == tags[1]
    assert len(set(tags)) == len(engine.built) == 3


def test_a_build_that_fails_says_which_variable_helps():
    with pytest.raises(UserError, match="the sandbox image cannot be built: no base image") as refused:
        built(Images(fails=True), "nowhere")
    assert "BASE_IMAGE" in str(refused.value)
