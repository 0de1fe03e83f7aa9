"""The errors meant for the user.

A message is complete in itself: what came, what is allowed, and the call that works. The command
prints it is, without a traceback. What is not a `TdynError` is a defect of this package.
"""


class TdynError(Exception):
    """Any error whose message is addressed to the user."""


class AssetError(TdynError):
    """A bundled file cannot be had: no network, no pip, a wrong checksum."""


class TextsError(TdynError, ValueError):
    """Texts cannot be loaded as asked."""


class ModelError(TdynError):
    """A model cannot be loaded, or its residual stream cannot be found and proved."""


class RecordingError(TdynError):
    """A recording cannot be made, opened or continued as asked."""


class InputError(TdynError, ValueError):
    """Numbers or parameters that a measure, a null or a statistic cannot take."""


class UndefinedWarning(UserWarning):
    """A quantity is undefined for part of the data; the result holds NaN there."""
