"""The residual stream of transformers as a dynamical system over depth.

Importing this package loads neither torch nor transformers: every public name is fetched when it
is first used. The names and their types stand in `__init__.pyi`.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
