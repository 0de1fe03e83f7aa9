"""
A language model, two measures, two claims
==========================================

The bundled model over 32 paragraphs of Wikipedia: record the residual stream, measure it, and ask
whether what is seen goes beyond what a stream without learning would show.
"""

import matplotlib.pyplot as plt

import transformer_dynamics as td
from transformer_dynamics.registry import CLAIMS

# %%
# Record
# ------
#
# One state per text, sublayer and unit, at the last token.

model = td.load_model()
texts = td.load_texts(n=32)
recording = td.record(model, texts)
n_samples, n_sites, n_units = recording.shape
print(f"{n_samples} samples, {n_sites} sites, {n_units} units")
print(", ".join(recording.sites[:4]), "...", recording.sites[-1])

# %%
# The sites were proved, not assumed: what attention and MLP add accounts for all of every layer's
# update.

proofs = model.found_sites.proofs
worst = max(proof.error for proof in proofs)
print(f"{len(proofs)} layers, largest error of the residual identity: {worst:.1e} of the norm")

# %%
# Measure
# -------
#
# How far the stream moves per step, and how it turns. One result has several drawings; the first is
# what ``plot`` draws.

kinematics = td.paths.kinematics(recording)
figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
kinematics.td.plot(ax=axes)

# %%
for drawing in kinematics.td.drawings:
    print(drawing.title)

# %%
# How like itself a unit remains from one site to the next. The dotted line is what a walk of equal
# steps reaches without having learned anything.

correlation = td.units.correlation(recording)
figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
correlation.td.plot(ax=axes)

# %%
# A null is a recording, so any measure runs on it unchanged. Here is the speed of the matched
# random walk: by construction it is that of the model, step by step, in mean square.

walk = td.nulls.random_walk(recording, seed=0)
figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
td.paths.kinematics(walk).td.plot(ax=axes)
axes.set_title("matched random walk")

# %%
# Test
# ----
#
# C4 says that the direction of the stream settles, C6-turns that single units rotate. Both are
# tested against several nulls, among them the same architecture with untrained weights.

options = td.ClaimOptions(n_null=19, n_twins=2)
verdicts = td.evaluate_claims(recording, model=model, claims=["C4", "C6-turns"], options=options)
for verdict in verdicts:
    low, high = verdict.interval
    print(f"{verdict.id}: {verdict.statement}")
    print(f"  {verdict.value:.3f}, 95 % over texts {low:.3f} to {high:.3f}")
    for name, null in verdict.ordered_nulls():
        role = "decides" if null.decides else "shown"
        print(f"  {name:28s} {null.mean:7.3f} ± {null.sd:.3f}  p = {null.p:.3f}  ({role})")
    print(f"  -> {verdict.verdict}")

# %%
# 19 draws and two twins give a first impression. With 19 draws of a null model the p-value cannot
# fall below 0.05. The largest p of each claim is adjusted over the claims tested together, so one
# of two claims can be supported only if the other is too. ``tdyn run`` draws as often as one claim
# needs after adjustment, and uses more texts.
#
# The verdict says in sentences what decided it:

for verdict in verdicts:
    print(f"{verdict.id}: {verdict.why}\n")

# %%
# The figures of a claim show the recording and its nulls in the same axes.

for verdict in verdicts:
    drawings = CLAIMS.get(verdict.id).drawings(verdict.evidence)
    for drawing in (drawings[0], drawings[-1]):
        figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
        drawing.plot(axes)
