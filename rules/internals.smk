"""What touches Snakemake's own locks and scheduler. Looked up in Snakemake 9.27.

Nothing else in the workflow uses what Snakemake does not document.
"""

from snakemake.cli import parse_args

from strata.runtime.locks import forget_dead_locks


def is_dry_run():
    """Whether this Snakemake only plans: which a Snakefile is not told, so the command is read."""
    try:
        _, options = parse_args(sys.argv[1:])
    except SystemExit:
        return True  # started from Python; nothing is deleted where nobody can tell
    return options.dryrun


# Kept open: it says that this Snakemake is alive.
ALIVE = forget_dead_locks(is_dry_run) if workflow.is_main_process else None


onstart:
    # Every job started would leave a timer behind that makes the scheduler look at all waiting jobs
    # again each second: thousands of looks a second after a thousand jobs.
    workflow.scheduler.job_rate_limiter = None
