"""What code from elsewhere raises: crashes are told from a real Ctrl-C, and always have words."""

import os
import signal

import pytest

from harness.api.errors import DataError, MethodFailed
from harness.api.foreign import Interrupted, blame, describe_error, hear_interrupts, is_interrupt


class Wordless(BaseException):
    def __str__(self):
        raise ValueError("no words")


def test_an_error_whose_str_fails_is_described_all_the_same():
    assert describe_error(Wordless()) == "Wordless: it cannot say more, its str() raises ValueError"


def test_half_a_character_in_a_message_is_spelled_out():
    assert describe_error(ValueError("half \udc80")) == r"ValueError: half \udc80"


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), Wordless(), ValueError("x")])
def test_whatever_is_raised_is_blamed_on_whose_code_it_is(error):
    with pytest.raises(MethodFailed, match=rf"metric m: {type(error).__name__}"), blame("metric m", MethodFailed):
        raise error


def test_errors_of_ours_pass_as_they_are():
    with pytest.raises(DataError, match="gone"), blame("metric m", MethodFailed):
        raise DataError("gone")


def test_a_real_ctrl_c_is_told_from_one_that_a_plugin_raises():
    with hear_interrupts():
        with pytest.raises(Interrupted), blame("a plugin", MethodFailed):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(MethodFailed, match="a plugin: KeyboardInterrupt"), blame("a plugin", MethodFailed):
            raise KeyboardInterrupt


def test_where_nobody_hears_the_signal_every_keyboard_interrupt_may_be_real():
    assert is_interrupt(KeyboardInterrupt())
    assert not is_interrupt(SystemExit(0))


def test_a_signal_that_would_end_the_process_is_heard_where_that_is_asked_for_and_once():
    before = signal.getsignal(signal.SIGTERM)
    with hear_interrupts(signal.SIGTERM) as heard:
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        assert heard == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # a second one ends it
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_fork_of_a_process_that_hears_is_ended_in_silence():
    with hear_interrupts(signal.SIGTERM):
        child = os.fork()
        if not child:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                signal.pause()
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == signal.SIGTERM


def test_a_signal_that_somebody_handles_already_is_left_to_them():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with hear_interrupts(signal.SIGHUP) as heard:
            os.kill(os.getpid(), signal.SIGHUP)
        assert heard == []
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
