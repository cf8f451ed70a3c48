"""The hub is asked once; a machine that cannot reach it goes on with what is cached."""

from __future__ import annotations

import huggingface_hub.constants
import pytest

from schemas.base.hub import go_offline_if_unreachable


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


def test_a_hub_that_does_not_answer_is_not_asked_again(online, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert go_offline_if_unreachable() is True
    assert huggingface_hub.constants.HF_HUB_OFFLINE is True
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: pytest.fail("it was asked again"))
    assert go_offline_if_unreachable() is True
