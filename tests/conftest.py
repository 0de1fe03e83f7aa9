import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

# A busy machine is no reason to fail, and the same examples are drawn each time;
# `--hypothesis-profile default` draws others.
settings.register_profile(
    "tdyn", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tdyn")
