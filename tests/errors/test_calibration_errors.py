"""How often calibrated answers look miscalibrated, and miscalibrated ones are seen."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from helpers.rates import at_least, at_most, publish, repeats
from strata.analysis.calibration import bin_gaps, calibration_noise

SIZES = (100, 277, 1_043, 5_000)


def above_noise(examples, classes, sharpness, repeat):
    """Whether answers look miscalibrated, their error, and the noise estimated for them.

    Labels are drawn from the softmax of logits; the stated one is of `sharpness` times these.
    """
    rng = np.random.default_rng([examples, classes, repeat])
    logits = 1.5 * rng.normal(size=(examples, classes))
    edges = softmax(logits, axis=1).cumsum(1)[:, :-1]
    labels = (rng.random((examples, 1)) > edges).sum(1)
    stated = softmax(sharpness * logits, axis=1)
    confidence, right = stated.max(1), stated.argmax(1) == labels
    error, noise = bin_gaps(confidence, right[None])[0], calibration_noise(confidence, repeat)
    return error > np.quantile(noise, 0.95), error, noise.mean()


@pytest.mark.parametrize("classes", (2, 3))
@pytest.mark.parametrize("examples", SIZES)
def test_calibrated_answers_are_above_the_noise_in_5_percent(examples, classes):
    count = repeats(60, 500)
    found = np.array([above_noise(examples, classes, 1.0, repeat) for repeat in range(count)])
    above, error, noise = found[:, 0].sum(), found[:, 1].mean(), found[:, 2].mean()
    assert above <= at_most(0.05, count)
    assert noise == pytest.approx(error, rel=0.1)


def test_overconfident_answers_are_seen():
    """Twice as confident as they should be, with a thousand examples or more."""
    count = repeats(20, 200)
    found = sum(above_noise(1_043, 3, 2.0, repeat)[0] for repeat in range(count))
    assert found >= at_least(0.95, count)


def test_table_of_calibration():
    count = repeats(2, 500)
    rows = []
    for examples in SIZES:
        for classes in (2, 3):
            row: dict[str, float] = {"examples": examples, "classes": classes}
            for name, sharpness in (
                ("calibrated", 1.0),
                ("1.25 times as sure", 1.25),
                ("1.5 times", 1.5),
                ("twice", 2.0),
            ):
                found = [above_noise(examples, classes, sharpness, r)[:2] for r in range(count)]
                above, errors = zip(*found, strict=True)
                if sharpness == 1:
                    row["mean error, calibrated"] = float(np.mean(errors))
                row[name] = float(np.mean(above))
            rows.append(row)
    table = pd.DataFrame(rows)
    assert (table["twice"] >= table["calibrated"]).all()
    publish("calibration", table)
