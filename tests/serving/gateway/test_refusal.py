"""What a client reads when it is refused."""

import pytest

from serving.gateway.refusal import Refusal


@pytest.mark.parametrize(("status", "kind"), [(400, "invalid_request_error"), (503, "server_error")])
def test_the_error_has_openais_form(status, kind):
    error = Refusal(status, "why", "code").body()["error"]
    assert error == {"message": "why", "type": kind, "param": None, "code": "code"}
