"""A method where it lives: the frames that warm it up, and what holds around it while it works."""

from contextlib import contextmanager

import pytest

from harness.api.contracts import BuildContext, Method
from harness.hosting import here
from harness.hosting.here import WARM_UP_FRAMES, Hosted


class Copies:
    def propagate(self, video, prompts):
        yield from ()


def context(config: object = None, device: str = "cpu") -> BuildContext:
    return BuildContext("one-shot", config, device=device, precision="fp32", weights=None, seed=0)


def card(build=lambda context: Copies()) -> Method:
    return Method(name="copies", tasks=("one-shot",), build=build)


def warm_up_of(host: Hosted, *shape: int) -> int:
    with host.clocks(*shape) as clocks:
        for _ in range(5):
            clocks.time(lambda: None, lambda made: made)
        return clocks.timing({}).warm_up


def test_the_first_video_of_each_size_and_number_of_objects_warms_up():
    host = Hosted.build(card(), context())
    shapes = [(480, 854, 1), (480, 854, 1), (480, 910, 1), (480, 854, 3), (480, 910, 1)]
    assert [warm_up_of(host, *shape) for shape in shapes] == [WARM_UP_FRAMES, 0, WARM_UP_FRAMES, WARM_UP_FRAMES, 0]


@pytest.mark.parametrize(("others", "left"), [(0.25, 0.5), (0.875, 0.0)])
def test_the_cpu_time_of_a_lap_is_without_that_of_the_harness_itself_and_never_below_0(monkeypatch, others, left):
    spent, apart = iter([0, 750_000_000]), iter([1.0, 1.0 + others])
    monkeypatch.setattr("harness.api.timing.time.process_time_ns", lambda: next(spent))
    with Hosted.build(card(), context()).clocks(8, 8, 1) as clocks:
        clocks.cpu_seconds_apart = lambda: next(apart)
        clocks.time(lambda: None, lambda made: made)
        assert clocks.timing({}).model_cpu == [left]


class Rounding:
    tf32 = True


@pytest.mark.parametrize(("config", "rounds"), [(None, False), (Rounding(), True)])
def test_a_method_is_built_and_works_on_its_device_with_the_products_it_asked_for(monkeypatch, config, rounds):
    entered: list[object] = []

    @contextmanager
    def note(device, *, tf32):
        entered.append((device, tf32))
        yield
        entered.append("left")

    monkeypatch.setattr(here, "work_on", note)
    host = Hosted.build(card(lambda context: entered.append("built") or Copies()), context(config))
    assert entered == [("cpu", rounds), "built", "left"]
    with host.clocks(8, 8, 1) as clocks:
        clocks.time(lambda: entered.append("asked"), lambda made: made)
    assert entered[3:] == [("cpu", rounds), "asked", "left"]
