"""All claims that a study is held against, and the measures that decide them."""

from strata.analysis import claims_phang

CLAIMS = (*claims_phang.CLAIMS,)
MEASURES = (*claims_phang.MEASURES,)
