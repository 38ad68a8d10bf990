"""All claims that a study is compared with, and the measures that decide them."""

from strata.analysis import claims_phang, claims_tamkin, claims_xie

CLAIMS = (*claims_phang.CLAIMS, *claims_tamkin.CLAIMS, *claims_xie.CLAIMS)
MEASURES = {**claims_phang.MEASURES, **claims_tamkin.MEASURES, **claims_xie.MEASURES}
