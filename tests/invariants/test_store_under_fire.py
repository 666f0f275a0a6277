"""A store that is killed, filled up, tampered with and used by several at once."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.bars import ROOT
from volcast.cli.models import main
from volcast.errors import CorruptModelError, ModelNotFoundError, StoreError, UnsafeModelError, VolatilityError
from volcast.networks.keras_files import load_network
from volcast.store.bundle import ModelBundle
from volcast.store.serving_log import HistoryEntry
from volcast.store.store import ModelStore

SAMPLE = ROOT / "tests" / "data" / "schema-2"


@pytest.fixture(scope="module")
def sample() -> ModelBundle:
    """A small model, without Keras."""
    return ModelStore(SAMPLE.parent).load("schema-2")


@pytest.fixture
def store(tmp_path: Path, sample: ModelBundle) -> ModelStore:
    """Two models, of which the first was promoted."""
    store = ModelStore(tmp_path / "models")
    for name in ("one", "two"):
        store.save(replace(sample, name=name), {"metrics.json": b"{}"})
    store.promote("one", "known to be good")
    return store


def work_until_killed(path: Path, journal: Path) -> None:
    """Save, promote and roll back in a loop; the journal says what is about to happen, and what did."""
    store, sample = ModelStore(path), ModelStore(SAMPLE.parent).load("schema-2")
    with journal.open("a") as file:

        def note(*words: str) -> None:
            print(*words, file=file, flush=True)

        for number in range(10_000):
            name = f"{os.getpid()}-{number}"
            note("saving", name)
            store.save(replace(sample, name=name))
            note("saved", name)
            before = store.serving() or ""
            note("promoting", before, name)
            store.promote(name, "test")
            note("serving", name)
            if number % 3 == 2:
                note("rolling-back", name, before)
                store.rollback()
                note("serving", before)


def kill_at_random_moments(path: Path, journal: Path, times: int) -> None:
    """After each kill the store verifies, the champion is one of the two that it may be, and nothing saved is lost."""
    random = np.random.default_rng(0)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["volcast.store.store", __name__])
    for _ in range(times):
        length = len(journal.read_text().splitlines()) if journal.exists() else 0
        worker = context.Process(target=work_until_killed, args=(path, journal))
        worker.start()
        while not journal.exists() or len(journal.read_text().splitlines()) < length + 3:
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.15))
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()
        check_after_kill(ModelStore(path), [line.split() for line in journal.read_text().splitlines()])


def check_after_kill(store: ModelStore, journal: list[list[str]]) -> None:
    assert set(store.verify_all().values()) == {None}
    saved = {manifest["name"] for manifest in store.list()}
    assert {words[1] for words in journal if words[0] == "saved"} <= saved
    decisions = [words for words in journal if words[0] in ("promoting", "rolling-back", "serving")]
    if decisions:
        assert store.serving() in decisions[-1][1:]


def test_killed_at_random_moments_the_store_is_whole(tmp_path: Path) -> None:
    kill_at_random_moments(tmp_path / "models", tmp_path / "journal", 6)
    # What was half written is swept away by the next who writes.
    store = ModelStore(tmp_path / "models")
    store.promote(store.list()[0]["name"], "after the fire")
    assert not list(store.path.glob(".partial-*"))


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path) -> None:
    kill_at_random_moments(tmp_path / "models", tmp_path / "journal", 154)


def in_namespace(script: str, mount: str, folder: Path) -> str:
    """What a script prints in a mount namespace of its own, `folder` mounted as `mount` says."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no mount namespaces for this user: cannot make a small or a read-only disk")
    code = f"""
import sys
from dataclasses import replace
from pathlib import Path
from volcast.store.store import ModelStore
from volcast.errors import VolatilityError
store, sample = ModelStore({str(folder)!r}), ModelStore("tests/data").load("schema-2")
{textwrap.dedent(script)}
"""
    command = f"mount {mount} {folder} && exec {sys.executable} -"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], input=code, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert not done.stderr, done.stderr
    return done.stdout


