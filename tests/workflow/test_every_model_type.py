"""Every model type from its folder to the smaller model by Snakemake (`make test-all`)."""

import json

import pandas as pd
import pytest
import yaml
from transformers import AutoModelForSequenceClassification

from helpers import model_types, tiny
from helpers.workflows import RECIPE, Workflow, copy_workflow, merge, write_tasks

pytestmark = pytest.mark.nightly
FEW = {"training": {"max_steps": 20, "warmup_steps": 2}, "heads": {"steps": 20}}


@pytest.mark.parametrize("kind", model_types.CONFIGS)
def test_a_model_type_is_fine_tuned_looked_at_and_cut(kind, tmp_path, planner, jobs):
    folder = tmp_path / "source/model"
    model_types.model(kind, initializer_range=0.3).base_model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    study = {
        "outdir": "results/one",
        "study": {
            "models": ["one"],
            "tasks": ["entail"],
            "seeds": [1],
            "analyses": ["cka", "truncation", "skipping", "export"],
            "skipping": ["one"],
            "figure1": {"model": "one", "task": "entail"},
        },
        "models": {"one": {"source": "path:source/model"}},
        "tasks": {"entail": write_tasks(tmp_path / "source/tasks", "source/tasks")["entail"]},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(merge(merge(RECIPE, FEW), study)))
    workflow = Workflow(copy_workflow(tmp_path / "workflow"), tmp_path, planner, jobs)
    target = "results/one/export/one_entail/depth2"
    workflow.configured("all", target, "--cores", "1")
    small = AutoModelForSequenceClassification.from_pretrained(tmp_path / target)
    assert small.config.num_hidden_layers == 2
    scores = pd.read_csv(tmp_path / "results/one/truncation/one_entail.csv")
    untuned = scores.query("configuration == 'untuned' and depth == 4")["value"].item()
    full = scores.query("configuration == 'full'")["value"].item()
    assert untuned == pytest.approx(full, abs=0.011)  # at most one answer of 96, by rounding
    record = json.loads((tmp_path / "results/one/runs/one_entail/full/seed1/run.json").read_text())
    assert record["layers"] == 4
