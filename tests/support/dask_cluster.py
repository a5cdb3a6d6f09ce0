"""A Dask cluster as people run it: a scheduler and workers with nannies, each a process."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.limits import HANG_S

ROOT = Path(__file__).resolve().parents[2]


class DaskCluster:
    """Starts and stops the processes of a cluster on this machine."""

    def __init__(self, folder: Path, n_workers: int):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder, self._n_workers = folder, n_workers
        self._processes: list[subprocess.Popen] = []
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        options = ["--host", "127.0.0.1", "--port", str(self._port), "--no-dashboard"]
        self._spawn("scheduler", *options)
        self._wait_for_scheduler()
        self._spawn(
            "worker", f"tcp://{self.address}", "--nworkers", str(self._n_workers), "--nthreads",
            "1", "--no-dashboard", "--local-directory", str(self._folder),
        )  # fmt: skip

    def stop(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def restart(self) -> None:
        """The scheduler is killed; a service manager starts everything again."""
        self._processes[0].kill()
        self.stop()
        self.start()

    def kill_a_worker(self) -> None:
        """Kill a worker process, not its nanny."""
        from distributed import Client

        with Client(f"tcp://{self.address}", set_as_default=False) as client:
            pid = next(iter(client.run(os.getpid).values()))
        os.kill(pid, signal.SIGKILL)

    def _spawn(self, *arguments: str) -> None:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2",
        }  # fmt: skip
        with open(self._folder / "cluster.log", "a") as log:
            command = [sys.executable, "-m", "dask", *arguments]
            self._processes.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            )

    def _wait_for_scheduler(self) -> None:
        deadline = time.monotonic() + HANG_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
