"""What touches Snakemake's own locks and scheduler. Looked up in Snakemake 9.27.

Nothing else in the workflow uses what Snakemake does not document.
"""

from snakemake.cli import parse_args

from strata.runtime.locks import forget_dead_locks


def is_dry_run():
    """Whether this Snakemake only plans. A Snakefile is not told, so the command line is read."""
    try:
        _, options = parse_args(sys.argv[1:])
    except SystemExit:
        return True  # started from Python; delete nothing if it is not known
    return options.dryrun


# Kept open: it shows that this Snakemake is alive.
ALIVE = forget_dead_locks(is_dry_run) if workflow.is_main_process else None


onstart:
    # Every started job would leave a timer behind that makes the scheduler look at all waiting jobs
    # again each second: thousands of times per second after a thousand jobs.
    workflow.scheduler.job_rate_limiter = None
