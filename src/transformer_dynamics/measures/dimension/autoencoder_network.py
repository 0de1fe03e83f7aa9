"""A trained autoencoder: widths of its layers, its weights, encoding and decoding.

Layer i = 0 ... k - 1 of the encoder has round(D r^i) units, r = (bottleneck / D)^(1 / (k - 1)); the
decoder is its mirror image. Each linear map is followed by layer normalization and a rectifier,
except the last of each half. Both halves are `torch.nn.Sequential`; the initial weights are drawn
by numpy, so that no global generator is used. States go in as (x - mean) / scale, with one mean per
unit and one scale for all units.

Source: arXiv 2502.12131 (widths, layers); the single scale, the mirrored decoder, and counting the
stream among the k layers are ours. Cost: about 2 operations per weight and state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.autoencoder_files import (
    FORMAT,
    load_arrays,
    save_arrays,
)
from transformer_dynamics.numerics.arrays import row_pieces

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats32 = NDArray[np.float32]
Weights = Mapping[str, Floats32]

ENCODER, DECODER = "encoder", "decoder"
BLOCK_ROWS = 4096
# Modules of torch per layer: linear map, layer normalization, rectifier.
STRIDE = 3


def layer_widths(n_units: int, bottleneck: int, n_layers: int) -> list[int]:
    """Widths of the encoder's layers, from the units of the stream to those of the bottleneck.

    Args:
        n_units: number of units of the stream.
        bottleneck: number of units of the narrowest layer, smaller than `n_units`.
        n_layers: number of layers, the stream and the bottleneck included, at least two.

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
    """Draw initial weights, uniform within 1/sqrt(inputs), as linear layers commonly begin.

    Args:
        n_units: number of units of the stream.
        bottleneck: number of units of the narrowest layer.
        n_layers: number of layers in each half, the stream and the bottleneck included.
        seed: seed of the weights.

    Returns:
        Arrays named as in the state of the torch network.

    Raises:
        InputError: as in `layer_widths`.

    >>> {name: array.shape for name, array in initial_weights(8, 2, 3, seed=0).items()}
    {'encoder.0.weight': (4, 8), 'encoder.0.bias': (4,), 'encoder.1.weight': (4,),
     'encoder.1.bias': (4,), 'encoder.3.weight': (2, 4), 'encoder.3.bias': (2,),
     'decoder.0.weight': (4, 2), 'decoder.0.bias': (4,), 'decoder.1.weight': (4,),
     'decoder.1.bias': (4,), 'decoder.3.weight': (8, 4), 'decoder.3.bias': (8,)}
    """
    widths = layer_widths(n_units, bottleneck, n_layers)
    generator = np.random.default_rng(seed)
    weights: dict[str, Floats32] = {}
    for half, sizes in ((ENCODER, widths), (DECODER, widths[::-1])):
        for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
            linear, norm = f"{half}.{STRIDE * layer}", f"{half}.{STRIDE * layer + 1}"
            bound = 1 / np.sqrt(inputs)
            for part, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
                drawn = generator.uniform(-bound, bound, shape)
                weights[f"{linear}.{part}"] = drawn.astype(np.float32)
            if layer < n_layers - 2:
                weights[f"{norm}.weight"] = np.ones(outputs, dtype=np.float32)
                weights[f"{norm}.bias"] = np.zeros(outputs, dtype=np.float32)
    return weights


def build_network(weights: Mapping[str, Tensor]) -> nn.Sequential:
    """Build the torch network of given weights: a sequence of the parts `encoder` and `decoder`.

    The parameters share the memory of the weights.
    """
    import torch
    from torch import nn

    network = nn.Sequential()
    # Layers on the device "meta" draw no initial values from the global generator.
    with torch.device("meta"):
        for half in (ENCODER, DECODER):
            layers: list[nn.Module] = []
            while f"{half}.{len(layers)}.weight" in weights:
                outputs, inputs = weights[f"{half}.{len(layers)}.weight"].shape
                layers += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.ReLU()]
            network.add_module(half, nn.Sequential(*layers[: 1 - STRIDE]))
    network.load_state_dict(dict(weights), assign=True)
    return network


