"""Do tasks agree on which order of the layers is worse? (Tamkin et al. 2020, permutations)"""

from strata.analysis.reinit import permutation_correlations
from strata.analysis.tables import read_tables
from strata.runtime.job import job
from strata.study.settings import Sampling

with job(snakemake):
    table = read_tables(snakemake.input.tables)
    correlations = permutation_correlations(table, Sampling(**snakemake.params.sampling))
    correlations.to_csv(snakemake.output.table, index=False)
