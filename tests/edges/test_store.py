"""Directories of models that something happened to: the forecast that was saved, or one sentence; any order of work."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.bars import ROOT, make_bars
from tests.support.outcomes import Refusal, command, outcome
from tests.support.strategies import JSON, TEXT, examples, mostly
from volcast import VolatilityForecaster
from volcast.store.serving_log import HistoryEntry
from volcast.store.store import ModelStore

SAMPLES = ROOT / "tests" / "data"
NAMES = ("schema-2", "schema-2-har-lstm", "schema-2-pooled-har-lstm")
BARS = make_bars("2024-10-28", "2024-12-06", minutes=5)
SAMPLE = ModelStore(SAMPLES).load("schema-2")
WORD = TEXT.filter(lambda text: "\0" not in text and "\ud800" not in text)


def forecast(name: str, models: Path) -> str:
    made = VolatilityForecaster(name, {"model_save_path": str(models)}).forecast(
        BARS, symbol="SPY" if "pooled" in name else None, allow_in_sample=True
    )
    return repr(made.volatility)


RIGHT = {name: forecast(name, SAMPLES) for name in NAMES}


def harmed(models: Path, data: st.DataObject) -> None:
    """One thing that happens to files: cut, changed, gone, moved, or a link, a directory or junk where a file was."""
    entries = sorted(path for path in models.glob("**/*") if path != models)
    path = data.draw(st.sampled_from(entries).map(lambda entry: str(entry.relative_to(models))))
    target = models / path
    if not target.exists():
        return
    how = data.draw(st.sampled_from(["remove", "junk", "cut", "byte", "json", "link", "directory", "move", "add"]))
    if how == "add":
        added = models / data.draw(st.sampled_from(["serving.json", "x", ".lock", ".partial-x", "schema-2/x"]))
        content = data.draw(st.binary(max_size=20))
        if added.parent.is_dir():
            added.write_bytes(content)
    elif how == "move":
        other = models / data.draw(st.sampled_from(["other", *NAMES]))
        if not other.exists() and target.parent == models:
            target.rename(other)
    elif target.is_dir():
        if how in ("remove", "junk"):
            shutil.rmtree(target)
        if how == "junk":
            target.write_bytes(b"junk")
    elif how in ("remove", "directory", "link"):
        target.unlink()
        if how == "directory":
            target.mkdir()
        elif how == "link":
            target.symlink_to(data.draw(st.sampled_from(["/etc/hostname", "nowhere", path.rpartition("/")[2]])))
    elif not target.is_symlink():
        content = target.read_bytes()
        place = data.draw(st.integers(0, max(len(content) - 1, 0)))
        target.write_bytes(
            {
                "junk": b"junk",
                "cut": content[:place],
                "byte": content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1 :],
                "json": json.dumps(data.draw(JSON)).encode(),
            }[how]
        )


@examples(40)
@given(st.sampled_from(NAMES), st.data())
def test_a_harmed_store_forecasts_as_before_or_says_why_not(name: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        models.mkdir()
        for sample in NAMES:
            shutil.copytree(SAMPLES / sample, models / sample)
        for _ in range(data.draw(st.integers(1, 3))):
            harmed(models, data)
        store = ModelStore(models)
        problems = outcome("ModelStore.verify_all", store.verify_all, Path(folder))
        made = outcome(f"forecast of a harmed {name}", lambda: forecast(name, models), Path(folder))
        assert isinstance(made, Refusal) or made == RIGHT[name]
        if not isinstance(problems, Refusal) and problems.get(name, "absent") is None:
            # A manifest alone does not make a network: what is verified also loads.
            assert not isinstance(made, Refusal), made
        serving = outcome("ModelStore.serving", store.serving, Path(folder))
        assert serving is None or isinstance(serving, Refusal | str)
        outcome(
            "VolatilityForecaster()", lambda: VolatilityForecaster(None, {"model_save_path": str(models)}), Path(folder)
        )


@examples(60)
@given(st.data())
def test_the_models_command_on_a_harmed_store(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        for sample in NAMES:
            shutil.copytree(SAMPLES / sample, models / sample)
        for _ in range(data.draw(st.integers(0, 2))):
            harmed(models, data)
        model = mostly(st.sampled_from(NAMES), WORD)
        words: list[str] = data.draw(
            st.one_of(
                st.just(["ls"]),
                st.sampled_from([["rollback"], ["verify"]]),
                st.tuples(model, WORD.filter(lambda word: "/" not in word)).map(
                    lambda pair: ["export", pair[0], f"{folder}/pair{pair[1]}"]
                ),
                st.sampled_from(["x.h5", "models/schema-2/manifest.json", "models"]).map(
                    lambda name: ["import-colab", f"{folder}/{name}"]
                ),
                model.map(lambda name: ["show", name]),
                model.map(lambda name: ["promote", name]),
                model.map(lambda name: ["verify", name]),
                st.tuples(model, WORD).map(lambda pair: ["promote", pair[0], "--reason", pair[1]]),
                st.integers(-1, 4).map(lambda keep: ["prune", "--keep", str(keep)]),
                st.lists(WORD, max_size=3),
            )
        )
        as_json = data.draw(st.booleans())
        # Of so many words chance may leave one out: what was decided is read in any case.
        for spoken in (["history"], words):
            said = command(["models", *spoken, "--store", str(models), *(["--json"] if as_json else [])], Path(folder))
            if said.status == 0 and as_json and not {"-h", "--help"} & set(spoken):
                json.loads(said.out)


class StoreInAnyOrder(RuleBasedStateMachine):
    """Save, promote, roll back, prune and kill, in any order: a fresh store sees what a list on paper says."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "models"
        self.store = ModelStore(self.path)
        self.count = 0
        self.saved: list[str] = []
        self.decided: list[str] = []
        self.kept_out: set[str] = set()

    def teardown(self) -> None:
        self._folder.cleanup()

    def serves(self) -> list[str]:
        """Those that serve and served, by promotion, of those that are there."""
        return [name for name in self.decided if name in self.saved]

    @rule()
    def save(self) -> None:
        self.count += 1
        name = f"model-{self.count}"
        outcome("ModelStore.save", lambda: self.store.save(replace(SAMPLE, name=name)), self.path)
        self.saved.append(name)

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def save_again(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.saved))
        again = outcome("ModelStore.save again", lambda: self.store.save(replace(SAMPLE, name=name)), self.path)
        assert isinstance(again, Refusal)

    @rule(data=st.data(), word=WORD)
    def promote(self, data: st.DataObject, word: str) -> None:
        name = data.draw(mostly(st.sampled_from([*self.saved, "absent"]), WORD))
        found = outcome("ModelStore.promote", lambda: self.store.promote(name, word), self.path)
        assert isinstance(found, Refusal) == (name not in self.saved)
        if name in self.saved and self.decided[-1:] != [name]:
            self.decided.append(name)

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def keep_out(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.saved))
        outcome("ModelStore.record", lambda: self.store.record(HistoryEntry.now(name, "kept out", "worse")), self.path)
        self.kept_out.add(name)

    @rule(judgment=st.sampled_from(["use", "do not use", "unknown", None]), accept=st.booleans())
    def admit(self, judgment: str | None, accept: bool) -> None:
        self.count += 1
        name = f"model-{self.count}"
        manifest = {**SAMPLE.manifest, "evaluation": None if judgment is None else {"judgment": judgment}}
        bundle = self.store.save(replace(SAMPLE, name=name, manifest=manifest))
        self.saved.append(name)
        serves = outcome("ModelStore.admit", lambda: self.store.admit(bundle, "new", accept_verdict=accept), self.path)
        assert serves == (accept or judgment != "do not use")
        if serves:
            self.decided.append(name)
        else:
            self.kept_out.add(name)

    @rule()
    def roll_back(self) -> None:
        found = outcome("ModelStore.rollback", self.store.rollback, self.path)
        stack = self.serves()
        if len(stack) < 2:
            assert isinstance(found, Refusal)
            return
        assert found == stack[-2]
        while self.decided[-1] != found:
            self.decided.pop()

    @rule(keep=st.integers(-1, 4))
    def prune(self, keep: int) -> None:
        before = self.expected_to_serve()
        deleted = outcome("ModelStore.prune", lambda: self.store.prune(keep), self.path)
        if keep < 1:
            assert isinstance(deleted, Refusal)
            return
        stay = {*self.saved[::-1][:keep], *self.serves()[-2:], before}
        assert deleted == [name for name in reversed(self.saved) if name not in stay]
        self.saved = [name for name in self.saved if name in stay]

    @rule(after=st.integers(0, 6), what=st.sampled_from(["save", "promote", "prune"]))
    def kill(self, after: int, what: str) -> None:
        """Stop a writer before one of its renames: as before, or as after."""
        target = self.saved[0] if self.saved else "absent"
        before = len(self.store.history())
        work: dict[str, Callable[[], Any]] = {
            "save": lambda: self.store.save(replace(SAMPLE, name="never")),
            "promote": lambda: self.store.promote(target, "x"),
            "prune": lambda: self.store.prune(1),
        }
        renamed = os.replace
        count = 0

        def stopped(source: Any, destination: Any) -> None:
            nonlocal count
            count += 1
            if count > after:
                raise KeyboardInterrupt
            renamed(source, destination)

        with mock.patch("volcast.store.store.os.replace", stopped), contextlib.suppress(KeyboardInterrupt):
            outcome(f"a killed {what}", work[what], self.path)
        fresh = ModelStore(self.path)
        there = {manifest["name"] for manifest in fresh.list()}
        assert there <= {*self.saved, "never"}
        assert what == "prune" or there >= set(self.saved)
        if "never" in there:
            shutil.rmtree(self.path / "never")
        self.saved = [name for name in self.saved if name in there]
        written = len(fresh.history()) > before
        if what == "promote" and written and self.decided[-1:] != [target]:
            self.decided.append(target)

    @rule()
    def open_anew(self) -> None:
        self.store = ModelStore(self.path)

    def expected_to_serve(self) -> str | None:
        free = [name for name in self.saved if name not in self.kept_out]
        candidates = self.serves()[-1:] or free[-1:]
        return candidates[0] if candidates else None

    @invariant()
    def a_fresh_store_agrees(self) -> None:
        fresh = ModelStore(self.path)
        manifests, history = outcome("ModelStore.list", fresh.list), outcome("ModelStore.history", fresh.history)
        assert not isinstance(manifests, Refusal)
        assert not isinstance(history, Refusal)
        assert [manifest["name"] for manifest in manifests] == self.saved[::-1]
        assert len(history) >= len(self.decided)
        assert set(fresh.verify_all().values()) <= {None}
        assert fresh.serving() == self.expected_to_serve()
        model = VolatilityForecaster(None, {"model_save_path": str(self.path)}).model_info()["version"]
        assert model == (self.expected_to_serve() or "ewma")


TestStoreInAnyOrder = StoreInAnyOrder.TestCase
TestStoreInAnyOrder.settings = examples(8, steps=25)
