"""What touches Snakemake's own locks, modules, scheduler and messages. Looked up in Snakemake 9.27.

Nothing else in the workflow uses what Snakemake does not document.
"""

import logging
import os
import sys

from snakemake.cli import parse_args
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_strata import LogHandler
from snakemake_logger_plugin_strata.job_logs import Failures
from snakemake_logger_plugin_strata.words import GO_ON, OneSentence
from strata.runtime.locks import forget_dead_locks

# Whether another workflow uses this one, which then gives its config, and has its own messages.
IS_MODULE = not workflow.modifier.is_main_snakefile()
# What Snakemake says before it plans jobs, of no use to who runs them.
CHATTER = ("Config file ", "Assuming unrestricted shared filesystem")


def is_dry_run():
    """Whether this Snakemake only plans. A Snakefile is not told, so the command line is read."""
    try:
        _, options = parse_args(sys.argv[1:])
    except SystemExit:
        return True  # started from Python; delete nothing if it is not known
    return options.dryrun


def speak():
    """Strata's console in place of Snakemake's messages, or those without what is of no use.

    A logger plugin has to be installed and named with `--logger`, and a profile that names one that
    is not installed ends with an error. So the plugin that lies beside this workflow is put where
    Snakemake's default is. Whoever asks for another logger, or Snakemake for more or less words than
    usual, gets what they ask for.
    """
    asked = workflow.output_settings
    usual = next((h for h in logger.handlers if h.name == "DefaultStreamHandler"), None)
    as_asked = asked.dryrun or asked.quiet or asked.debug_dag or asked.printshellcmds
    if usual is None or as_asked or os.environ.get("STRATA_CONSOLE") == "snakemake":
        shorten_failures()
        return
    console = LogHandler(asked, None)
    usual.addFilter(lambda record: not record.getMessage().startswith(CHATTER))

    def take_over(record):
        """Once jobs are planned to be run: commands that list or unlock stay as they are."""
        begins = getattr(record, "event", None) == LogEvent.WORKFLOW_STARTED
        if begins and usual in logger.handlers:
            logger.removeHandler(usual)
            logger.addHandler(console)
        return True

    logger.addFilter(take_over)


def shorten_failures():
    """Of a job that fails: why, in one sentence, and its log, not what Snakemake ran it with.

    A failed command comes as an error with a traceback, in which a temporary script is named, and
    then once more as that of its job. Snakemake's log file keeps both.
    """
    failures = Failures()
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(lambda record: not failures.is_of_command(record))
            if handler.formatter is not None:
                handler.setFormatter(OneSentence(handler.formatter, failures))


def end_quietly(kind, error, trace):
    """Ctrl-C while jobs are planned, or pressed twice: Python would show a traceback."""
    if issubclass(kind, KeyboardInterrupt):
        print(f"Interrupted. {GO_ON}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if workflow.is_main_process:
    # Kept open: it shows that this Snakemake is alive.
    ALIVE = forget_dead_locks(is_dry_run)
    if not IS_MODULE:
        sys.excepthook = end_quietly
        if not workflow.output_settings.verbose:
            speak()

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
