"""Fine-tune one run plainly, and keep its checkpoint."""

from strata.modeling.compute import gpu_job

with gpu_job(snakemake):
    from strata.modeling.run_job import make_run

    def keep(model, tokenizer):
        model.save_pretrained(snakemake.output.checkpoint)
        tokenizer.save_pretrained(snakemake.output.checkpoint)

    make_run(snakemake, finish=keep)
