"""Every path pattern, once, and what wildcards may be. Included first."""

import sys

sys.path.insert(0, str(Path(workflow.basedir) / "workflow_scripts"))

from strata.study.layer_sets import CutModel
from strata.study.plans import PARTS
from strata.study.states import PRETRAINED, State
from strata.study.trained_cuts import TrainedCut
from strata.study.variants import Variant

# Models and tasks, which all studies share.
MODEL = "data/models/{model}"
GIVEN = (
    "data/given/{model}/{number}"  # a checkpoint of a model that is fine-tuned already
)
TASK_FOLDER = "data/tasks/{task}"
TASK = f"{TASK_FOLDER}/task.json"
TRAIN_EXAMPLES = f"{TASK_FOLDER}/train.parquet"
EVAL_EXAMPLES = f"{TASK_FOLDER}/eval.parquet"

CHECKED = "<results>/given/{model}_{task}.json"

# Runs.
TRAIN_TOKENS = "<results>/tokens/{model}_{task}/train.arrow"
EVAL_TOKENS = "<results>/tokens/{model}_{task}/eval.arrow"
RUN = "<results>/runs/{model}_{task}/{variant}/seed{seed}"
CHECKPOINT = f"{RUN}/checkpoint"
PREDICTIONS = f"{RUN}/predictions.parquet"
HISTORY = f"{RUN}/history.csv"
RECORD = f"{RUN}/run.json"
METRICS = f"{RUN}/metrics.json"

# Representations, and what is made of them.
EVAL_ACTIVATIONS = "<results>/activations/{model}_{task}/eval/{state}.h5"
TRAIN_ACTIVATIONS = "<results>/activations/{model}_{task}/train/{state}.h5"
CKA = "<results>/cka/{model}_{task}"
CKA_OF_STATES = f"{CKA}/{{y_state}}.{{x_state}}.csv"
BLOCKS_OF_STATE = f"{CKA}/blocks-{{state}}.csv"
BLOCKS = f"{CKA}.blocks.csv"
CONTROLS = "<results>/controls/{model}_{task}"
CONTROLS_OF_STATE = f"{CONTROLS}/{{state}}.csv"
CKA_MODELS = "<results>/cka-models/{task}"
CKA_OF_MODELS = f"{CKA_MODELS}/{{y_model}}.{{x_model}}.{{state}}.csv"
TRUNCATION = "<results>/truncation/{model}_{task}"
UNTUNED = f"{TRUNCATION}/untuned-{{state}}"
TUNED = f"{TRUNCATION}/tuned-{{state}}"
TUNED_ORIG = f"{TRUNCATION}/tuned-orig-seed{{seed}}"
CALIBRATION = f"{TRUNCATION}.calibration"
EXITS = "<results>/exits/{model}_{task}"
SKIPPING = "<results>/skipping/{model}_{task}"
SKIPPING_OF_STATE = f"{SKIPPING}/{{state}}.csv"
SKIPPED = f"{SKIPPING}/{{state}}.parquet"
SUMMARY = "<results>/summary"
SUMMARY_OF_PAIR = f"{SUMMARY}/{{model}}_{{task}}.csv"
VERDICTS = f"{SUMMARY}/{{model}}_{{task}}.verdicts.csv"
CLAIMS = "<results>/claims"
READINGS = f"{CLAIMS}/{{model}}_{{task}}.csv"
EXPORT = "<results>/export/{model}_{task}/depth{depth}"
EXPORTED_LAYERS = "<results>/export/{model}_{task}/{cut}"
EXPORTED_TRAINED = "<results>/export/{model}_{task}/{trained}"
EXPORTED = "<results>/export/{model}_{task}/{exported}"  # any of these
EXPORTED_ONNX = f"{EXPORTED}.onnx"

# Which layers to keep. Examples are parted by what they decide: on the withheld ones of train, or
# on one half of eval, layers are chosen; on eval, or its other half, they are judged.
EXAMPLES = "<results>/examples/{task}"
KEPT_TRAIN = f"{EXAMPLES}/train.parquet"
WITHHELD = f"{EXAMPLES}/withheld.parquet"
CHOOSING_HALF = f"{EXAMPLES}/choose.parquet"
JUDGING_HALF = f"{EXAMPLES}/judge.parquet"
FRONTIER = "<results>/frontier"
FRONTIER_OF_PAIR = f"{FRONTIER}/{{model}}_{{task}}"
SETS = f"{FRONTIER_OF_PAIR}/{{state}}"
COSTS = f"{FRONTIER_OF_PAIR}/costs.csv"
CUT_ANSWERS = f"{RUN}/answers.parquet"  # of a model that was cut and then trained
TRAINING = f"{FRONTIER_OF_PAIR}.training"
FRONTIER_ONNX = f"{FRONTIER_OF_PAIR}.onnx"

# The companion studies.
REINIT = "<results>/reinit"
REINIT_PART = f"{REINIT}/{{model}}_{{task}}/{{part}}.csv"
PERMUTATION_CORRELATIONS = f"{REINIT}/permutation_correlations.csv"
VARIABILITY = "<results>/variability/{model}_{task}"
NU = f"{VARIABILITY}/nu.csv"
NU_FINDING = f"{VARIABILITY}/finding.csv"
NU_COST = f"{VARIABILITY}/cost.csv"
SELECTED_LESS_LAST = f"{VARIABILITY}/selected_less_last.csv"
ROBUSTNESS = f"{VARIABILITY}/robustness"
AGREEMENT = "<results>/agreement"
AGREEMENT_OF_PAIR = f"{AGREEMENT}/{{model}}_{{task}}"
MOVEMENT = f"{AGREEMENT_OF_PAIR}/movement.csv"
FINDING = f"{AGREEMENT_OF_PAIR}/finding.csv"
METHOD_CORRELATIONS = f"{AGREEMENT}/correlations"

FIGURE = "<results>/figures/figure"


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
