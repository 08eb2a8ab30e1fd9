"""A rule by name: found, asked about, and refused where it does not measure what the task returns."""

import pytest

from harness.api.contracts import RULES
from harness.api.errors import UsageError
from harness.api.tasks import TASKS
from harness.catalog import Catalog
from harness.planning.rules import choose_rule, find_rule


@pytest.fixture(scope="module")
def catalog():
    return Catalog.load()


def test_no_name_is_the_benchmarks_own_rule(catalog):
    mini = catalog.benchmarks.get("mini")
    assert find_rule(None) is None
    assert choose_rule(None, mini, TASKS["one-shot"], catalog) is mini.rules["one-shot"]


def test_a_wrong_name_is_asked_about():
    with pytest.raises(UsageError, match=r"davis-2016-frame-maen.*did you mean.*davis-2016-frame-mean"):
        find_rule("davis-2016-frame-maen")


@pytest.mark.parametrize(
    ("name", "task", "said"),
    [
        ("youtube-vis", "object-zvos", r"youtube-vis/1 measures tracks \(track_ap\), and object-zvos returns masks"),
        ("davis-2016-frame-mean", "vis", r"measures masks \(j_and_f\), and vis returns tracks"),
    ],
)
def test_a_rule_that_measures_something_else_is_refused_and_those_that_fit_are_named(catalog, name, task, said):
    with pytest.raises(UsageError, match=said) as refused:
        choose_rule(RULES[name], catalog.benchmarks.get("mini"), TASKS[task], catalog)
    fits = "coco-class-agnostic" if task == "vis" else "merged-frame-mean"
    assert fits in refused.value.hint
    assert name not in refused.value.hint.split(": ")[1].split(", ")


def test_a_rule_about_prompts_is_for_tasks_that_have_some(catalog):
    mini = catalog.benchmarks.get("mini")
    assert choose_rule(RULES["from-prompt"], mini, TASKS["one-shot"], catalog) is RULES["from-prompt"]
    with pytest.raises(UsageError, match="scores objects after their prompts, and instance-zvos has none"):
        choose_rule(RULES["from-prompt"], mini, TASKS["instance-zvos"], catalog)
