"""Recording on the workers of a Dask client: one task for each shard, one model for each worker.

Every worker makes the job again from its `Recipe`, and refuses to record if its model, texts or
versions give other states. It writes a shard to the growing folder as any other worker does
(module `worker`), so the states never pass through the client, and workers of both kinds may share
a folder.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from transformer_dynamics.errors import ModelError, RecordingError
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.model.loading import load_model
from transformer_dynamics.numerics.parallel import Pool, Task, task_pool
from transformer_dynamics.recording.disk.opening import open_recording
from transformer_dynamics.recording.disk.store import begin, differences, record_to_disk
from transformer_dynamics.recording.job import Job, make_job
from transformer_dynamics.recording.moments.moments import Moments
from transformer_dynamics.recording.moments.streaming import add_shard, stream_moments
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.recording.workers.growing import Growing
from transformer_dynamics.recording.workers.identity import Identity
from transformer_dynamics.recording.workers.worker import Count, Worker
from transformer_dynamics.texts.inputs import Inputs

if TYPE_CHECKING:
    import distributed

# A worker with several threads runs its model for one shard at a time.
_MODEL = threading.Lock()


@dataclass(frozen=True)
class Recipe:
    """Everything from which a worker makes the job of a recording.

    Attributes:
        model: Arguments of `td.load_model`, or a model in memory.
        inputs: Token ids of the texts.
        positions: Kept positions, as `td.record` takes them.
        options: Options of the recording.
        keep: `"states"` or `"moments"`.
        settings: Settings that the job must have.
    """

    model: Mapping[str, Any] | Model
    inputs: Inputs
    positions: Any
    options: RecordingOptions
    keep: str
    settings: Mapping[str, Any]

    @classmethod
    def of(
        cls, job: Job, inputs: Inputs, positions: Any, options: RecordingOptions, keep: str
    ) -> Recipe:
        """Make the recipe of a job.

        Raises:
            ModelError: the model is in the memory of an accelerator and has no files.
        """
        model = job.model
        if model.arguments is None and model.device.type != "cpu":
            raise ModelError(
                f"the model {model.name} was given in memory, on {model.device}, where workers "
                f"cannot load it from; {_SAVED}"
            )
        source = model if model.arguments is None else model.arguments
        return cls(source, inputs, positions, options, keep, job.settings)

    def job(self) -> Job:
        """Load the model and make the job, in a worker.

        Raises:
            RecordingError: the worker would record other states.
        """
        model = self.model if isinstance(self.model, Model) else load_model(**self.model)
        job = make_job(model, self.inputs, self.positions, self.options, keep=self.keep)
        details = differences(self.settings, job.settings)
        if details:
            raise RecordingError(
                f"the Dask worker on {socket.gethostname()} would record other states "
                f"({'; '.join(details)}); give all workers the same model, versions and kind of "
                "device as this process"
            )
        return job


@dataclass(frozen=True)
class OnWorkers:
    """A recording that is made by the workers of a client.

    Attributes:
        client: The client.
        recipe: Recipe of the job.
        job: The job in this process.
        template: Labels and provenance of the recording.
        count: Called with the number of tokens of each finished shard.
    """

    client: distributed.Client
    recipe: Recipe
    job: Job
    template: xr.Dataset
    count: Count

    def run(self, out: Path | None) -> Recording | Moments:
        """Record the states or the moments, in `out` or, moments alone, in memory."""
        options = self.recipe.options
        if self.recipe.keep == "moments":
            arguments = self.job, self.template, options, out, self.count
            return stream_moments(*arguments, elsewhere=self.moments)
        return self.record(out)

    def record(self, out: Path | None) -> Recording:
        """Record the missing shards in `out`, and open the recording.

        Raises:
            RecordingError: there is no `out`, or the workers do not see it.
        """
        if out is None:
            raise RecordingError(
                "got a client and no folder; workers write their states to a folder that all of "
                "them see: td.record(model, texts, out='recording.zarr', client=client)"
            )
        # Workers may have another working folder.
        out, plan = out.resolve(), self.job.plan
        growing = begin(self.job, self.template, out, repair=True)
        if growing is None:
            return open_recording(out)
        published = growing.published()
        for shard in published:
            self.count(plan.n_tokens(shard))
        with task_pool(client=self.client) as pool:
            made = pool.once(Recipe.job, self._shared_recipe(pool))
            missing = sorted(set(range(plan.n_shards)) - published)
            tasks = [pool.submit(record_on_worker, made, str(out), shard) for shard in missing]
            for shard, task in zip(missing, tasks, strict=True):
                task.result()
                self.count(plan.n_tokens(shard))
        return record_to_disk(self.job, self.template, out, lambda n_tokens: None, repair=False)

    def moments(self) -> Moments:
        """Compute the moments of each shard, and merge them in pairs until one is left."""
        plan, options = self.job.plan, replace(self.recipe.options, grid=None)
        with task_pool(client=self.client) as pool:
            made = pool.once(Recipe.job, self._shared_recipe(pool))
            template, grid = pool.share(self.template), self.recipe.options.grid
            first = pool.submit(shard_moments, made, template, options, 0, pool.share(grid))
            # The bins of the first shard are those of all.
            others = [
                pool.submit(shard_moments, made, template, options, shard, first)
                for shard in range(1, plan.n_shards)
            ]
            # No name holds a task that is merged, so the workers drop its moments.
            tasks = [first, *others]
            del first, others
            moments: Moments = _merged(pool, tasks).result()
        for shard in range(plan.n_shards):
            self.count(plan.n_tokens(shard))
        return moments

    def _shared_recipe(self, pool: Pool) -> Any:
        try:
            return pool.share(self.recipe)
        except Exception as error:
            raise ModelError(
                f"the model {self.job.model.name} was given in memory and cannot be sent to the "
                f"workers ({type(error).__name__}: {error}); {_SAVED}"
            ) from error


_SAVED = (
    "save it to a folder that they see and load it from there: "
    "hf_model.save_pretrained('model'); td.load_model('model')"
)


def record_on_worker(job: Job, out: str, shard: int) -> None:
    """Record a shard, as a task.

    Raises:
        RecordingError: the worker does not see the folder.
    """
    identity = Identity.here(str(job.model.device))
    growing = Growing(Path(out), identity.worker)
    try:
        with _MODEL:
            Worker(job, growing, identity, lambda n_tokens: None).run([shard])
    except FileNotFoundError as error:
        if not Path(out).exists():  # otherwise another worker has closed the recording
            raise RecordingError(
                f"the Dask worker on {identity.host} does not see {growing.folder}; give a folder "
                "that all workers see: out='/shared/recording.zarr'"
            ) from error


def shard_moments(
    job: Job, template: xr.Dataset, options: RecordingOptions, shard: int, grid: Moments | None
) -> Moments:
    """Compute the moments of a shard with the bins of others, as a task."""
    with _MODEL:
        return add_shard(
            job, template, replace(options, grid=grid), shard, None, lambda n_tokens: None
        )


def _merged(pool: Pool, tasks: list[Task]) -> Task:
    """Merge neighbors until one is left; the list is emptied."""
    while len(tasks) > 1:
        tasks[:] = [
            pool.submit(merged_moments, *tasks[place : place + 2])
            if place + 1 < len(tasks)
            else tasks[place]
            for place in range(0, len(tasks), 2)
        ]
    return tasks.pop()


def merged_moments(first: Moments, other: Moments) -> Moments:
    """Merge the moments of two parts of one recording, as a task."""
    return first.merge(other, same_origin=True)
