"""Packed numbers and texts: what the page's script reads is what was packed."""

import base64
import json
import os
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from transformer_dynamics.errors import InputError
from transformer_dynamics.report.packing import (
    CODES,
    island_json,
    packed_array,
    packed_json,
    packed_text,
)

WEB = Path(__file__).parents[2] / "web"


def inflated(data):
    return zlib.decompress(base64.b64decode(data), -zlib.MAX_WBITS)


@pytest.mark.parametrize("dtype", CODES)
def test_an_array_keeps_its_shape_and_its_numbers(dtype):
    values = np.array([[0, 1, 2], [3, 100, 127]])
    packed = packed_array(values, dtype)
    assert packed["shape"] == [2, 3]
    stored = np.frombuffer(inflated(packed["data"]), f"<{packed['dtype']}").reshape(2, 3)
    np.testing.assert_array_equal(stored, values)


def test_float16_states_its_largest_error():
    values = np.array([1.0, 0.1, np.nan, -300.3])
    packed = packed_array(values, "f2")
    error = np.nanmax(np.abs(values.astype(np.float16).astype(float) - values))
    assert packed["error"] == pytest.approx(error, rel=1e-8)
    assert np.isnan(np.frombuffer(inflated(packed["data"]), "<f2")[2])


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([1e5], "f2"), ([1e300], "f4"), ([-1], "u1"), ([0.5], "i4"), ([np.nan], "i2"), ([1], "c8")],
)
def test_values_that_a_type_does_not_hold_are_refused(values, dtype):
    with pytest.raises(InputError, match="f4"):
        packed_array(values, dtype)


def test_an_island_cannot_close_its_element():
    text = island_json({"name": "</script><b>&"})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"name": "</script><b>&"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        island_json({"value": float("nan")})


def test_the_script_reads_what_python_packs():
    node = shutil.which("node")
    if node is None:
        if os.environ.get("TDYN_REQUIRE_BROWSER"):
            pytest.fail("node is not installed")
        pytest.skip("node is not installed")
    numbers = np.array([0.1, -2.5, 65504.0, 6e-8, np.nan, np.inf])
    packed = {
        "half": packed_array(numbers, "f2"),
        "single": packed_array(numbers.reshape(2, 3), "f4"),
        "counts": [packed_array([1, 70000], "u4")],
        "text": packed_text("käse </script> \u202e 🧀"),
        "tree": packed_json({"a": [1, None]}),
    }
    code = (
        'import { unpack } from "./src/packing.js";'
        "const value = await unpack(JSON.parse(process.argv[1]));"
        "const plain = (key, item) => ArrayBuffer.isView(item) ? [...item].map(String) : item;"
        "console.log(JSON.stringify(value, plain));"
    )
    ran = subprocess.run(
        [node, "--input-type=module", "-e", code, json.dumps(packed)],
        cwd=WEB,
        capture_output=True,
        text=True,
        check=True,
    )
    read = json.loads(ran.stdout)
    half = np.array(read["half"]["values"], float)
    np.testing.assert_array_equal(half, numbers.astype(np.float16))
    single = np.array(read["single"]["values"], float).reshape(read["single"]["shape"])
    np.testing.assert_array_equal(single.astype("f4"), numbers.astype("f4").reshape(2, 3))
    assert read["counts"][0]["values"] == ["1", "70000"]
    assert read["text"] == "käse </script> \u202e 🧀"
    assert json.loads(read["tree"]) == {"a": [1, None]}
