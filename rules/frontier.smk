"""Which layers to keep: chosen on some examples, judged on others, with what each choice costs."""


rule withhold_examples:
    input:
        train=TRAIN_EXAMPLES,
    output:
        train=KEPT_TRAIN,
        withheld=WITHHELD,
    log:
        "<logs>/withhold_examples/{task}.log",
    benchmark:
        "<benchmarks>/withhold_examples/{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        share=WITHHELD_SHARE,
        code=code_of("withhold_examples"),
    message:
        "Withhold train examples of {wildcards.task} for choosing layers"
    script:
        "../workflow_scripts/withhold_examples.py"


rule halve_eval:
    input:
        examples=EVAL_EXAMPLES,
    output:
        choose=CHOOSING_HALF,
        judge=JUDGING_HALF,
    log:
        "<logs>/halve_eval/{task}.log",
    benchmark:
        "<benchmarks>/halve_eval/{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        sample=EVAL_SAMPLE,
        code=code_of("halve_eval"),
    message:
        "Halve the eval examples of {wildcards.task}, to choose layers and to judge"
    script:
        "../workflow_scripts/halve_eval.py"


rule choose_layers:
    input:
        model=tokenizer_of_state,
        checkpoint=checkpoint_of_state,
        task=TASK,
        examples=CHOOSING_EXAMPLES,
    output:
        sets=f"{SETS}.sets.csv",
        measured=f"{SETS}.measured.csv",
    log:
        "<logs>/choose_layers/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/choose_layers/{model}_{task}_{state}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        max_length=max_length_of,
        sample=CHOOSING_SAMPLE,
        forward=FORWARD,
        exhaustive=config["frontier"]["exhaustive"],
        code=code_of(
            "choose_layers", "architecture", "head_style", "task_type", "metric"
        ),
    message:
        "Choose layers: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/choose_layers.py"


rule dump_sets:
    input:
        model=tokenizer_of_state,
        checkpoint=checkpoint_of_state,
        task=TASK,
        sets=f"{SETS}.sets.csv",
        train=lambda w: TRAINED_ON if has_train(w) else [],
        choose=CHOOSING_EXAMPLES,
        judge=JUDGING_EXAMPLES,
    output:
        vectors=temp(f"{SETS}.h5"),
    log:
        "<logs>/dump_sets/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/dump_sets/{model}_{task}_{state}.tsv"
    # Before trainings after the cut: more waits for it, and they fill the cores meanwhile.
    priority: 5
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
        disk_mb=sets_disk_mb,
    params:
        max_length=max_length_of,
        train_sample=TRAIN_SAMPLE,
        choose_sample=CHOOSING_SAMPLE,
        judge_sample=EVAL_SAMPLE,
        forward=FORWARD,
        code=code_of("dump_sets", "architecture", "head_style", "task_type"),
    message:
        "Vectors of layer sets: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/dump_sets.py"


rule score_sets:
    input:
        vectors=f"{SETS}.h5",
        checkpoint=checkpoint_of_state,
        task=TASK,
    output:
        answers=f"{SETS}.parquet",
        heads=f"{SETS}.safetensors",
    log:
        "<logs>/score_sets/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/score_sets/{model}_{task}_{state}.tsv"
    # Runs before another dump, since its file is deleted when this one ends.
    priority: 10
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        heads=heads_of,
        code=code_of("score_sets", "architecture", "head_style", "task_type", "metric"),
    message:
        "Layer sets as they are and with tuned heads: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/score_sets.py"


# Which models are trained after the cut. While a checkpoint waits, Snakemake deletes no temporary
# file of the whole study. So this is not part of choose_layers, which studies without such models
# also have, and it runs before dumps of activations.
checkpoint plan_cuts:
    input:
        sets=f"{SETS}.sets.csv",
    output:
        names=f"{SETS}.cuts.txt",
    log:
        "<logs>/plan_cuts/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/plan_cuts/{model}_{task}_{state}.tsv"
    priority: 15
    conda:
        "../envs/strata.yaml"
    params:
        settings={key: CUT_TRAINING[key] for key in ("sizes", "sets", "ways")},
        possible=lambda w: cut_ways(config, w.model),
        code=code_of("plan_cuts"),
    message:
        "What is trained after the cut: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/plan_cuts.py"