def test_a_full_disk_is_one_sentence_and_the_champion_stays(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    script = """
    store.save(replace(sample, name="champion"))
    store.promote("champion", "first")
    try:
        for number in range(100):
            store.save(replace(sample, name=f"more-{number}"), {"metrics.json": b"0" * 30_000})
    except VolatilityError as error:
        print(type(error).__name__, error)
    print(store.serving(), set(store.verify_all().values()), list(store.path.glob(".partial-*")))
    Path(store.path / "filler").write_bytes(b"")
    try:
        with open(store.path / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(b"0" * 512)
    except OSError:
        pass
    try:
        store.promote("more-0", "there is no room to write this down")
    except VolatilityError as error:
        print(type(error).__name__, error)
    print(store.serving())
    """
    first, state, second, serving = in_namespace(script, "-t tmpfs -o size=400k tmpfs", folder).splitlines()
    for sentence in (first, second):
        assert sentence.startswith("StoreError")
        assert "the disk is full" in sentence
        assert "make room and try again" in sentence
    assert state == "champion {None} []"
    assert serving == "champion"


@pytest.mark.train
def test_a_search_that_the_disk_has_no_room_for_is_one_sentence_and_goes_on_later(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    script = """
    import numpy as np
    from volcast.networks.tensorflow import load_tensorflow_quietly
    load_tensorflow_quietly()
    from volcast.search.search import search_hyperparameters
    from volcast.config import TrainingConfig
    from volcast.progress import SilentProgress

    class Filling(SilentProgress):
        full = True

        def trial_began(self, number):
            if self.full and number == 2:
                (store.path / "filler").write_bytes(bytes(6 * 2**20))

    random = np.random.default_rng(0)
    windows, targets = random.standard_normal((60, 8, 1)).astype("float32"), random.standard_normal(60)
    config = TrainingConfig.from_mapping(
        dict(memory=8, max_trials=4, epochs=1, units_range=(16, 16), workers=1, model_save_path=str(store.path))
    )
    try:
        search_hyperparameters(config, (windows, targets), (windows, targets), Filling())
    except VolatilityError as error:
        print(type(error).__name__, error)
    (store.path / "filler").unlink()
    Filling.full = False
    found = search_hyperparameters(config, (windows, targets), (windows, targets), Filling())
    print(found.resumed_trials, len(found.trials))
    """
    sentence, numbers = in_namespace(script, "-t tmpfs -o size=20m tmpfs", folder).splitlines()
    assert sentence.startswith("TrainingError")
    assert "the rule is 16 before each trial; make room: the same command goes on" in sentence
    assert numbers == "2 4"


def test_a_read_only_store_serves_and_says_why_nothing_changes(tmp_path: Path, store: ModelStore) -> None:
    script = """
    three = replace(sample, name="three")
    for change in (lambda: store.save(three), lambda: store.promote("two", "x"), store.rollback):
        try:
            change()
        except VolatilityError as error:
            print(type(error).__name__, error)
    print(store.load(store.serving()).name)
    """
    said = in_namespace(script, f"-o bind,ro {store.path}", store.path).splitlines()
    assert len(said) == 4
    assert all(sentence.startswith("StoreError") and "read-only" in sentence for sentence in said[:3])
    assert said[3] == "one"


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip_a_byte, truncate, Path.unlink])
def test_damage_to_any_file_is_found_and_named(store: ModelStore, damage: Callable[[Path], None]) -> None:
    for file in sorted((store.path / "one").iterdir()):
        whole = file.read_bytes()
        damage(file)
        with pytest.raises((CorruptModelError, ModelNotFoundError), match=file.name):
            store.load("one")
        assert file.name in (store.verify_all()["one"] or "")
        file.write_bytes(whole)
    assert store.load("one").name == "one"


