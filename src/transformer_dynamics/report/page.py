"""One self-contained HTML page: verdicts, figures with their nulls, texts, provenance, methods.

The page lays out what verdicts and results bring with them and computes nothing. It opens without
a network: the plotting library is inside it, and its content policy forbids it to fetch anything.
Text from a corpus, a model or a configuration is escaped where it enters the page (jinja2's
autoescape) and in every figure's labels.

Not handled: more than a few dozen figures per page (each claim and measure brings two to five).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from transformer_dynamics.claims.verdict import Verdict
from transformer_dynamics.paper import table_rows
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import CLAIMS, NULLS, PANELS, PERTURBATIONS, entry_of
from transformer_dynamics.storage.attributes import attribute
from transformer_dynamics.storage.files import local_path, make_folder, write_text

N_TEXTS_SHOWN = 20
TABLE = "paper.table"
REFERENCES = (
    "Fernando and Guitchounts (2025), arXiv 2502.12131: the claims C1 to C8",
    "arXiv 2605.14258: spectra of layer Jacobians, C9 and C10",
    "arXiv 2406.19384: layers left out and swapped, C11",
    "Sussillo and Barak (2013), Neural Computation 25, 626: slow points",
    "Eckmann and Ruelle (1985), Reviews of Modern Physics 57, 617: Lyapunov exponents",
    "Kraskov, Stoegbauer and Grassberger (2004), arXiv cond-mat/0305641: mutual information",
    "Ince et al. (2017), Human Brain Mapping 38, 1541: Gaussian-copula mutual information",
    "Treves and Rolls (1991), Network 2, 371: population density",
    "Schreiber and Schmitz (1996), Physical Review Letters 77, 635: IAAFT surrogates",
    "Besag and Clifford (1991), Biometrika 78, 301: sequential Monte Carlo p-values",
    "Efron (1987), JASA 82, 171: bias-corrected and accelerated intervals",
    "Phipson and Smyth (2010), arXiv 1603.05766: Monte Carlo p-values that are never zero",
    "Benjamini and Hochberg (1995), JRSS B 57, 289: false discovery rate",
)
METHODS = (
    (
        "Intervals are 95 % intervals of a bootstrap over texts, or over groups of texts where"
        " these are known: percentile intervals, corrected for bias and skew (BCa) where there are"
        " fewer than 100, and shifted to the statistic where they would not contain it. Units are"
        " never resampled."
    ),
    (
        "A null model is a recording of the same shape that shares some structure of the recording"
        " and lacks the property that is claimed. A null decides a claim only if the claim can be"
        " supported against it and the null does not fix the statistic; the reason is given for"
        " each."
    ),
    (
        "Nulls that are drawn from the recording: p = (1 + number of draws that give at least as"
        " much) / (1 + draws); drawing ends once 20 draws do, and after 100 draws where the null is"
        " only shown. Untrained twins of several seeds: Student's t of a new observation, with the"
        " variance over seeds and over texts. Nulls of one recording (shuffled tokens, zero"
        " update): Student's t of the paired difference over texts. The effect is the difference in"
        " standard deviations over draws, seeds or texts, as the table says."
    ),
    (
        "A claim is supported when its whole interval lies beyond its threshold and it exceeds"
        " every deciding null, the largest p being adjusted over the claims (Benjamini-Hochberg) at"
        " 5 %; reproduced, not beyond null, when a deciding null gives as much; undecided when an"
        " interval contains the threshold or a deciding null is missing."
    ),
    "Claims are tested on the sublayers, every site but the final one; measures are at every site.",
    (
        "Perturbations change the state of the last token and follow it over depth, with its"
        " context held fixed, in some of the texts; claims about them are compared with untrained"
        " twins and with controls that ignore the perturbation."
    ),
)


def write_report(
    path: str | Path,
    results: Mapping[str, xr.Dataset],
    verdicts: Sequence[Verdict],
    *,
    recording: Recording | None = None,
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page.

    Args:
        path: the file to write.
        results: results of measures, by any name; each names its measure in its attrs.
        verdicts: what `td.evaluate_claims` returns.
        recording: for the texts and the provenance.
        run: further provenance, as `run.json` holds it.

    Returns:
        The path of the page.
    """
    import jinja2

    path = local_path(path)
    make_folder(path.parent)
    figures = _Figures()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("transformer_dynamics.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    over = "texts" if recording is None else _over(recording)
    page = environment.get_template("page.html").render(
        title=_title(recording, run),
        verdicts=[_verdict_entry(verdict, figures, over) for verdict in verdicts],
        **_sections(results, figures),
        facts={} if recording is None else _facts(recording, run or {}),
        grouping=over,
        preset_note=dict((run or {}).get("preset", {})).get("note", ""),
        texts=[] if recording is None else _text_entries(recording),
        n_texts=0 if recording is None else len(recording.texts),
        provenance=_rows(dict(run or {}), skip=("system", "stages")),
        recording_provenance={} if recording is None else _rows(recording.provenance),
        system=_rows(dict((run or {}).get("system", {}))),
        stages=(run or {}).get("stages", {}),
        nulls=list(NULLS.all().values()),
        methods=METHODS,
        references=REFERENCES,
        figures=figures.as_json(),
        plotly=_plotly_source(),
    )
    write_text(path, page)
    return path


class _Figures:
    """Figures by the id of the element that they are drawn in."""

    def __init__(self) -> None:
        self._figures: dict[str, Any] = {}

    def add(self, drawings: Sequence[Drawing]) -> list[dict[str, str]]:
        """The id of each drawing's element, and what it says of itself."""
        entries = []
        for drawing in drawings:
            name = f"figure-{len(self._figures) + 1}"
            self._figures[name] = json.loads(drawing.figure().to_json())
            entries.append(
                {"id": name, "caption": drawing.caption, "interpretation": drawing.interpretation}
            )
        return entries

    def as_json(self) -> str:
        """JSON that may stand in a script element: no text in it can close the element."""
        text = json.dumps(self._figures, separators=(",", ":"))
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _verdict_entry(verdict: Verdict, figures: _Figures, over: str) -> dict[str, Any]:
    """Entry of the page for a verdict; `over` names the units of resampling of the recording."""
    claim = CLAIMS.all().get(verdict.id)
    has_evidence = bool(verdict.evidence.data_vars)
    drawings = claim.drawings(verdict.evidence) if claim is not None and has_evidence else []
    resampled = verdict.evidence.attrs.get("resampled", "texts")
    return {
        "verdict": verdict,
        "css": re.sub(r"[^a-z]+", "-", verdict.verdict),
        "source": verdict.evidence.attrs.get("source", ""),
        "reasons": attribute(verdict.evidence, "reasons", {}),
        "resampled": "texts" if resampled == "texts" else over,
        "figures": figures.add(drawings),
    }


def _sections(results: Mapping[str, xr.Dataset], figures: _Figures) -> dict[str, Any]:
    """Entries of measures, of perturbations and of the paper's panels, the table first."""
    sections: dict[str, list[dict[str, Any]]] = {"measures": [], "perturbations": [], "panels": []}
    for name, result in sorted(results.items(), key=lambda item: item[0] != TABLE):
        made = result.attrs["measure"]
        entry = _result_entry(name, result, figures)
        if made in PANELS.all():
            entry["reports"] = PANELS.get(made).reports
            entry["rows"] = table_rows(result) if made == TABLE else []
            sections["panels"].append(entry)
        else:
            sections["perturbations" if made in PERTURBATIONS.all() else "measures"].append(entry)
    return sections


def _result_entry(name: str, result: xr.Dataset, figures: _Figures) -> dict[str, Any]:
    measure = entry_of(result.attrs["measure"])
    return {
        "name": name,
        "title": measure.title,
        "source": measure.source,
        "parameters": attribute(result, "parameters", {}),
        "figures": figures.add(result.td.drawings),
    }


def _text_entries(recording: Recording) -> list[dict[str, Any]]:
    texts, rows = recording.texts, recording.dataset
    if not texts or "token" not in rows.coords:
        return []
    shown = []
    for index in range(min(N_TEXTS_SHOWN, len(texts))):
        (places,) = (recording.text_index == index).nonzero()
        tokens = [str(rows["token"].values[place]) for place in places[-1:]]
        shown.append({"index": index, "text": texts[index], "last_token": "".join(tokens)})
    return shown


def _number(value: float) -> str:
    """Three digits, or nothing where the value is not defined."""
    return f"{value:.3g}" if math.isfinite(value) else ""


def _facts(recording: Recording, run: Mapping[str, Any]) -> dict[str, str]:
    """Model, samples, texts and resampling, for the head of the page."""
    n_samples, n_sites, n_units = recording.shape
    described = dict(run.get("model_origin") or {}).get("described")
    facts = {"Model": str(described)} if described else {}
    facts |= {
        "Samples (N)": str(n_samples),
        "Texts": str(len(set(recording.text_index.tolist()))),
        "Sites": f"{n_sites}, {recording.sites[0]} to {recording.sites[-1]}",
        "Units": str(n_units),
    }
    chosen = recording.provenance.get("texts", {})
    if recording.grouping == "groups":
        facts["Groups of texts"] = f"{len(set(recording.groups.tolist()))} ({_over(recording)})"
    if chosen.get("cut") == "random":
        facts["Cut of the texts"] = (
            f"at a random word, seed {chosen['seed']}; {chosen['left_whole']} left whole"
        )
    if recording.n_distinct_tokens is not None:
        last = "last " if recording.provenance.get("positions") == "last" else ""
        facts[f"Distinct {last}tokens"] = str(recording.n_distinct_tokens)
    facts["Intervals over"] = _over(recording)
    return facts


def _over(recording: Recording) -> str:
    """Units of resampling: texts, groups, or articles where the groups are these."""
    if recording.provenance.get("texts", {}).get("group") == "article":
        return "articles"
    return recording.grouping


def _title(recording: Recording | None, run: Mapping[str, Any] | None) -> str:
    named = (run or {}).get("model")
    if named is None and recording is not None:
        named = recording.provenance.get("model", recording.provenance.get("system"))
    return f"Transformer dynamics: {named or 'recording'}"


def _rows(values: Mapping[str, Any], skip: Sequence[str] = ()) -> dict[str, str]:
    """Provenance as lines of a table; long lists by their ends."""
    rows = {}
    for key, value in values.items():
        if key in skip:
            continue
        if isinstance(value, list) and len(value) > 6:
            rows[key] = f"{value[0]} ... {value[-1]} ({len(value)})"
        elif isinstance(value, dict):
            rows[key] = ", ".join(f"{name}: {item}" for name, item in value.items()) or "none"
        else:
            rows[key] = str(value)
    return rows


def _plotly_source() -> str:
    from plotly.offline import get_plotlyjs

    # The library's text must not close the script element that holds it.
    source: str = get_plotlyjs()
    return source.replace("</script", "<\\/script")
