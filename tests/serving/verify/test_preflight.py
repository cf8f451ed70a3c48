"""What is refused at once, before any file of a run is read."""

import socket
import subprocess
import sys

import pytest

from schemas.errors import UserError
from serving.verify.preflight import require_free_port


def test_a_port_in_use_is_refused_at_once_with_exit_code_2(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match="Address already in use"):
            require_free_port("127.0.0.1", port)
        command = [sys.executable, "-m", "serving", str(tmp_path), "--port", str(port)]
        finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 2
    assert "Address already in use" in finished.stderr
    assert "Traceback" not in finished.stderr