def test_damaged_anywhere_a_model_is_refused(tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name in ("schema-2", "schema-2-har-lstm", "schema-2-pooled-har-lstm"):
        shutil.copytree(SAMPLE.parent / name, models / name)
    store, random = ModelStore(models), np.random.default_rng(0)
    files = sorted(file for file in models.glob("*/*"))
    for number in range(642):
        file = files[number % len(files)]
        whole = file.read_bytes()
        place = int(random.integers(len(whole)))
        changed = bytes([whole[place] ^ int(random.integers(1, 256))])
        harm = number // len(files) % 4
        file.write_bytes([whole[:place] + changed + whole[place + 1 :], whole[:place], whole + b"x", b""][harm])
        with pytest.raises((CorruptModelError, ModelNotFoundError, UnsafeModelError), match=file.name):
            store.load(file.parent.name)
        file.write_bytes(whole)
    assert set(store.verify_all().values()) == {None}


def test_a_link_or_a_directory_in_a_model_is_refused(store: ModelStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes((store.path / "one" / "metrics.json").read_bytes())
    (store.path / "one" / "metrics.json").unlink()
    (store.path / "one" / "metrics.json").symlink_to(secret)
    with pytest.raises(UnsafeModelError, match=r"metrics\.json is a link"):
        store.load("one")
    (store.path / "one" / "metrics.json").unlink()
    (store.path / "one" / "metrics.json").mkdir()
    with pytest.raises((UnsafeModelError, CorruptModelError), match=r"metrics\.json"):
        store.load("one")


def rewrite_manifest(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """As an attacker would: with the hash of what was written."""
    from volcast.store.bundle_files import _hash_line

    manifest = json.loads((directory / "manifest.json").read_text())
    change(manifest)
    content = json.dumps(manifest).encode()
    (directory / "manifest.json").write_bytes(content)
    (directory / "manifest.sha256").write_bytes(_hash_line(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(name="../../outside"),
        lambda manifest: manifest["files"].update({"../outside": {"sha256": "0" * 64, "bytes": 1}}),
        lambda manifest: manifest["files"].update({"/etc/passwd": {"sha256": "0" * 64, "bytes": 1}}),
    ],
)
def test_a_manifest_that_leads_out_is_refused(store: ModelStore, change: Callable[[dict[str, Any]], object]) -> None:
    rewrite_manifest(store.path / "one", change)
    with pytest.raises(UnsafeModelError, match=r"may not lead out"):
        store.load("one")


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(schema_version=99),
        lambda manifest: manifest.update(files=None),
        lambda manifest: manifest.update(created=7),
        lambda manifest: manifest.pop("name"),
        lambda manifest: manifest["files"].update({"x": 3}),
        lambda manifest: manifest["files"]["recipe.json"].update(bytes=10**12),
    ],
)
def test_a_manifest_of_another_shape_is_refused(store: ModelStore, change: Callable[[dict[str, Any]], object]) -> None:
    rewrite_manifest(store.path / "one", change)
    with pytest.raises(VolatilityError, match=r"manifest|recipe|\bx\b"):
        store.load("one")


def test_a_recipe_of_another_shape_is_refused(store: ModelStore) -> None:
    """Its hash is right, so it is not damage but another release's work, or somebody's."""
    recipe = json.loads((store.path / "one" / "recipe.json").read_text())
    del recipe["scaler"]["profile"]
    content = json.dumps(recipe).encode()
    (store.path / "one" / "recipe.json").write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    rewrite_manifest(store.path / "one", lambda manifest: manifest["files"].update({"recipe.json": entry}))
    with pytest.raises(CorruptModelError, match=r"recipe\.json.* no scaler\.profile.* train anew"):
        store.load("one")


def keras_archive(path: Path, others: dict[str, bytes]) -> Path:
    """The sample's network, with other members of these names."""
    with (
        zipfile.ZipFile(SAMPLE / "network_0.keras") as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            if name not in others:
                target.writestr(name, source.read(name))
        for name, content in others.items():
            target.writestr(name, content)
    return path


def test_a_keras_archive_that_climbs_out_is_refused(tmp_path: Path) -> None:
    for name in ("../climbed", "/tmp/climbed", "assets/../../climbed"):
        path = keras_archive(tmp_path / "evil.keras", {name: b"x"})
        with pytest.raises(UnsafeModelError, match="climbed"):
            load_network(path)
    assert not (tmp_path.parent / "climbed").exists()
    assert not Path("/tmp/climbed").exists()


def test_a_zip_bomb_is_refused_unread(tmp_path: Path) -> None:
    for name in ("model.weights.h5", "config.json"):
        path = keras_archive(tmp_path / "bomb.keras", {name: b"0" * (300 * 2**20)})
        assert path.stat().st_size < 2**20
        with pytest.raises(UnsafeModelError, match=name):
            load_network(path)


def test_eight_threads_and_two_processes_on_one_store(store: ModelStore, sample: ModelBundle) -> None:
    code = f"""
from dataclasses import replace
from volcast.store.store import ModelStore
store, sample = ModelStore({str(store.path)!r}), ModelStore("tests/data").load("schema-2")
for number in range(10):
    store.save(replace(sample, name=f"{{__import__('os').getpid()}}-{{number}}"))
    store.promote("one" if number % 2 else "two", "in turn")
"""
    others = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]

    def promote() -> None:
        for number in range(5):
            store.promote("two" if number % 2 else "one", "in turn")

    threads = [threading.Thread(target=promote) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        assert other.communicate()[1] == b""
    # The first promotion, forty of the threads, ten of each process: none is lost.
    assert len(store.history()) == 1 + 40 + 20
    assert len(store.list()) == 2 + 20
    assert set(store.verify_all().values()) == {None}


@pytest.mark.parametrize("act", ["verify", "load", "promote"])
def test_a_model_removed_while_it_is_read_is_gone_and_not_damaged(
    act: str, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from volcast.store import bundle_files

    listed = bundle_files._names_in

    def removed_meanwhile(directory: Path) -> set[str]:
        shutil.rmtree(store.path / "two", ignore_errors=True)
        return listed(directory)

    monkeypatch.setattr(bundle_files, "_names_in", removed_meanwhile)
    with pytest.raises(ModelNotFoundError, match=r"two was removed from .* while it was read"):
        store.promote("two", "x") if act == "promote" else getattr(store, act)("two")
    assert store.verify_all() == {"one": None}


def test_beside_a_prune_and_promotions_everything_verifies(store: ModelStore, sample: ModelBundle) -> None:
    store.promote("two", "better")
    done = threading.Event()

    def churn() -> None:
        for turn in range(15):
            for number in range(8):
                store.save(replace(sample, name=f"{turn}-{number}"))
            store.promote("two" if turn % 2 else "one", "in turn")
            store.prune(keep=1)
        done.set()

    thread = threading.Thread(target=churn)
    thread.start()
    found = []
    while not done.is_set():
        found.append({name: problem for name, problem in store.verify_all().items() if problem})
    thread.join()
    assert len(found) > 20
    assert not any(found), next(filter(None, found))


def test_prune_leaves_those_that_serve_and_served_last(store: ModelStore, sample: ModelBundle) -> None:
    for name in ("three", "four", "five"):
        store.save(replace(sample, name=name))
    store.promote("two", "better")
    assert store.prune(keep=1) == ["four", "three"]
    assert [manifest["name"] for manifest in store.list()] == ["five", "two", "one"]
    assert store.rollback() == "one"
    with pytest.raises(VolatilityError, match="keep is 0"):
        store.prune(keep=0)


def test_the_history_says_who_served_and_why(store: ModelStore) -> None:
    store.promote("two", "better", {"p_value": 0.01})
    store.rollback("a mistake")
    store.record(HistoryEntry.now("two", "promoted", "in a backtest", asof="2024-01-02T09:30:00-05:00"))
    events = [(entry.name, entry.event, entry.reason) for entry in store.history()]
    assert events == [
        ("one", "promoted", "known to be good"),
        ("two", "promoted", "better"),
        ("one", "rolled back", "a mistake"),
        ("two", "promoted", "in a backtest"),
    ]
    # What a backtest decides changes nothing now.
    assert store.serving() == "one"


def test_a_history_of_schema_1_is_read(store: ModelStore) -> None:
    old = [{"name": name, "since": "2025-01-01T00:00:00+00:00", "reason": "newest training"} for name in ("one", "two")]
    (store.path / "serving.json").write_text(json.dumps(old))
    assert store.serving() == "two"
    assert store.rollback() == "one"


def test_a_torn_history_is_one_sentence(store: ModelStore) -> None:
    (store.path / "serving.json").write_bytes(b'{"history": [')
    with pytest.raises(CorruptModelError, match=r"serving\.json cannot be read .* promote a model anew"):
        store.serving()
    assert "serving.json" in store.verify_all()


def run(arguments: list[str], store: ModelStore, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main([*arguments, "--store", str(store.path)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_the_commands_say_it_to_people_and_to_scripts(store: ModelStore, capsys: pytest.CaptureFixture[str]) -> None:
    status, said, _ = run(["ls"], store, capsys)
    assert status == 0
    assert [line.split()[:2] for line in said.splitlines()[1:]] == [["two", "SPY"], ["*", "one"]]
    models = json.loads(run(["ls", "--json"], store, capsys)[1])
    assert [(model["name"], model["serving"]) for model in models] == [("two", False), ("one", True)]

    assert (
        "two serves from now on, in place of one." in run(["promote", "two", "--reason", "why not"], store, capsys)[1]
    )
    shown = json.loads(run(["show", "two", "--json"], store, capsys)[1])
    assert (shown["serving"], shown["history"][0]["reason"]) == (True, "why not")
    assert "why not" in run(["history"], store, capsys)[1]
    assert "one serves again, in place of two." in run(["rollback"], store, capsys)[1]
    assert json.loads(run(["prune", "--keep", "1", "--json"], store, capsys)[1]) == {"deleted": []}
    assert run(["verify"], store, capsys)[0] == 0

    flip_a_byte(store.path / "two" / "metrics.json")
    status, said, _ = run(["verify", "--json"], store, capsys)
    assert status == 1
    found = json.loads(said)
    assert found["one"] is None
    assert "metrics.json" in found["two"]


def test_the_commands_fail_with_one_sentence(store: ModelStore, capsys: pytest.CaptureFixture[str]) -> None:
    status, said, error = run(["promote", "three"], store, capsys)
    assert (status, said) == (1, "")
    assert error.count("\n") == 1
    assert "'three'" in error
    assert run(["promote", "../one"], store, capsys)[0] == 2
    status, said, _ = run(["export", "one", str(store.path / "pair"), "--json"], store, capsys)
    assert status == 2
    assert json.loads(said)["exit_status"] == 2
    with pytest.raises(SystemExit):
        main(["no-such-command"])


def test_a_lock_that_is_held_is_said(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    import filelock

    monkeypatch.setattr("volcast.store.store._LOCK_SECONDS", 0.05)
    with filelock.FileLock(store.path / ".lock"), pytest.raises(StoreError, match="in use by another process"):
        store.promote("two", "x")
