"""Every path pattern (of ``strata.study.paths``), and what wildcards may be. Included first."""

import sys

sys.path.insert(0, str(Path(workflow.current_basedir).parent / "workflow_scripts"))

from strata.study.layer_sets import CutModel
from strata.study.paths import *  # all of it is patterns, by their names
from strata.study.plans import PARTS
from strata.study.states import PRETRAINED, State
from strata.study.trained_cuts import TrainedCut
from strata.study.variants import Variant


wildcard_constraints:
    model="[a-z0-9-]+",
    task="[a-z0-9-]+",
    y_model="[a-z0-9-]+",
    x_model="[a-z0-9-]+",
    seed="[0-9]+",
    number="[1-9][0-9]*",
    variant=Variant.PATTERN,
    state=State.KEPT,
    y_state=State.KEPT,
    x_state=State.KEPT,
    part="|".join(PARTS),
    depth="[0-9]+|-auto|-within",
    cut=f"layers-auto(?:_head)?|{CutModel.PATTERN}",
    trained=f"layers-auto_trained|{TrainedCut.PATTERN}",
    exported="|".join(
        [
            "depth(?:[0-9]+|-auto|-within)",
            "layers-auto(?:_head|_trained)?",
            CutModel.PATTERN,
            TrainedCut.PATTERN,
        ]
    ),
