"""A model run by plain hooks, as an oracle."""

import numpy as np
import torch


def finals_with_shift(model, tokens, site, position, unit, shift):
    """The final states `(position, unit)` with one unit of one token shifted at a layer's input."""
    layer = int(site.split(".")[0])
    module = model.trunk.get_submodule(f"layers.{layer}")

    def before(_, args, kwargs):
        stream = (args[0] if args else kwargs["hidden_states"]).clone()
        stream[0, position, unit] += shift
        return (
            ((stream, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": stream})
        )

    finals = {}
    norm = model.trunk.norm.register_forward_pre_hook(
        lambda _, args: finals.update(final=args[0].detach().double().numpy()[0])
    )
    hook = module.register_forward_pre_hook(before, with_kwargs=True)
    try:
        with torch.no_grad():
            model.trunk(input_ids=torch.tensor([tokens]), use_cache=False)
    finally:
        hook.remove()
        norm.remove()
    return np.asarray(finals["final"])
