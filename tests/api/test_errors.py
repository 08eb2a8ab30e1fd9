"""The error family: one exit code each, and what a message carries."""

import pytest

from harness.api import errors

EXIT_CODES = {
    errors.GateFailed: 1,
    errors.UsageError: 2,
    errors.DataError: 3,
    errors.DataProblems: 3,
    errors.PluginError: 4,
    errors.ContractError: 4,
    errors.CausalityError: 4,
    errors.MethodFailed: 5,
    errors.EnvironmentProblem: 6,
    errors.CannotWrite: 6,
    errors.IncompletePredictions: 7,
    errors.VerificationFailed: 8,
}


@pytest.mark.parametrize(("error", "code"), EXIT_CODES.items())
def test_each_error_has_its_exit_code(error, code):
    assert error.exit_code == code
    assert issubclass(error, errors.HarnessError)


def test_no_error_was_forgotten_above():
    family = {thing for thing in vars(errors).values() if isinstance(thing, type) and thing.__mro__[1:2] != (object,)}
    assert {error for error in family if issubclass(error, errors.HarnessError)} - {errors.HarnessError} == set(
        EXIT_CODES
    )


def test_the_hint_is_the_next_step():
    assert str(errors.DataError("no frames in /x", hint="harness data check mini")) == (
        "no frames in /x\n  next: harness data check mini"
    )


def test_a_message_without_hint_stands_alone():
    assert str(errors.DataError("no frames in /x")) == "no frames in /x"


def test_a_name_among_many_gets_its_nearest_and_a_few_of_them():
    known = ["bear", "bmx-trees", "dog", "goat", "gold-fish", *(f"clip {number}" for number in range(91))]
    assert errors.UsageError.unknown("video", ["bmx-tree", "x"], known, of="davis17-val").message == (
        "davis17-val has no video 'bmx-tree' (did you mean 'bmx-trees'?) and no video 'x'; "
        "known: bear, bmx-trees, dog, goat, gold-fish ... (96 in all)"
    )


def test_few_names_are_all_listed():
    assert "known: a, b, c" in errors.UsageError.unknown("rule", "x", "abc").message
