"""What the supervisor hands over is hashes and limits, and nothing unknown."""

import pytest
from pydantic import ValidationError

from serving.gateway.settings import GatewaySettings

GIVEN = {
    "attestor_sha256": "a" * 64,
    "api_key_sha256": None,
    "body_bytes": 1,
    "body_seconds": 1.0,
    "concurrent_requests": 1,
}


def test_settings_survive_the_file():
    settings = GatewaySettings(**GIVEN)
    assert GatewaySettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("odd", [{"attestor_sha256": "the secret itself"}, {"api_key": "key"}])
def test_a_secret_in_clear_or_an_unknown_setting_is_refused(odd):
    with pytest.raises(ValidationError):
        GatewaySettings(**GIVEN | odd)
