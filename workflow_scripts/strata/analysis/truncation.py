"""Truncation: the head on the representation of every depth (Phang et al. 2021, section 4).

UNTUNED applies the run's head as it is; TUNED tunes it further at each depth; TUNEDORIG tunes a
fresh head on the pretrained encoder; both are also tuned to convergence. Each gives a table of
predictions, from which scores are computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.activations import Activations
from strata.data.task import Task
from strata.evaluation.predictions import prediction_table, score_table
from strata.modeling.converged import Converged, tune_both, tune_converged
from strata.modeling.head import Head
from strata.modeling.head_tuning import HeadInputs, Stack, head_logits, repeat_head, tune_heads
from strata.study.settings import HeadSettings


@dataclass(frozen=True)
class Splits:
    """Representations of a state's train and eval examples, of one task."""

    train: Activations
    eval: Activations
    task: Task


def untuned(evaluated: Activations, head: Head, task: Task) -> pd.DataFrame:
    """Predictions of the run's own head at every depth, without training."""
    stack = repeat_head(head, len(evaluated.depths()))
    return _predictions(evaluated, task, head, stack, "untuned")


@dataclass(frozen=True)
class Tuned:
    """Tuned heads of every depth, and their predictions.

    Attributes
    ----------
    predictions : DataFrame
        The prediction table of every configuration.
    recipes : DataFrame
        How each configuration's heads were tuned: columns configuration, depth and RECIPE.
    heads : Stack
        Heads of the last configuration, (depths, ...), for unchanged vectors.
    """

    predictions: pd.DataFrame
    recipes: pd.DataFrame
    heads: Stack

    def scores(self, task: Task, seed: int) -> pd.DataFrame:
        """The seed, scores (see ``predictions.score_table``) and recipes."""
        table = score_table(self.predictions, task)
        table.insert(0, "seed", seed)
        return table.merge(self.recipes, on=["configuration", "depth"], how="left")


# What the table of a tuned configuration says besides its scores: the configuration that its head
# comes from, the learning rate, whether that is the lowest or highest in the grid, the score of
# trial heads on withheld train examples, and the number of these.
RECIPE = ["recipe", "learning_rate", "grid_end", "withheld", "n_withheld"]


def tuned(splits: Splits, head: Head, settings: HeadSettings, seed: int) -> Tuned:
    """TUNED: the run's head tuned further at every depth of its frozen encoder.

    Configurations: ``tuned`` with the given recipe (the paper's), ``tuned-converged`` to
    convergence, ``tuned-best`` the better of the two at each depth on withheld train examples (see
    ``converged.tune_both``); without settings for convergence, the same as ``tuned``.
    """
    inputs = _inputs(splits.train, splits.task)
    if settings.converged is None:
        stack = tune_heads(head, inputs, settings, seed)
        plain = _plain(splits, head, settings, stack, "tuned")
        return _joined(plain, _best(plain, plain, np.zeros(len(inputs.vectors), dtype=bool), stack))
    both = tune_both(head, inputs, settings, seed)
    plain = _plain(splits, head, settings, both.plain, "tuned", both.plain_withheld)
    plain.recipes["n_withheld"] = both.converged.n_withheld
    converged = _converged(splits, head, both.converged, "tuned-converged")
    return _joined(plain, converged, _best(plain, converged, both.takes_converged, both.best))


def tuned_orig(splits: Splits, head: Head, settings: HeadSettings, seed: int) -> Tuned:
    """TUNEDORIG: a fresh head tuned at every depth of the frozen pretrained encoder.

    Configurations: ``tuned-orig`` with the given recipe and, with settings for convergence,
    ``tuned-orig-converged``.
    """
    inputs = _inputs(splits.train, splits.task)
    stack = tune_heads(head, inputs, settings, seed)
    plain = _plain(splits, head, settings, stack, "tuned-orig")
    if settings.converged is None:
        return plain
    converged = tune_converged(head, inputs, settings, seed)
    return _joined(plain, _converged(splits, head, converged, "tuned-orig-converged"))


def _plain(
    splits: Splits,
    head: Head,
    settings: HeadSettings,
    stack: Stack,
    configuration: str,
    withheld: np.ndarray | None = None,
) -> Tuned:
    recipe = {"learning_rate": settings.learning_rate, "withheld": withheld}
    return _configuration(splits, head, stack, configuration, recipe)


def _converged(splits: Splits, head: Head, converged: Converged, configuration: str) -> Tuned:
    recipe = {
        "learning_rate": converged.rates,
        "grid_end": converged.grid_ends,
        "withheld": converged.withheld,
        "n_withheld": converged.n_withheld,
    }
    made = _configuration(splits, head, converged.stack, configuration, recipe)
    ends = made.recipes[made.recipes["grid_end"].isin(["lowest", "highest"])]
    for end, rows in ends.groupby("grid_end"):
        depths = ", ".join(map(str, rows["depth"]))
        print(f"{configuration}: the {end} rate of the grid is the best at depth {depths}")
    return made


def _configuration(
    splits: Splits, head: Head, stack: Stack, configuration: str, recipe: Mapping[str, Any]
) -> Tuned:
    predictions = _predictions(splits.eval, splits.task, head, stack, configuration)
    depths = {"configuration": configuration, "depth": splits.eval.depths()}
    recipes = pd.DataFrame({**depths, "recipe": configuration, **recipe})
    return Tuned(predictions, recipes.reindex(columns=[*depths, *RECIPE]), stack)


def _best(plain: Tuned, converged: Tuned, taken: np.ndarray, stack: Stack) -> Tuned:
    """The rows of each depth's better heads, as a separate configuration."""
    depths = plain.recipes["depth"][taken]

    def pick(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        first, second = tables
        rows = [first[~first["depth"].isin(depths)], second[second["depth"].isin(depths)]]
        picked = pd.concat(rows).sort_values("depth", kind="stable", ignore_index=True)
        return picked.assign(configuration="tuned-best")

    both = (plain, converged)
    return Tuned(pick([t.predictions for t in both]), pick([t.recipes for t in both]), stack)


def _joined(*configurations: Tuned) -> Tuned:
    """Several configurations in one; the heads are the last one's."""
    return Tuned(
        pd.concat([each.predictions for each in configurations], ignore_index=True),
        pd.concat([each.recipes for each in configurations], ignore_index=True),
        configurations[-1].heads,
    )


def _inputs(activations: Activations, task: Task) -> HeadInputs:
    labels = activations.examples()["label"].to_numpy()
    return HeadInputs(activations.vectors(), labels, task)


def _predictions(
    evaluated: Activations, task: Task, head: Head, stack: Stack, configuration: str
) -> pd.DataFrame:
    logits = head_logits(head, stack, _inputs(evaluated, task))
    examples, depths = evaluated.examples(), evaluated.depths()
    return prediction_table(examples, logits, depths, configuration, task)
