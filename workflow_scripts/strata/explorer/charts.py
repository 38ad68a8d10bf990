"""All charts of the explorer, in the page's order."""

from functools import cache

from strata.explorer import curves, maps
from strata.explorer.candidates import frontiers
from strata.explorer.chart import Chart


@cache
def charts() -> tuple[Chart, ...]:
    """Every chart that there is; the page leaves out those that its study has no rows for."""
    return (
        *maps.cka_maps(),
        maps.cka_profile(),
        curves.truncation(),
        *curves.calibration(),
        *curves.controls(),
        curves.variability(),
        curves.probe(),
        curves.parameters(),
        curves.speed(),
        maps.skip_triangle(),
        *frontiers(),
    )
