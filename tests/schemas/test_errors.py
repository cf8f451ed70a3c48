"""Every command ends with its documented exit code and one clear message."""

import errno
import os
import signal

import pytest

from schemas.errors import Diverged, Interrupted, UserError, run_command


def outcome(main, capsys):
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as stop:
            run_command(main, [])
    finally:
        signal.signal(signal.SIGTERM, handler)
    return stop.value.code, capsys.readouterr().err


def raising(error):
    def main(argv):
        raise error

    return main


def test_a_command_that_succeeds_exits_0(capsys):
    assert outcome(lambda argv: 0, capsys) == (0, "")


def test_a_user_error_says_what_where_and_what_next(capsys):
    code, said = outcome(raising(UserError("no such file", where="a.yaml", fix="make it")), capsys)
    assert code == 2
    assert said.splitlines() == ["error: no such file", "  where: a.yaml", "  fix:   make it"]


def test_a_diverged_run_has_an_exit_code_of_its_own(capsys):
    assert outcome(raising(Diverged("the loss is nan", fix="a lower rate")), capsys) == (
        5,
        "error: the loss is nan\n  fix:   a lower rate\n",
    )


def test_ctrl_c_exits_130_and_says_what_was_kept(capsys):
    assert outcome(raising(Interrupted("kept step 7; run it again")), capsys) == (130, "kept step 7; run it again\n")
    assert outcome(raising(KeyboardInterrupt()), capsys)[0] == 130


def test_sigterm_exits_143(capsys):
    def main(argv):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    assert outcome(main, capsys)[0] == 143


def test_a_full_disk_is_a_user_error(capsys):
    code, said = outcome(raising(OSError(errno.ENOSPC, "full", "runs/a")), capsys)
    assert code == 2
    assert "no space left" in said
    assert "runs/a" in said


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO])
def test_a_file_that_the_system_refuses_is_a_user_error(capsys, number):
    code, said = outcome(raising(OSError(number, os.strerror(number), "runs/a")), capsys)
    assert code == 2
    assert os.strerror(number).lower() in said
    assert "runs/a" in said


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda argv: 1 // 0, [])
