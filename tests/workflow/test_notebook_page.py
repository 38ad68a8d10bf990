"""What notebooks read, on finished studies: every analysis's tables, and the page's example."""

import re
import runpy
import sys

import pytest

from helpers.workflows import REPOSITORY
from strata.analysis.study import TABLES, read_study

PAGE = (REPOSITORY / "docs/notebooks.md").read_text()
# The page's names, and those of the tests' study, whose models have fewer layers.
OWN = {
    "results/demo": "results/tiny",
    "minilm": "roberta",
    "polarity": "entail",
    "depths[5]": "depths[3]",
    "depths[6]": "depths[4]",
    "at(6)": "at(4)",
}
# By the study that makes them; those of skipping and of early exit are of some pairs alone.
SHOWN = {
    "study": "summary verdicts claims claim-readings cka blocks cka-models controls truncation "
    "calibration history",
    "companions": "reinit permutation-correlations nu nu-finding nu-cost robustness selection "
    "selected-less-last agreement findings method-correlations",
    "mine": "frontier frontier-answers frontier-onnx costs",
}


@pytest.mark.parametrize("name", SHOWN)
def test_every_table_is_found_where_its_analysis_writes_it(name, request):
    workflow = request.getfixturevalue(name)
    outdir = {"study": "tiny"}.get(name, name)
    study = read_study(workflow.folder / "results" / outdir)
    tables = study.tables.loc[SHOWN[name].split()]
    # ALBERT's layers share their weights: none of them is reinitialised alone.
    missing = tables.index[tables["made"] < tables["of"]].difference(["reinit"])
    assert missing.empty and (tables["made"] > 0).all(), tables
    assert all(len(study.table(table)) for table in tables.index)


def test_every_table_is_looked_for():
    assert set(TABLES) == {*" ".join(SHOWN.values()).split(), "skipping", "exits"}


def test_the_pages_example_runs_as_it_stands(study, monkeypatch, tmp_path):
    monkeypatch.chdir(study.folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    for name, own in OWN.items():
        assert name in code
        code = code.replace(name, own)
    (tmp_path / "page.py").write_text(code)
    made = runpy.run_path(str(tmp_path / "page.py"))
    assert made["study"].models == ["albert", "electra", "roberta"]
    assert made["study"].table("skipping")["model"].unique().tolist() == ["albert", "roberta"]
    assert set(made["study"].table("exits")["task"]) == {"entail", "endings"}
    assert 0 < made["share"] <= 1 and len(made["depths"]) == 96
