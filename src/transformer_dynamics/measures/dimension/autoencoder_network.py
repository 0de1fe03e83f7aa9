"""A trained autoencoder as a value: its layers, how it is run, how it is kept on disk.

Encoder and decoder have k layers of units each. Layer i = 0 ... k - 1 of the encoder has

    round(D r^i) units,    r = (bottleneck / D)^(1 / (k - 1)),

so that layer 0 is the stream itself and the last is the bottleneck; the decoder is its mirror
image. The k - 1 maps between them are linear, followed by layer normalization and a rectifier,
except the last of each half, which is linear alone.

States go in as (x - mean) / scale and come out as mean + scale y: one mean per unit and one scale
for all units, the root mean square of the deviations of the training states over units. One scalar
keeps the weights in the range they are initialized for and leaves the geometry as it is; a scale
per unit would change what variance explained means, and make units that hardly vary count as much
as those that carry the signal.

On disk an autoencoder is one safetensors file whose header says the rest; nothing is pickled.

Source: arXiv 2502.12131 (widths, layers). The single scale, the mirrored decoder, and counting the
stream among the k layers: ours.

Cost: about 2 operations per weight and state to run; r D^2 weights in each half's widest map.

Not handled: other activations or widths, and convolution over sites: every state is on its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError, TdynError
from transformer_dynamics.storage.files import replaced

if TYPE_CHECKING:
    from torch import Tensor

Floats32 = NDArray[np.float32]
Weights = Mapping[str, Floats32]

ENCODER, DECODER = "encoder", "decoder"
FORMAT = "transformer-dynamics autoencoder 1"
BLOCK_ROWS = 4096


def layer_widths(n_units: int, bottleneck: int, n_layers: int) -> list[int]:
    """Widths of the encoder's layers, from the stream's units to the bottleneck's.

    Args:
        n_units: units of the stream.
        bottleneck: units of the narrowest layer, fewer than those of the stream.
        n_layers: layers of units, the stream and the bottleneck included, at least two.

    Raises:
        InputError: the bottleneck is not narrower than the stream, or there are too few layers.

    >>> layer_widths(576, 2, 10)
    [576, 307, 164, 87, 46, 25, 13, 7, 4, 2]
    """
    if not 1 <= bottleneck < n_units or n_layers < 2:
        raise InputError(
            f"got a bottleneck of {bottleneck} for {n_units} units and {n_layers} layers; it is "
            "narrower than the stream, and each half has at least two layers: "
            "AutoencoderOptions(n_layers=10), bottlenecks=(2,)"
        )
    ratio = (bottleneck / n_units) ** (1 / (n_layers - 1))
    return [max(bottleneck, round(n_units * ratio**layer)) for layer in range(n_layers)]


def initial_weights(n_units: int, bottleneck: int, n_layers: int, *, seed: int) -> Weights:
    """Weights to train from: uniform within 1/sqrt(inputs), as linear layers commonly begin.

    Drawn by a generator of their own, so that no global state is touched.

    Args:
        n_units: units of the stream.
        bottleneck: units of the narrowest layer.
        n_layers: layers of units in each half, the stream and the bottleneck included.
        seed: of the weights.

    Raises:
        InputError: as `layer_widths` does.

    >>> {name: array.shape for name, array in initial_weights(8, 2, 3, seed=0).items()}
    {'encoder.0.weight': (4, 8), 'encoder.0.bias': (4,), 'encoder.0.norm_weight': (4,),
     'encoder.0.norm_bias': (4,), 'encoder.1.weight': (2, 4), 'encoder.1.bias': (2,),
     'decoder.0.weight': (4, 2), 'decoder.0.bias': (4,), 'decoder.0.norm_weight': (4,),
     'decoder.0.norm_bias': (4,), 'decoder.1.weight': (8, 4), 'decoder.1.bias': (8,)}
    """
    widths = layer_widths(n_units, bottleneck, n_layers)
    halves = {ENCODER: widths, DECODER: widths[::-1]}
    generator = np.random.default_rng(seed)
    weights: dict[str, Floats32] = {}
    for half, sizes in halves.items():
        for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
            bound = 1 / np.sqrt(inputs)
            name = f"{half}.{layer}"
            for part, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
                drawn = generator.uniform(-bound, bound, shape)
                weights[f"{name}.{part}"] = drawn.astype(np.float32)
            if layer < n_layers - 2:
                weights[f"{name}.norm_weight"] = np.ones(outputs, dtype=np.float32)
                weights[f"{name}.norm_bias"] = np.zeros(outputs, dtype=np.float32)
    return weights


def run_half(weights: Mapping[str, Tensor], half: str, rows: Tensor) -> Tensor:
    """Run rows `(row, unit)` or `(row, latent)` through the encoder or the decoder."""
    from torch.nn import functional

    layer = 0
    while f"{half}.{layer}.weight" in weights:
        name = f"{half}.{layer}"
        rows = functional.linear(rows, weights[f"{name}.weight"], weights[f"{name}.bias"])
        if f"{name}.norm_weight" in weights:
            norm = weights[f"{name}.norm_weight"], weights[f"{name}.norm_bias"]
            rows = functional.relu(functional.layer_norm(rows, rows.shape[-1:], *norm))
        layer += 1
    return rows


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """A trained autoencoder.

    Attributes:
        weights: of all layers, float32, by name.
        mean: what is taken from states before they go in, `(unit)`, in stream units.
        scale: what they are divided by, in stream units.
        history: mean squared error on the validation states after each epoch, over `scale`
            squared, `(epoch)`.
        identity: digest of the states, options and seed that it was trained with.
    """

    weights: Weights
    mean: NDArray[np.float64]
    scale: float
    history: tuple[float, ...] = ()
    identity: str = ""

    @property
    def bottleneck(self) -> int:
        """Units of the narrowest layer."""
        return int(self.weights[f"{DECODER}.0.weight"].shape[1])

    def encode(self, values: NDArray[Any]) -> Floats32:
        """Latents of states: `(..., unit)` to `(..., latent)`, without unit, float32."""
        return self._in_blocks(
            values, lambda weights, rows: run_half(weights, ENCODER, rows), before=self._inward
        )

    def decode(self, latents: NDArray[Any]) -> Floats32:
        """States of latents: `(..., latent)` to `(..., unit)`, in stream units, float32."""
        return self._outward(
            self._in_blocks(latents, lambda weights, rows: run_half(weights, DECODER, rows))
        )

    def reconstruct(self, values: NDArray[Any]) -> Floats32:
        """States of states' latents: `(..., unit)` to the same, in stream units, float32."""
        return self.decode(self.encode(values))

    def _inward(self, rows: NDArray[Any]) -> NDArray[Any]:
        return (rows - self.mean) / self.scale

    def _outward(self, rows: Floats32) -> Floats32:
        return (self.mean + self.scale * rows.astype(np.float64)).astype(np.float32)

    def _in_blocks(
        self,
        values: NDArray[Any],
        run: Callable[[Mapping[str, Tensor], Tensor], Tensor],
        before: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray,
    ) -> Floats32:
        import torch

        weights = {name: torch.tensor(array) for name, array in self.weights.items()}
        rows = np.reshape(values, (-1, np.shape(values)[-1]))
        done = []
        with torch.inference_mode():
            for start in range(0, len(rows), BLOCK_ROWS):
                block = before(rows[start : start + BLOCK_ROWS]).astype(np.float32)
                done.append(run(weights, torch.from_numpy(block)).numpy())
        joined: Floats32 = np.concatenate(done)
        return joined.reshape(*np.shape(values)[:-1], -1)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all."""
        arrays: dict[str, NDArray[Any]] = {**self.weights, "mean": self.mean}
        header = {"scale": self.scale, "history": list(self.history), "identity": self.identity}
        save_arrays(Path(path), arrays, {"format": FORMAT, **header})


def load_autoencoder(path: str | Path) -> Autoencoder:
    """Read an autoencoder that was saved.

    Args:
        path: its file, `autoencoder-2.safetensors` in the folder that it was trained in.

    Raises:
        TdynError: it is not there, or not an autoencoder.
    """
    arrays, header = load_arrays(Path(path), FORMAT)
    mean = arrays.pop("mean")
    history = tuple(header["history"])
    return Autoencoder(arrays, mean, float(header["scale"]), history, header["identity"])


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], header: Any) -> None:
    """Arrays and what JSON can hold of them in one safetensors file, whole or not there.

    One file, so that the two never disagree.
    """
    from safetensors.numpy import save

    # A view of other memory, or a scalar's, would be written as its base is.
    plain = {name: np.array(array, order="C") for name, array in arrays.items()}
    content = save(plain, metadata={"json": json.dumps(header, sort_keys=True)})
    with replaced(path) as temporary:
        temporary.write_bytes(content)


def load_arrays(path: Path, expected: str) -> tuple[dict[str, NDArray[Any]], Any]:
    """Arrays and header of a file that `save_arrays` wrote.

    Raises:
        TdynError: it is not there, not one of ours, or not of the expected format.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {}).get("json", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise TdynError(
            f"cannot read {path} ({error}); an autoencoder is a file like "
            "autoencoder-2.safetensors in the folder given as out="
        ) from error
    if header.get("format") != expected:
        raise TdynError(
            f"{path} is of the format {header.get('format')!r}, not {expected!r}; an autoencoder "
            "is a file like autoencoder-2.safetensors in the folder given as out="
        )
    return arrays, header
