"""Shapes in signatures are checked while tests run, from a function's first call on, and nothing changes by it."""

import random

import jaxtyping
import pytest
import torch
from when_called import check

from harness.ops.labels import one_hot, overlay

MASK = torch.zeros(4, 5, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (overlay, (MASK, MASK[:3])),  # two sizes for one name
        (overlay, (MASK, MASK.float())),
        (one_hot, (MASK[0], (1,))),  # an axis is missing
        (one_hot, (MASK, ("1",))),  # an item of a sequence
    ],
)
def test_a_shape_or_type_that_the_signature_denies_is_refused(function, arguments):
    for _ in range(2):  # the first call, which puts the checker on, and a later one
        with pytest.raises(jaxtyping.TypeCheckError):
            function(*arguments)


def test_a_value_that_the_signature_denies_is_refused():
    @jaxtyping.jaxtyped(typechecker=check)
    def shrink(mask: jaxtyping.UInt8[torch.Tensor, "H W"]) -> jaxtyping.UInt8[torch.Tensor, "H W"]:
        return mask[1:]

    with pytest.raises(jaxtyping.TypeCheckError):
        shrink(MASK)


def test_checking_draws_none_of_everybodys_random_numbers():
    before = random.getstate()
    assert one_hot(MASK, (1, 2, 3)).shape == (3, 4, 5)
    assert random.getstate() == before
