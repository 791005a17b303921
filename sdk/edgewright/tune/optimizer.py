"""Optuna, asked and told: it proposes settings from those that were measured.

Its storage is in memory and filled from the study's own trials, which the store keeps: what a crash leaves
behind is in one place.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from edgewright.boundary import foreign
from edgewright.errors import EdgewrightError

from .setting import Setting
from .space import Space

if TYPE_CHECKING:
    import optuna

#: How often a proposal that was tried already is answered at once before another way is found.
_AGAIN = 12
_STARTUP = 8

Values = tuple[float, float]


class Proposer:
    """A multi-objective, constrained search by tree-structured Parzen estimators.

    Args:
        space: the axes.
        seed: the same seed proposes the same after the same answers.
    """

    def __init__(self, space: Space, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._axes = {
            name: optuna.distributions.CategoricalDistribution(values) for name, values in space.axes.items()
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=True)
        self._study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        self._open: dict[Setting, int] = {}
        self._known: dict[Setting, tuple[Values, tuple[float, ...]]] = {}

    def add(self, setting: Setting, values: Values, excesses: Sequence[float]) -> None:
        """A setting is known to lose and to cost so much, and to break bounds by so much.

        Args:
            excesses: above 0 where a bound is broken; as many each time.
        """
        labels = self._space.labels(setting)
        if labels is None:
            return
        self._known[setting] = (values, tuple(excesses))
        self._tell(labels, values, excesses)

    def propose(self, is_open: Callable[[Setting], bool]) -> Setting | None:
        """A setting that is still open; None when all proposals were tried already.

        Raises:
            EdgewrightError: Optuna failed.
        """
        with foreign(EdgewrightError, "Optuna", silent=False):
            for _ in range(_AGAIN):
                trial = self._study.ask(dict(self._axes))
                setting = self._space.setting({name: str(label) for name, label in trial.params.items()})
                if is_open(setting):
                    self._study.tell(trial, state=_failed())
                    return setting
                self._answer(trial, setting)
        return None

    def _answer(self, trial: optuna.trial.Trial, setting: Setting) -> None:
        if setting in self._known:
            values, excesses = self._known[setting]
            for name, excess in _named(excesses).items():
                trial.set_constraint(name, excess)
            self._study.tell(trial, values)
        else:
            self._study.tell(trial, state=_failed())

    def _tell(self, labels: Mapping[str, str], values: Values, excesses: Sequence[float]) -> None:
        import optuna

        trial = optuna.trial.create_trial(
            params=dict(labels),
            distributions=dict(self._axes),
            values=list(values),
            constraints=_named(excesses),
        )
        self._study.add_trial(trial)


def _failed() -> optuna.trial.TrialState:
    import optuna

    return optuna.trial.TrialState.FAIL


def _named(excesses: Sequence[float]) -> dict[str, float]:
    return {f"bound {place}": excess for place, excess in enumerate(excesses)}


def importances(
    space: Space, tried: Sequence[tuple[Setting, float]], *, fewest: int = 10
) -> dict[str, float] | None:
    """How much each axis bears on a figure, by PED-ANOVA (Watanabe et al., IJCAI 2023); shares add up to 1.

    None when there are too few settings to tell, or they hardly differ.
    """
    import optuna

    axes = {name: values for name, values in space.axes.items() if len(values) > 1}
    known = [(labels, figure) for setting, figure in tried if (labels := space.labels(setting)) is not None]
    if len(known) < fewest or not axes or len({figure for _, figure in known}) < 3:
        return None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="minimize")
    distributions = {
        name: optuna.distributions.CategoricalDistribution(values) for name, values in axes.items()
    }
    for labels, figure in known:
        params = {name: labels[name] for name in axes}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=dict(distributions), value=figure)
        )
    with foreign(EdgewrightError, "Optuna's importances", silent=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
        return optuna.importance.get_param_importances(study, evaluator=evaluator)