# The recipe, leases and resumption of any run, on a model that was cut first. Its weights are
# deleted when nothing needs them any more, unless frontier.training keeps them.
rule train_cut:
    input:
        model=model_to_cut,
        full=full_run_of_cut,
        train=TRAINED_ON,
        eval=EVAL_EXAMPLES,
        train_tokens=TRAIN_TOKENS,
        eval_tokens=EVAL_TOKENS,
        choose=CHOOSING_EXAMPLES,
        judge=JUDGING_EXAMPLES,
        task=TASK,
    output:
        checkpoint=(directory(CHECKPOINT) if KEEP_CUT else temp(directory(CHECKPOINT))),
        answers=CUT_ANSWERS,
        predictions=PREDICTIONS,
        history=HISTORY,
        run=RECORD,
    log:
        "<logs>/train_cut/{model}_{task}_{variant}_{seed}.log",
    benchmark:
        "<benchmarks>/train_cut/{model}_{task}_{variant}_{seed}.tsv"
    wildcard_constraints:
        variant=TrainedCut.PATTERN,
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        training=training_of_cut,
        # Under this name it is part of what a run must have in common with a checkpoint to resume
        # it.
        ablation=config["frontier"]["training"]["distillation"],
        style=style_of,
        max_length=max_length_of,
        choose_sample=CHOOSING_SAMPLE,
        judge_sample=EVAL_SAMPLE,
        forward=FORWARD,
        code=training_code("train_cut"),
    message:
        "Train {wildcards.model}, cut, on {wildcards.task}: {wildcards.variant}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/train_cut.py"


# Alone on the machine: other jobs would change the times.
rule measure_costs:
    input:
        model=model_of_run,
        checkpoint=cut_runs(CHECKPOINT, first=1),
        task=TASK,
        sets=cut_runs(f"{SETS}.sets.csv"),
        examples=JUDGING_EXAMPLES,
    output:
        costs=COSTS,
    log:
        "<logs>/measure_costs/{model}_{task}.log",
    benchmark:
        "<benchmarks>/measure_costs/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: lambda w: workflow.cores
    resources:
        gpu=1,
        jobs_per_device=1,
    params:
        max_length=max_length_of,
        sample=EVAL_SAMPLE,
        rounds=config["frontier"]["rounds"],
        style=exported_style_of,  # refuses heads that no plain folder can hold
        code=code_of("measure_costs", "architecture", "head_style", "task_type"),
    message:
        "What layer sets cost: {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/measure_costs.py"


rule tabulate_frontier:
    input:
        sets=cut_runs(f"{SETS}.sets.csv"),
        answers=cut_runs(f"{SETS}.parquet"),
        metrics=cut_runs(METRICS),
        trained=trained_cuts_of(CUT_ANSWERS),
        # Training times differ from run to run; predictions do not.
        trained_records=ancient(trained_cuts_of(RECORD)),
        records=cut_runs(RECORD),
        costs=COSTS,
        task=TASK,
    output:
        table=f"{FRONTIER_OF_PAIR}.csv",
        answers=f"{FRONTIER_OF_PAIR}/answers.csv",
        summary=f"{FRONTIER_OF_PAIR}/summary.csv",
    log:
        "<logs>/tabulate_frontier/{model}_{task}.log",
    benchmark:
        "<benchmarks>/tabulate_frontier/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=cut_seeds_of,
        settings=config["summary"] | sampling(config),
        code=code_of("tabulate_frontier", "metric", "task_type"),
    message:
        "Frontier of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/tabulate_frontier.py"


rule join_frontiers:
    input:
        tables=pairs(f"{FRONTIER_OF_PAIR}/answers.csv"),
    output:
        table=report(
            f"{FRONTIER}.csv",
            caption="../report/frontier_answers.rst",
            category="The answer",
        ),
    log:
        "<logs>/join_frontiers.log",
    benchmark:
        "<benchmarks>/join_frontiers.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        code=code_of("join_tables"),
    message:
        "The smallest certified models of the study"
    script:
        "../workflow_scripts/join_tables.py"


rule plot_frontier:
    input:
        tables=[f"{FRONTIER_OF_PAIR}.csv"],
    output:
        png=report(
            f"{FRONTIER_OF_PAIR}.png",
            caption="../report/frontier.rst",
            category="Frontier",
            labels={"model": "{model}", "task": "{task}"},
        ),
        pdf=f"{FRONTIER_OF_PAIR}.pdf",
    log:
        "<logs>/plot_frontier/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_frontier/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        style=lambda w: STYLE | {"models": [w.model], "tasks": [w.task]},
        tolerance=config["summary"]["tolerance"],
        code=code_of("plot_frontier"),
    message:
        "Frontier of {wildcards.model} on {wildcards.task}: figure"
    script:
        "../workflow_scripts/plot_frontier.py"


