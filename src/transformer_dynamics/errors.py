"""Errors addressed to the user.

A message is complete in itself: it states the argument, the allowed values, and a call that works.
The command prints it without a traceback. Any other exception is a defect of this package.
"""


class TdynError(Exception):
    """Any error whose message is addressed to the user."""


class AssetError(TdynError):
    """A bundled file cannot be fetched: no network, no pip, or a wrong checksum."""


class TextsError(TdynError, ValueError):
    """Texts cannot be loaded with these arguments."""


class ModelError(TdynError):
    """A model cannot be loaded, or the sites of its residual stream cannot be proved."""


class RecordingError(TdynError):
    """A recording cannot be made, opened or continued with these arguments."""


class InputError(TdynError, ValueError):
    """Numbers or parameters that a measure, a null model or a statistic does not accept."""


class UndefinedWarning(UserWarning):
    """A quantity is undefined for part of the data; the result holds NaN there."""
