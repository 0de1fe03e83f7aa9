"""Files of an autoencoder: the result and the checkpoint of its training, as safetensors.

Arrays and a JSON header are in one file, which is written whole or not at all; nothing is pickled.
Interrupted training continues from its checkpoint and ends with the same weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError, TdynError
from transformer_dynamics.storage.files import make_folder, replaced

if TYPE_CHECKING:
    from transformer_dynamics.measures.dimension.autoencoder_network import Autoencoder

# Version 2 names the weights as torch.nn.Sequential does.
FORMAT = "transformer-dynamics autoencoder 2"
CHECKPOINT_FORMAT = "transformer-dynamics autoencoder checkpoint 2"

Arrays = Mapping[str, NDArray[Any]]


def save_arrays(path: Path, arrays: Arrays, header: Any) -> None:
    """Write arrays and a JSON header to one safetensors file, whole or not at all."""
    from safetensors.numpy import save

    # safetensors writes the memory behind a view or a scalar; a copy has its own.
    plain = {name: np.array(array, order="C") for name, array in arrays.items()}
    content = save(plain, metadata={"json": json.dumps(header, sort_keys=True)})
    with replaced(path) as temporary:
        temporary.write_bytes(content)


def load_arrays(path: Path, expected: str) -> tuple[dict[str, NDArray[Any]], Any]:
    """Read arrays and header from a file of `save_arrays`.

    Raises:
        TdynError: the file is missing, not one of ours, or not of the expected format.
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
            f"{path} is of the format {header.get('format')!r}, not {expected!r}; train again with "
            "another folder, or delete the file: out='runs/demo/autoencoder'"
        )
    return arrays, header


class AutoencoderFiles:
    """Checkpoint and result of one autoencoder in a folder.

    Args:
        folder: folder of the files; it is created.
        bottleneck: units of the narrowest layer, part of the file names.
        identity: digest of states, options and seed; files of another digest are refused.
    """

    def __init__(self, folder: Path, bottleneck: int, identity: str) -> None:
        make_folder(folder)
        self.result = folder / f"autoencoder-{bottleneck}.safetensors"
        self._checkpoint = folder / f"autoencoder-{bottleneck}.checkpoint.safetensors"
        self._identity = identity

    def is_finished(self) -> bool:
        """Whether the result exists.

        Raises:
            InputError: it was trained on other states, with other options or another seed.
        """
        if not self.result.exists():
            return False
        self._require_same(self.result, load_arrays(self.result, FORMAT)[1]["identity"])
        return True

    def load_checkpoint(self) -> tuple[dict[str, NDArray[Any]], Any] | None:
        """Read arrays and header of the checkpoint; None without one."""
        if not self._checkpoint.exists():
            return None
        arrays, header = load_arrays(self._checkpoint, CHECKPOINT_FORMAT)
        self._require_same(self._checkpoint, header["identity"])
        return arrays, header

    def save_checkpoint(self, arrays: Arrays, header: Mapping[str, Any]) -> None:
        """Write a checkpoint in place of the previous one."""
        full = {**header, "format": CHECKPOINT_FORMAT, "identity": self._identity}
        save_arrays(self._checkpoint, arrays, full)

    def finish(self, trained: Autoencoder) -> None:
        """Write the result and remove the checkpoint."""
        trained.save(self.result)
        self._checkpoint.unlink(missing_ok=True)

    def _require_same(self, path: Path, identity: str) -> None:
        if identity != self._identity:
            raise InputError(
                f"{path} was trained on other states, with other options or another seed; give "
                "another folder, or delete the file: out='runs/demo/autoencoder'"
            )
