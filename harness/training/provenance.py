"""Where weights come from and what there is to know of them, as their metadata keep it."""

from __future__ import annotations

import json

from harness.api.errors import ContractError
from harness.api.foreign import blame
from harness.api.learning import Learner, Stage, StatesFacts
from harness.api.weights_facts import PREFIX, check_facts
from harness.training.plan import TrainingPlan


def describe_weights(
    plan: TrainingPlan, stage: Stage, learner: Learner, *, steps: int, score: float | None
) -> dict[str, str]:
    """The metadata of weights after so many ``steps``; ``score`` is what they were validated with."""
    told = {
        "method": plan.method.name,
        "config": json.dumps(plan.settings["config"], sort_keys=True),
        "data": plan.data,
        "data_licence": plan.licence,
        "iterations": str(steps),
        "seed": str(plan.request.seed),
        "validation": "",
    }
    if score is not None and plan.validation is not None:
        told["validation"] = f"{plan.training.metric} {score:.6f} on {plan.validation.bench}"
    if stage.name:
        told["stage"] = stage.name
    if plan.providers:
        told["providers"] = json.dumps(plan.settings["providers"], sort_keys=True)
    return told | _facts_of(plan.method.name, learner)


def _facts_of(method: str, learner: Learner) -> dict[str, str]:
    if not isinstance(learner, StatesFacts):
        return {}
    with blame(f"the facts of {method}'s learner cannot be stored", ContractError):
        return {f"{PREFIX}{name}": value for name, value in check_facts(dict(learner.facts())).items()}
