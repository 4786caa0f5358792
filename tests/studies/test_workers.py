import multiprocessing
import os
import signal
import time

import pytest
import torch

from infoplane.calibration.workers import worker_processes


def test_workers_have_one_thread_each_and_leave_the_environment_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with worker_processes(1) as workers:
        assert workers.submit(torch.get_num_threads).result() == 1
        assert workers.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def fail_beside_long_work() -> None:
    with worker_processes(1) as workers:
        sleep = workers.submit(time.sleep, 100)
        while not sleep.running():
            time.sleep(0.01)
        raise KeyboardInterrupt


def test_an_error_in_the_block_ends_the_work_at_once():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fail_beside_long_work()
    assert time.monotonic() - began < 60
    assert not multiprocessing.active_children()


def test_workers_leave_ctrl_c_to_their_parent():
    with worker_processes(1) as workers:
        number = workers.submit(os.getpid).result()
        work = workers.submit(time.sleep, 2)
        time.sleep(0.5)
        os.kill(number, signal.SIGINT)
        assert work.result() is None
