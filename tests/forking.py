"""A Python process that imports once, in which no thread runs, and that runs code which forks."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

BEGIN = f"""
import json, os, sys, traceback
sys.path.insert(0, {str(Path(__file__).parent)!r})

def fork(work):
    "Call a function in a forked process, which ends with it; return its process id."
    process = os.fork()
    if process == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return process

def ended(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

def forked(work):
    "Return what a function returns in a forked process."
    reading, writing = os.pipe()
    assert ended(fork(lambda: os.write(writing, json.dumps(work()).encode()))) == 0
    answer = os.read(reading, 2**16)
    os.close(reading), os.close(writing)
    return json.loads(answer)
"""

LOOP = """
import gc
gc.collect()
gc.freeze()  # a search for garbage would copy every page that a forked process shares
for line in sys.stdin:
    names = dict(globals(), result=None)
    try:
        exec(json.loads(line), names)
        answer = {"result": names["result"]}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
"""


@contextmanager
def prepared(code, *words):
    """A function that runs code in such a process and returns the value of its name `result`.

    Args:
        code: what the process does first; `fork`, `ended` and `forked` are defined there.
        words: its command line.
    """
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", BEGIN + code + LOOP, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(code):
        process.stdin.write(json.dumps(code) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["result"]

    try:
        yield run
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()
