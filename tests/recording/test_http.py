"""Recordings behind a web server, here python's own, which lists folders but sends no ranges."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.disk import chunks
from transformer_dynamics.recording.disk.verification import verify

pytest.importorskip("aiohttp")

VALUES = td.synthetic.random_walk(n_samples=40, n_sites=12, n_units=6, seed=0).values


class Quiet(SimpleHTTPRequestHandler):
    """Handler that logs nothing."""

    def log_message(self, *_):
        pass


class WithRanges(Quiet):
    """Handler that sends the range of bytes it is asked for, as most web servers do."""

    def do_GET(self):
        wanted = self.headers.get("Range")
        file = self.translate_path(self.path)
        if wanted is None:
            super().do_GET()
            return
        with open(file, "rb") as stream:
            content = stream.read()
        first, last = wanted.removeprefix("bytes=").split("-")
        start = int(first) if first else len(content) - int(last)
        stop = min(int(last) + 1, len(content)) if first and last else len(content)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        self.wfile.write(content[start:stop])


class WithoutListing(WithRanges):
    """Handler that also lists no folder."""

    def list_directory(self, path):
        self.send_error(403)


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A recording of three files of sixteen, sixteen and eight samples."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 4 * VALUES[0].nbytes)
    monkeypatch.setattr(chunks, "CHUNKS_PER_FILE", 4)
    td.recording.Recording.from_array(VALUES).save(tmp_path / "r.zarr")
    return tmp_path / "r.zarr"


@pytest.fixture
def serve(local):
    """Start a server of a class of handlers; returns the address of the recording."""
    servers = []

    def start(handler):
        made = functools.partial(handler, directory=str(local.parent))
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), made))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/r.zarr"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_states_are_those_of_the_folder(serve, local):
    address = serve(WithRanges)
    recording = td.open_recording(address)
    np.testing.assert_array_equal(recording.values, VALUES)
    np.testing.assert_array_equal(recording.sel(text=[3, 20]).values, VALUES[[3, 20]])
    assert recording.digest == td.open_recording(local).digest
    (found,) = verify(address)
    assert (found.n_files, found.faults) == (3, {})


def test_a_missing_or_truncated_file_is_named(serve, local):
    address, file = serve(WithRanges), local / "activation" / "c" / "1" / "0" / "0"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(RecordingError, match=r"activation/c/1/0/0 .* bytes instead"):
        td.open_recording(address)
    file.unlink()
    with pytest.raises(RecordingError, match=r"activation/c/1/0/0 .* missing"):
        td.open_recording(address)


@pytest.mark.parametrize(
    ("handler", "said"),
    [(Quiet, "sends whole files"), (WithoutListing, "that lists the files of a folder")],
)
def test_a_server_that_cannot_serve_a_recording_is_refused(serve, handler, said):
    with pytest.raises(RecordingError, match=rf"http://127.*/r\.zarr .*{said}"):
        td.open_recording(serve(handler))


def test_what_is_no_recording_or_no_server_is_refused_by_name(serve):
    address = serve(WithRanges)
    with pytest.raises(RecordingError, match=r"there is no recording at .*/none\.zarr"):
        td.open_recording(address.replace("r.zarr", "none.zarr"))
    with pytest.raises(RecordingError, match=r"http://127\.0\.0\.1:9/r\.zarr"):
        td.open_recording("http://127.0.0.1:9/r.zarr")
