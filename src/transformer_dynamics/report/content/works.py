"""Works that the page cites: authors, title and place of each, as BibTeX needs them.

A work is found by its arXiv number, or by its first author and year. Of a long or uncertain list of
authors the first is named.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """A published work.

    Attributes:
        author: authors as BibTeX reads them: family name first, `and` between.
        title: its title.
        year: year of the first version on arXiv, else of the journal.
        journal: journal, or another place of publication.
        volume: volume of the journal.
        pages: pages, or number of the article.
    """

    author: str
    title: str
    year: str
    journal: str = ""
    volume: str = ""
    pages: str = ""


CATALOG = {
    "1312.0041": Work(
        "Tu, Jonathan H. and Rowley, Clarence W. and Luchtenburg, Dirk M. and "
        "Brunton, Steven L. and Kutz, J. Nathan",
        "On dynamic mode decomposition: Theory and applications",
        "2013",
    ),
    "1603.05766": Work(
        "Phipson, Belinda and Smyth, Gordon K.",
        "Permutation p-values should never be zero: calculating exact p-values when permutations "
        "are randomly drawn",
        "2010",
        "Statistical Applications in Genetics and Molecular Biology",
        "9",
        "39",
    ),
    "1803.06992": Work(
        "Facco, Elena and d'Errico, Maria and Rodriguez, Alex and Laio, Alessandro",
        "Estimating the intrinsic dimension of datasets by a minimal neighborhood information",
        "2017",
        "Scientific Reports",
        "7",
        "12140",
    ),
    "1905.00414": Work(
        "Kornblith, Simon and Norouzi, Mohammad and Lee, Honglak and Hinton, Geoffrey",
        "Similarity of neural network representations revisited",
        "2019",
    ),
    "2010.15327": Work(
        "Nguyen, Thao and Raghu, Maithra and Kornblith, Simon",
        "Do wide and deep networks learn the same things? Uncovering how neural network "
        "representations vary with width and depth",
        "2020",
    ),
    "2110.14739": Work(
        "Williams, Alex H. and Kunz, Erin and Kornblith, Simon and Linderman, Scott W.",
        "Generalized shape metrics on neural representations",
        "2021",
    ),
    "2303.08112": Work(
        "Belrose, Nora and others",
        "Eliciting latent predictions from transformers with the tuned lens",
        "2023",
    ),
    "2306.10168": Work(
        "Ostrow, Mitchell and Eisen, Adam and Kozachkov, Leo and Fiete, Ila",
        "Beyond geometry: Comparing the temporal structure of computation in neural circuits with "
        "dynamical similarity analysis",
        "2023",
    ),
    "2311.04930": Work(
        "Hosseini, Eghbal A. and Fedorenko, Evelina",
        "Large language models implicitly learn to straighten neural sentence trajectories to "
        "construct a predictive representation of natural language",
        "2023",
    ),
    "2402.17762": Work(
        "Sun, Mingjie and Chen, Xinlei and Kolter, J. Zico and Liu, Zhuang",
        "Massive activations in large language models",
        "2024",
    ),
    "2406.19384": Work(
        "Lad, Vedang and others",
        "The remarkable robustness of LLMs: Stages of inference?",
        "2024",
    ),
    "2410.01545": Work(
        "Sarfati, Raphaël and Liu, Toni J. B. and Boullé, Nicolas and Earls, Christopher J.",
        "Lines of thought in large language models",
        "2024",
    ),
    "2502.12131": Work(
        "Fernando, Jesseba and Guitchounts, Grigori",
        "Transformer Dynamics: A neuroscientific approach to interpretability of large language "
        "models",
        "2025",
    ),
    "2605.14258": Work(
        "Fernando, Jesseba and Guitchounts, Grigori",
        "Dynamics of the transformer residual stream: Coupling spectral geometry to network "
        "topology",
        "2026",
    ),
    "2606.09287": Work(
        "Pandey, Vishal and others",
        "Trajectory geometry of transformer representations across layers",
        "2026",
    ),
    "cond-mat/0305641": Work(
        "Kraskov, Alexander and Stögbauer, Harald and Grassberger, Peter",
        "Estimating mutual information",
        "2003",
    ),
    "benjamini1995": Work(
        "Benjamini, Yoav and Hochberg, Yosef",
        "Controlling the false discovery rate: A practical and powerful approach to multiple "
        "testing",
        "1995",
        "Journal of the Royal Statistical Society B",
        "57",
        "289--300",
    ),
    "besag1991": Work(
        "Besag, Julian and Clifford, Peter",
        "Sequential Monte Carlo p-values",
        "1991",
        "Biometrika",
        "78",
        "301--304",
    ),
    "blondel2008": Work(
        "Blondel, Vincent D. and Guillaume, Jean-Loup and Lambiotte, Renaud and Lefebvre, Etienne",
        "Fast unfolding of communities in large networks",
        "2008",
        "Journal of Statistical Mechanics: Theory and Experiment",
        "",
        "P10008",
    ),
    "churchland2012": Work(
        "Churchland, Mark M. and others",
        "Neural population dynamics during reaching",
        "2012",
        "Nature",
        "487",
        "51--56",
    ),
    "cochran1964": Work(
        "Cochran, William G.",
        "Approximate significance levels of the Behrens-Fisher test",
        "1964",
        "Biometrics",
        "20",
        "191--195",
    ),
    "efron1987": Work(
        "Efron, Bradley",
        "Better bootstrap confidence intervals",
        "1987",
        "Journal of the American Statistical Association",
        "82",
        "171--185",
    ),
    "elsayed2017": Work(
        "Elsayed, Gamaleldin F. and Cunningham, John P.",
        "Structure in neural population recordings: An expected byproduct of simpler phenomena?",
        "2017",
        "Nature Neuroscience",
        "20",
        "1310--1318",
    ),
    "ince2017": Work(
        "Ince, Robin A. A. and others",
        "A statistical framework for neuroimaging data analysis based on mutual information "
        "estimated via a Gaussian copula",
        "2017",
        "Human Brain Mapping",
        "38",
        "1541--1573",
    ),
    "lathrop1989": Work(
        "Lathrop, Daniel P. and Kostelich, Eric J.",
        "Characterization of an experimental strange attractor by periodic orbits",
        "1989",
        "Physical Review A",
        "40",
        "4028--4031",
    ),
    "nostalgebraist2020": Work(
        "nostalgebraist", "Interpreting GPT: The logit lens", "2020", "LessWrong"
    ),
    "pierson1995": Work(
        "Pierson, David and Moss, Frank",
        "Detecting periodic unstable points in noisy chaotic and limit cycle attractors with "
        "applications to biology",
        "1995",
        "Physical Review Letters",
        "75",
        "2124--2127",
    ),
    "russo2018": Work(
        "Russo, Abigail A. and others",
        "Motor cortex embeds muscle-like commands in an untangled population response",
        "2018",
        "Neuron",
        "97",
        "953--966",
    ),
    "so1996": Work(
        "So, Paul and Ott, Edward and Schiff, Steven J. and Kaplan, Daniel T. and Sauer, Tim and "
        "Grebogi, Celso",
        "Detecting unstable periodic orbits in chaotic experimental data",
        "1996",
        "Physical Review Letters",
        "76",
        "4705--4708",
    ),
    "song2012": Work(
        "Song, Le and Smola, Alex and Gretton, Arthur and Bedo, Justin and Borgwardt, Karsten",
        "Feature selection via dependence maximization",
        "2012",
        "Journal of Machine Learning Research",
        "13",
        "1393--1434",
    ),
    "sussillo2013": Work(
        "Sussillo, David and Barak, Omri",
        "Opening the black box: Low-dimensional dynamics in high-dimensional recurrent neural "
        "networks",
        "2013",
        "Neural Computation",
        "25",
        "626--649",
    ),
    "treves1991": Work(
        "Treves, Alessandro and Rolls, Edmund T.",
        "What determines the capacity of autoassociative memories in the brain?",
        "1991",
        "Network: Computation in Neural Systems",
        "2",
        "371--397",
    ),
}
