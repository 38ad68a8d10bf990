"""Train a model after cutting it: on labels, or on the full model's outputs."""

from dataclasses import replace

from strata.modeling.compute import gpu_job

inputs, params, out, wildcards = (
    snakemake.input, snakemake.params, snakemake.output, snakemake.wildcards
)  # fmt: skip
with gpu_job(snakemake):
    from strata.data.batches import Rows
    from strata.data.parts import CHOOSE, JUDGE
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit
    from strata.evaluation.prediction_files import write_predictions
    from strata.modeling.cut_training import answers_of_cut, cut_before_training
    from strata.modeling.distillation import unlearn
    from strata.modeling.run_job import make_run
    from strata.study.run_records import RunRecord
    from strata.study.settings import DistillationSettings, ForwardSettings, Sample
    from strata.study.trained_cuts import TrainedCut

    cut, task = TrainedCut.parse(wildcards.variant), Task.read(inputs.task)
    full = inputs.get("full") or None
    distillation = DistillationSettings(**params.ablation)

    def prepare(model):
        cut_before_training(model, cut, full, task, distillation)
        return {}

    def finish(model, tokenizer):
        unlearn(model)
        model.save_pretrained(out.checkpoint)
        tokenizer.save_pretrained(out.checkpoint)
        max_length = length_limit(params.max_length, inputs.model, tokenizer)
        files = {CHOOSE: (inputs.choose, params.choose_sample)}
        files[JUDGE] = (inputs.judge, params.judge_sample)
        parts = {
            part: Rows(tokenizer, read_examples(path, Sample(**sample)), max_length)
            for part, (path, sample) in files.items()
        }
        forward = ForwardSettings(**params.forward)
        write_predictions(answers_of_cut(model, cut, parts, task, forward), out.answers)

    make_run(snakemake, prepare=prepare, finish=finish)
    note = f"{cut.about.words}; cut to layers {cut.kept}" + f" of {full}" * cut.about.from_finetuned
    replace(RunRecord.read(out.run), notes=[note]).write(out.run)
