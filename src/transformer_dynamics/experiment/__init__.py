"""The main job: record, run the nulls, measure, perturb, test the claims, report.

Names are fetched when they are first used, so that the command can speak before it computes. They
and their types stand in `__init__.pyi`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
