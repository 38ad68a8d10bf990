"""What touches Snakemake's own locks, modules and scheduler. Looked up in Snakemake 9.27.

Nothing else in the workflow uses what Snakemake does not document.
"""

from snakemake.cli import parse_args
from snakemake.settings.types import DeploymentMethod

from strata.runtime.locks import forget_dead_locks

# Whether another workflow uses this one, which then gives its config.
IS_MODULE = not workflow.modifier.is_main_snakefile()


def is_dry_run():
    """Whether this Snakemake only plans. A Snakefile is not told, so the command line is read."""
    try:
        _, options = parse_args(sys.argv[1:])
    except SystemExit:
        return True  # started from Python; delete nothing if it is not known
    return options.dryrun


# Kept open: it shows that this Snakemake is alive.
ALIVE = forget_dead_locks(is_dry_run) if workflow.is_main_process else None

if IS_MODULE and (
    workflow.modifier.path_modifier.prefix
    or workflow.modifier.path_modifier.modifies_prefixes
):
    raise WorkflowError(
        "Strata as a module has no 'prefix' and no 'replace_prefix': models and tasks lie in data/, "
        "all else where 'outdir' of its config says."
    )

# Of jobs with --sdm apptainer, and of no others.
IMAGE = "envs/strata.sif"
if (
    DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
    and workflow.is_main_process
    and not Path(IMAGE).is_file()
    and not is_dry_run()
):
    raise WorkflowError(
        f"There is no {IMAGE}, the image in which jobs run with --sdm apptainer; docs/environments.md "
        "says how to build it."
    )


onstart:
    # Every started job would leave a timer behind that makes the scheduler look at all waiting jobs
    # again each second: thousands of times per second after a thousand jobs.
    workflow.scheduler.job_rate_limiter = None
