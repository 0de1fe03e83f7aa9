"""The reference list follows from the sources of the entries on the page."""

import pytest

from transformer_dynamics.registry import CLAIMS, COMPARISONS, MEASURES, PANELS, PERTURBATIONS
from transformer_dynamics.report.references import references, works


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("ours", []),
        ("arXiv 2502.12131: r > 0.8 (Llama 3.1 8B)", ["arXiv 2502.12131"]),
        ("KSG: arXiv cond-mat/0305641", ["arXiv cond-mat/0305641"]),
        ("Doe et al. 1999; Roe (PRL 1, 2, 2001)", ["Doe et al. 1999", "Roe (PRL 1, 2, 2001)"]),
        ("means 10.74 over 64; see Table 2010.15327", []),
    ],
)
def test_works_of_a_source(source, expected):
    assert works(source) == expected


def test_an_arxiv_work_that_is_named_as_well_is_listed_once():
    sources = [("a", "a", "TwoNN of Facco et al. 2017 (arXiv 1803.06992)")]
    links = [entry.url for entry in references(sources)]
    assert links.count("https://arxiv.org/abs/1803.06992") == 1


def test_every_work_that_the_registry_cites_is_listed_with_its_entries():
    registries = (MEASURES, PERTURBATIONS, COMPARISONS, PANELS, CLAIMS)
    entries = [item for registry in registries for item in registry.all().items()]
    found = references((name, name, entry.source) for name, entry in entries)
    cited = {reference.text.split(" (")[0]: dict(reference.cited_by) for reference in found}
    assert {"C13", "perturbation.truncation"} <= set(cited["arXiv 2410.01545"])
    assert set(cited["So, Ott, Schiff, Kaplan, Sauer and Grebogi"]) == {
        "C6",
        "orbits.periodic_orbits",
    }
    assert "dynamics.rotation" in cited["Elsayed and Cunningham"]
    assert set(cited["Efron"]) == {"methods"}
