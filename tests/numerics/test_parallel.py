"""Pools of threads: BLAS runs on one thread in them, and as before after them."""

import sys
import types

import pytest
import threadpoolctl

from transformer_dynamics.numerics import parallel
from transformer_dynamics.numerics.parallel import thread_pool


def blas_threads():
    found = threadpoolctl.threadpool_info()
    return [each["num_threads"] for each in found if each["user_api"] == "blas"]


def test_blas_runs_on_one_thread_in_a_pool_and_as_before_after_it():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        assert 2 in before
        for _ in range(2):
            with thread_pool(2) as pool:
                assert set(blas_threads()) == {1}
                assert pool.submit(blas_threads).result() == [1] * len(before)
            assert blas_threads() == before
        with pytest.raises(KeyboardInterrupt), thread_pool(2):
            raise KeyboardInterrupt
        assert blas_threads() == before


def test_libraries_are_searched_again_after_an_import(monkeypatch):
    searches = []

    class Searching(threadpoolctl.ThreadpoolController):
        def __init__(self):
            searches.append(True)
            super().__init__()

    monkeypatch.setattr(threadpoolctl, "ThreadpoolController", Searching)
    parallel._libraries.cache_clear()
    for _ in range(3):
        with thread_pool(1):
            assert len(searches) == 1
    monkeypatch.setitem(sys.modules, "a_module_with_a_library", types.ModuleType("a"))
    with thread_pool(1):
        assert len(searches) == 2
    parallel._libraries.cache_clear()