def scaled_rows(rows: NDArray[Any], mean: NDArray[np.float64], scale: float) -> Floats32:
    """Compute the input of a network, (row - mean) / scale, in float64 some rows at a time."""
    scaled = np.empty(rows.shape, dtype=np.float32)
    for piece in row_pieces(len(rows)):
        scaled[piece] = (rows[piece] - mean) / scale
    return scaled


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """A trained autoencoder.

    Attributes:
        weights: weights of all layers by name, float32.
        mean: mean subtracted from states, `(unit)`, in stream units.
        scale: divisor of states, in stream units.
        history: mean squared error on the validation states after each epoch, over `scale`
            squared, `(epoch)`.
        identity: digest of the states, options and seed of the training.
    """

    weights: Weights
    mean: NDArray[np.float64]
    scale: float
    history: tuple[float, ...] = ()
    identity: str = ""

    @property
    def bottleneck(self) -> int:
        """Number of units of the narrowest layer."""
        return int(self.weights[f"{DECODER}.0.weight"].shape[1])

    @property
    def widths(self) -> list[int]:
        """Number of units of each layer of the encoder, stream and bottleneck included."""
        linear = [
            array.shape
            for name, array in self.weights.items()
            if name.startswith(f"{ENCODER}.") and array.ndim == 2
        ]
        return [linear[0][1], *(outputs for outputs, _ in linear)]

    def encode(self, values: NDArray[Any]) -> Floats32:
        """Latents of states: `(..., unit)` to `(..., latent)`, dimensionless, float32."""
        return self._in_blocks(values, ENCODER)

    def decode(self, latents: NDArray[Any]) -> Floats32:
        """States of latents: `(..., latent)` to `(..., unit)`, in stream units, float32."""
        rows = self._in_blocks(latents, DECODER)
        flat = rows.reshape(-1, rows.shape[-1])
        for piece in row_pieces(len(flat)):
            flat[piece] = self.mean + self.scale * flat[piece].astype(np.float64)
        return rows

    def reconstruct(self, values: NDArray[Any]) -> Floats32:
        """States decoded from their own latents, `(..., unit)`, in stream units, float32."""
        return self.decode(self.encode(values))

    def _in_blocks(self, values: NDArray[Any], half: str) -> Floats32:
        """Run states through the encoder, or latents through the decoder."""
        import torch

        tensors = {name: torch.tensor(array) for name, array in self.weights.items()}
        run = build_network(tensors).get_submodule(half)
        rows = np.reshape(values, (-1, np.shape(values)[-1]))
        blocks = []
        with torch.inference_mode():
            for start in range(0, len(rows), BLOCK_ROWS):
                block = rows[start : start + BLOCK_ROWS]
                if half == ENCODER:
                    block = scaled_rows(block, self.mean, self.scale)
                blocks.append(run(torch.from_numpy(block.astype(np.float32, copy=False))).numpy())
        joined: Floats32 = np.concatenate(blocks)
        return joined.reshape(*np.shape(values)[:-1], -1)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all."""
        arrays: dict[str, NDArray[Any]] = {**self.weights, "mean": self.mean}
        header = {"scale": self.scale, "history": list(self.history), "identity": self.identity}
        save_arrays(Path(path), arrays, {"format": FORMAT, **header})


def load_autoencoder(path: str | Path) -> Autoencoder:
    """Read a saved autoencoder.

    Args:
        path: its file, `autoencoder-2.safetensors` in the folder of the training.

    Raises:
        TdynError: the file is missing, or not an autoencoder.
    """
    arrays, header = load_arrays(Path(path), FORMAT)
    mean = arrays.pop("mean")
    history = tuple(header["history"])
    return Autoencoder(arrays, mean, float(header["scale"]), history, header["identity"])
