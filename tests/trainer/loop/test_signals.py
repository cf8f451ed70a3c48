"""Ctrl-C and SIGTERM become a request; a second Ctrl-C is not one."""

from __future__ import annotations

import os
import signal

import pytest

from trainer.loop.signals import StopRequest


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_a_request_with_its_exit_code(signum: int, code: int) -> None:
    with StopRequest() as stop:
        assert stop.exit_code is None
        os.kill(os.getpid(), signum)
        assert stop.exit_code == code


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    with StopRequest():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_afterwards_signals_mean_what_they_meant_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
