"""
Systems with known answers
==========================

Before a measure says anything about a model, it should say the right thing about systems whose
answer is known. Two of them, and one number, the rotation count: how often the trace of a unit
turns in the plane of its activation and its gradient over depth.
"""

import matplotlib.pyplot as plt
import numpy as np

import transformer_dynamics as td
from transformer_dynamics import synthetic

# %%
# A rotation
# ----------
#
# Units turn in pairs at one angular speed, three full turns from the first site to the last. Each
# unit's trace is a sine of three cycles, so its count is -3, within 4 % at this length. The sign is
# negative because motion in the plane of a quantity and its own gradient is clockwise.

rotation = synthetic.rotation(n_samples=20, n_sites=64, n_units=16, turns=3)
turns = td.orbits.rotation_counts(rotation)
print(f"rotation count, mean over units: {turns['rotation_count'].mean().item():.3f}")

# %%
# The population tells the same story: every step is as long as the next, and the cosine of
# consecutive states is that of the angle per step.

motion = td.paths.kinematics(rotation)
speed = motion["speed"]
spread = (speed.max("step") / speed.min("step")).max().item()
print(f"fastest step over slowest, in the worst sample: {spread:.6f}")
found, expected = motion["cosine"].mean().item(), np.cos(2 * np.pi * 3 / 63)
print(f"cosine of consecutive states: {found:.6f}, expected {expected:.6f}")

# %%
# A random walk
# -------------
#
# Independent steps, nothing that turns by any law. Its traces turn all the same: about -0.1765
# times (points - 2), here at four lengths.

for points in (16, 32, 64, 128):
    walk = synthetic.random_walk(n_samples=50, n_sites=points, n_units=50, seed=points)
    counts = td.orbits.rotation_counts(walk)["rotation_count_per_sample"]
    expected = -0.1765 * (points - 2)
    print(
        f"{points:4d} points: {counts.mean().item():7.2f} ± {counts.std().item():.2f} turns, "
        f"expected {expected:7.2f}"
    )

# %%
# So a count of ten or eleven over 64 points is what a trace without any dynamics has. A claim that
# rests on the number alone would be supported by a random walk.

walk = synthetic.random_walk(n_samples=50, n_sites=64, n_units=50, seed=0)
figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
td.orbits.rotation_counts(walk).td.plot(ax=axes)

# %%
# What does tell them apart
# -------------------------
#
# The phase portrait: circles against a tangle.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
td.orbits.phase_portrait(rotation).td.plot(ax=left)
left.set_title("rotation")
td.orbits.phase_portrait(walk).td.plot(ax=right)
right.set_title("random walk")

# %%
# And a null: the increments of the rotation, in another order. It has the same steps and the same
# end points, but nothing is left of the circle.

shuffled = td.nulls.permuted_increments(rotation, seed=0)
counts = td.orbits.rotation_counts(shuffled)["rotation_count"]
print(f"permuted increments, mean over units: {counts.mean().item():.2f} turns")

figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
td.orbits.phase_portrait(shuffled).td.plot(ax=axes)
axes.set_title("rotation, increments permuted")
