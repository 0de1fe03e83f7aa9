"""Estimated cost of a recording, as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

# Decimal prefixes, as disks and networks are sold.
PREFIXES = ("", "k", "M", "G", "T", "P", "E")


@dataclass(frozen=True)
class CostEstimate:
    """Cost of a recording that is not made yet.

    Attributes:
        model: Name of the model.
        device: Device of the forward pass.
        n_texts: Number of texts.
        n_tokens: Number of tokens in the forward passes, without padding. A text whose rows lie in
            two shards counts twice.
        n_samples: Number of samples of the recording.
        n_sites: Number of sites.
        n_units: Number of units.
        n_shards: Number of shards, the units of parallel work.
        storage: Stored dtype.
        flops: Floating-point operations of the forward passes, padding included.
        disk_bytes: Bytes of the finished recording on disk, states and labels.
        free_bytes: Free bytes where the recording is written.
        memory_bytes: Peak memory of a worker on the machine, with the weights if they lie there.
        device_memory_bytes: Peak memory of a worker on its accelerator; None on a CPU.
        n_workers: Number of workers, each as fast as the one that was measured.
        tokens_per_second: Throughput of one worker.
        throughput: Origin of the throughput: the measurement, or `stated`.
        seconds: Time from the first forward pass to the finished recording, without loading the
            model.
    """

    model: str
    device: str
    n_texts: int
    n_tokens: int
    n_samples: int
    n_sites: int
    n_units: int
    n_shards: int
    storage: str
    flops: int
    disk_bytes: int
    free_bytes: int
    memory_bytes: int
    device_memory_bytes: int | None
    n_workers: int
    tokens_per_second: float
    throughput: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers by name, as JSON holds them."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Return name and value of every line of the table."""
        idle = self.n_workers - self.n_shards
        without = f" ({idle} without a shard)" if idle > 0 else ""
        scarce = " (too little)" if self.free_bytes < self.disk_bytes else ""
        device = self.device_memory_bytes
        return [
            ("model", f"{self.model} on {self.device}"),
            ("texts", f"{self.n_texts}"),
            ("tokens", f"{self.n_tokens}"),
            ("states", f"{self.n_samples} samples, {self.n_sites} sites, {self.n_units} units"),
            ("shards", f"{self.n_shards}"),
            ("operations", f"{scaled(self.flops, 'FLOP')}"),
            ("on disk", f"{scaled(self.disk_bytes, 'B')} in {self.storage}"),
            ("free on disk", f"{scaled(self.free_bytes, 'B')}{scarce}"),
            ("memory of a worker", scaled(self.memory_bytes, "B")),
            *([] if device is None else [("memory of its device", scaled(device, "B"))]),
            ("throughput of a worker", f"{self.tokens_per_second:.4g} tokens/s, {self.throughput}"),
            ("workers", f"{self.n_workers}{without}"),
            ("time", duration(self.seconds)),
        ]

    def __str__(self) -> str:
        """Table of names and values."""
        rows = self.rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def scaled(number: float, unit: str) -> str:
    """Write a number with a decimal prefix and three digits.

    >>> scaled(1_234_567, "B"), scaled(12, "B"), scaled(2.5e15, "FLOP")
    ('1.23 MB', '12 B', '2.5 PFLOP')
    """
    place = 0
    while abs(number) >= 999.5 and place < len(PREFIXES) - 1:
        number, place = number / 1000, place + 1
    return f"{number:.3g} {PREFIXES[place]}{unit}"


def duration(seconds: float) -> str:
    """Write a duration in its two largest units.

    >>> duration(0.42), duration(75), duration(3700), duration(200_000)
    ('0.42 s', '1 min 15 s', '1 h 2 min', '2 d 8 h')
    """
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    for size, small, larger, smaller in (
        (60, 1, "min", "s"),
        (3600, 60, "h", "min"),
        (86400, 3600, "d", "h"),
    ):
        whole, rest = divmod(round(seconds / small), size // small)
        if whole * size < 60 * size or larger == "d":
            if larger == "h" and whole >= 24:
                continue
            return f"{whole} {larger} {rest} {smaller}"
    raise AssertionError("unreachable")
