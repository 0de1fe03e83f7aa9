"""Class of transformers for the architecture that a configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformer_dynamics.model.weights.checkpoints import called

# In the order of the attempts, each with the table of transformers that lists the types it loads.
AUTO_CLASSES = {
    "AutoModelForCausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "AutoModelForImageTextToText": "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "AutoModelForMaskedLM": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
}


def auto_class(name: str, folder: str, source: Mapping[str, Any]) -> Any:
    """Return the class of transformers that loads the configured architecture with its head."""
    import transformers
    from transformers.models.auto import modeling_auto

    config = called(name, transformers.AutoConfig.from_pretrained, folder, **source)
    built = (getattr(config, "architectures", None) or [""])[0]
    remote = getattr(config, "auto_map", None) or {}
    for auto, mapping in AUTO_CLASSES.items():
        known = getattr(modeling_auto, mapping).get(config.model_type)
        if auto in remote or built == known or (not built and known):
            return getattr(transformers, auto)
    return transformers.AutoModel
