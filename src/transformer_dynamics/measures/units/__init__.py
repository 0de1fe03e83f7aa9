"""Single units, the coordinates of the residual stream, over depth."""

from transformer_dynamics.measures.units.communities import communities
from transformer_dynamics.measures.units.correlation import correlation
from transformer_dynamics.measures.units.density import density
from transformer_dynamics.measures.units.information import mutual_information
from transformer_dynamics.measures.units.site_pairs import correlation_by_lag, correlation_pairs

__all__ = [
    "communities",
    "correlation",
    "correlation_by_lag",
    "correlation_pairs",
    "density",
    "mutual_information",
]
