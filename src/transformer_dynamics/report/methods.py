"""Methods section of the page, with the works that it cites."""

METHODS = (
    (
        "Intervals are 95 % bootstrap intervals over texts, or over groups of texts where these are"
        " known: percentile intervals, corrected for bias and skew (BCa, Efron 1987) where there"
        " are fewer than 100, and shifted to contain the statistic where they would not. Units are"
        " never resampled."
    ),
    (
        "A null model is a recording of the same shape that keeps some structure of the recording"
        " and lacks the property that is claimed. A null decides a claim only if the claim can be"
        " supported against it and the null does not determine the statistic; the reason is given"
        " for each null."
    ),
    (
        "Nulls drawn from the recording have Monte Carlo p-values (Phipson and Smyth 2010): p = (1"
        " + number of draws at least as extreme as the recording) / (1 + number of draws). Drawing"
        " ends after 20 such draws, where p = 20 / number of draws (Besag and Clifford 1991), and"
        " after 40 draws where the verdict does not depend on the null: it is only shown, or an"
        " interval or another null settles the verdict. Untrained twins of several seeds: Student's"
        " t of one new observation, with the variance over seeds and over texts; its quantile is"
        " the mean of those of both, with these variances as weights (Cochran 1964). Nulls of one"
        " recording (shuffled tokens, zero update): Student's t of the paired difference over"
        " texts. The effect is the difference in standard deviations over draws, seeds or texts, as"
        " the table states."
    ),
    (
        "A claim is supported if its whole interval lies beyond its threshold and it exceeds every"
        " deciding null, with the largest p-value adjusted over the claims at 5 % (Benjamini and"
        " Hochberg 1995). It is reproduced, not beyond null, if a deciding null is not exceeded,"
        " and undecided if an interval contains the threshold or a deciding null is missing."
    ),
    "Claims are tested on the sublayers, every site but the final one; measures use every site.",
    (
        "Perturbations change the state of the last token and follow it over depth with its context"
        " held fixed, in a subsample of the texts. Claims about them are compared with untrained"
        " twins and with controls that ignore the perturbation."
    ),
)
WORKS = {
    "Efron 1987": "Efron (1987), Journal of the American Statistical Association 82, 171",
    "Phipson and Smyth 2010": "Phipson and Smyth (2010), arXiv 1603.05766",
    "Besag and Clifford 1991": "Besag and Clifford (1991), Biometrika 78, 301",
    "Cochran 1964": "Cochran (1964), Biometrics 20, 191",
    "Benjamini and Hochberg 1995": (
        "Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57, 289"
    ),
}
