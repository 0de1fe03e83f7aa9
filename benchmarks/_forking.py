"""A process forked before any thread of torch runs, and forks of it that return a value."""

from __future__ import annotations

import json
import multiprocessing
import os
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any

import transformers

import transformer_dynamics as td


def process_apart() -> Executor:
    """Run functions of modules, one at a time, in a process forked now.

    It has imported what this process has, and what a recording needs. No thread of torch may run
    yet: a fork of a process with threads can wait forever.
    """
    transformers.AutoModelForCausalLM, transformers.LlamaForCausalLM, td.record  # noqa: B018
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    pool.submit(os.getpid).result()
    return pool


def in_fork(function: Callable[[], Any]) -> Any:
    """Return what JSON holds of a function's value, which runs in a process forked for it."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.write(writing, json.dumps(function()).encode())
        except BaseException:  # or it would go on as a second process apart
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        answer = file.read()
    if os.waitpid(process, 0)[1]:
        raise RuntimeError("a process of the benchmark failed; its error is above")
    return json.loads(answer)
