"""Sites of the residual stream named by the user, for models in which they are not found.

The sites are read once to check that they exist; no residual identity is proved.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.independence import check_independence
from transformer_dynamics.model.checks.states import read_states, tolerance_of
from transformer_dynamics.model.checks.wrappers import trunk_of
from transformer_dynamics.model.hooks import Site
from transformer_dynamics.model.labels import depth, parse
from transformer_dynamics.model.probe import probe_tokens
from transformer_dynamics.model.sites import Sites


def named_sites(hf_model: Any, given: Mapping[str, str]) -> Sites:
    """Return sites named by hand, after one pass that reads them.

    Args:
        hf_model: the model.
        given: label to `path:input` or `path:output`, in order of depth; the path leads to a module
            within the model without its head.

    Raises:
        ModelError: a label, path or port that does not exist, labels out of order, a module that
            does not run once per pass, or states of different widths.
    """
    sites = [_named_site(hf_model, label, location) for label, location in given.items()]
    depths = [depth(site.label) for site in sites]
    if not sites or depths != sorted(set(depths)):
        raise ModelError(
            f"got sites {', '.join(given) or 'of no name'}; name each once, in order of depth: "
            "sites={'0.pre_attn': 'layers.0:input', ..., 'final': 'layers.11:output'}"
        )
    states = read_states(hf_model, sites, probe_tokens(hf_model))
    widths = {label: read.shape[-1] for label, read in states.items()}
    if len(set(widths.values())) > 1:
        raise ModelError(f"got sites of different widths ({widths}); the stream has one width")
    tolerance = tolerance_of(next(iter(states.values())).dtype)
    independence = check_independence(hf_model, sites, tolerance)
    return Sites(tuple(sites), (), next(iter(widths.values())), *independence)


def _named_site(hf_model: Any, label: str, location: str) -> Site:
    path, _, port = location.rpartition(":")
    paths = [name for name, _ in trunk_of(hf_model).named_modules()]
    try:
        parse(label)
    except ValueError as error:
        raise ModelError(str(error)) from error
    if port not in ("input", "output"):
        raise ModelError(
            f"got {location!r} for the site {label}; a site is a module's path and its port: "
            f"sites={{{label!r}: 'layers.0:input'}}, or with ':output'"
        )
    if path not in paths:
        near = ", ".join(difflib.get_close_matches(path, paths)) or ", ".join(paths[1:6])
        raise ModelError(
            f"there is no module {path!r} for the site {label} in {type(hf_model).__name__} "
            f"without its head; similar names: {near}"
        )
    return Site(label, path, "input" if port == "input" else "output")
