"""Work on all cores is what work on one is."""

import threading

import numpy as np
import pytest

from volcast import processes
from volcast.processes import cores, on_all_cores


@pytest.mark.parametrize("is_worth_it", [False, True])
def test_results_come_in_the_order_of_the_items(is_worth_it: bool) -> None:
    with on_all_cores(is_worth_it=is_worth_it) as in_order:
        assert list(in_order(lambda item: item**2, range(20))) == [item**2 for item in range(20)]


def test_it_begins_at_once_and_goes_on_beside_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 2)
    begun = threading.Event()
    with on_all_cores(is_worth_it=True) as in_order:
        in_order(lambda item: begun.set(), [0])
        assert begun.wait(10)


@pytest.mark.parametrize("available", [1, 2])
def test_errors_and_numpys_answers_are_those_of_the_caller(monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    monkeypatch.setattr(processes, "cores", lambda: available)
    with np.errstate(divide="ignore"), on_all_cores(is_worth_it=True) as in_order:
        assert list(in_order(np.log, [0.0])) == [-np.inf]
    with np.errstate(divide="raise"), on_all_cores(is_worth_it=True) as in_order, pytest.raises(FloatingPointError):
        list(in_order(np.log, [0.0]))


def test_there_is_a_core() -> None:
    assert cores() >= 1