use rule plot_frontier as plot_frontiers with:
    input:
        tables=pairs(f"{FRONTIER_OF_PAIR}.csv"),
    output:
        png=report(
            f"{FRONTIER}.png",
            caption="../report/frontier.rst",
            category="Frontier",
            labels={"model": "all", "task": "all"},
        ),
        pdf=f"{FRONTIER}.pdf",
    log:
        "<logs>/plot_frontiers.log",
    benchmark:
        "<benchmarks>/plot_frontiers.tsv"
    params:
        style=STYLE,
        tolerance=config["summary"]["tolerance"],
        code=code_of("plot_frontier"),
    message:
        "Frontier of the study: figure"


rule export_layers:
    input:
        model=model_of_run,
        checkpoints=cut_runs(CHECKPOINT),
        metrics=cut_runs(METRICS),
        task=TASK,
        examples=JUDGING_EXAMPLES,
        frontier=f"{FRONTIER_OF_PAIR}.csv",
        answers=f"{FRONTIER_OF_PAIR}/answers.csv",
        heads=cut_runs(f"{SETS}.safetensors"),
        train=lambda w: TRAINED_ON if has_train(w) else [],
    output:
        folder=directory(EXPORTED_LAYERS),
    log:
        "<logs>/export_layers/{model}_{task}_{cut}.log",
    benchmark:
        "<benchmarks>/export_layers/{model}_{task}_{cut}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        cut=named_layers,
        seeds=cut_seeds_of,
        max_length=max_length_of,
        sample=EVAL_SAMPLE,
        train_sample=TRAIN_SAMPLE,
        forward=FORWARD,
        sampling=sampling(config),
        heads=heads_of,
        title=lambda w: TITLES.get(w.model),
        style=exported_style_of,
        code=code_of(
            "export_layers", "architecture", "head_style", "task_type", "metric"
        ),
    message:
        "Export {wildcards.model} on {wildcards.task}, {wildcards.cut}"
    script:
        "../workflow_scripts/export_layers.py"


rule plot_training:
    input:
        tables=[f"{FRONTIER_OF_PAIR}.csv"],
    output:
        png=report(
            f"{TRAINING}.png",
            caption="../report/training.rst",
            category="Frontier",
            labels={"model": "{model}", "task": "{task}"},
        ),
        pdf=f"{TRAINING}.pdf",
    log:
        "<logs>/plot_training/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_training/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        style=lambda w: STYLE | {"models": [w.model], "tasks": [w.task]},
        tolerance=config["summary"]["tolerance"],
        code=code_of("plot_training"),
    message:
        "Training after the cut, {wildcards.model} on {wildcards.task}: figure"
    script:
        "../workflow_scripts/plot_training.py"


rule export_trained:
    input:
        model=encoder_if_any,
        checkpoints=exported_runs,
        full=cut_runs(CHECKPOINT),
        task=TASK,
        examples=JUDGING_EXAMPLES,
        # Whatever changes a verdict is among the other inputs and params (`vectors` and `reference`
        # make what trained models are compared with). A table that is made again must not export
        # again: that would train all of a pair's models again, since their weights are gone.
        frontier=ancient(f"{FRONTIER_OF_PAIR}.csv"),
        answers=ancient(f"{FRONTIER_OF_PAIR}/answers.csv"),
    output:
        folder=directory(EXPORTED_TRAINED),
    log:
        "<logs>/export_trained/{model}_{task}_{trained}.log",
    benchmark:
        "<benchmarks>/export_trained/{model}_{task}_{trained}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        cut=trained_layers,
        settings=config["summary"],
        verdicts=code_of("tabulate_frontier", "metric", "task_type"),
        vectors=code_of("dump_sets", "architecture", "head_style", "task_type"),
        reference=code_of(
            "score_sets", "architecture", "head_style", "task_type", "metric"
        ),
        seeds=cut_seeds_of,
        max_length=max_length_of,
        sample=EVAL_SAMPLE,
        forward=FORWARD,
        sampling=sampling(config),
        title=lambda w: TITLES.get(w.model),
        style=exported_style_of,
        code=code_of(
            "export_trained", "architecture", "head_style", "task_type", "metric"
        ),
    message:
        "Export {wildcards.model} on {wildcards.task}, {wildcards.trained}"
    script:
        "../workflow_scripts/export_trained.py"
