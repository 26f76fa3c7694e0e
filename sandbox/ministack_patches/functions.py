"""What Lambda does with functions and their layers."""

import hashlib
import io
import os
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path

_EMPTY_ZIP = b"PK\5\6" + bytes(18)


def let_starting_functions_start() -> None:
    """Make ministack's Lambda finish an invocation that is just starting when its function is updated, with the code
    that it started with, as Lambda does. Ministack would remove the code while it is unpacked and, as that one fails,
    kill all other workers of the function."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    spawn, kill, release = lambda_runtime.Worker._spawn, lambda_runtime.kill_workers, lambda_runtime.release_worker
    starting: set[lambda_runtime.Worker] = set()

    def spawn_undisturbed(worker: lambda_runtime.Worker) -> None:
        starting.add(worker)
        try:
            spawn(worker)
        finally:
            starting.discard(worker)

    def kill_what_has_started(workers: list[lambda_runtime.Worker]) -> None:
        kill([worker for worker in workers if worker not in starting])

    def release_or_kill(worker: lambda_runtime.Worker | None) -> None:
        release(worker)
        with lambda_runtime._lock:
            outdated = worker is not None and not any(worker in pool for pool in lambda_runtime._workers.values())
        if outdated:
            kill([worker])

    lambda_runtime.Worker._spawn = spawn_undisturbed
    lambda_runtime.kill_workers = kill_what_has_started
    lambda_svc.release_worker = release_or_kill


def unpack_once(layers: Path) -> None:
    """Make ministack's Lambda take a layer from `layers`, where it is unpacked once, in whichever embedded AWS, and
    code from where it is unpacked once in this one. Each process of a function would unpack both, and compile all that
    it imports of them, anew."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    spawn, unpacking = lambda_runtime.Worker._spawn, threading.Lock()
    code = Path(tempfile.gettempdir()) / "code"

    def unpacked(data: bytes, directory: Path) -> str:
        folder = directory / hashlib.sha256(data).hexdigest()[:16]
        with unpacking:
            if not folder.exists():
                directory.mkdir(parents=True, exist_ok=True)
                partial = Path(tempfile.mkdtemp(dir=directory))
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    archive.extractall(partial)
                try:
                    partial.rename(folder)
                except OSError:  # another embedded AWS was faster
                    shutil.rmtree(partial)
        return str(folder)

    def spawn_on_unpacked(worker: lambda_runtime.Worker) -> None:
        if worker.code_zip != _EMPTY_ZIP:  # as it is when the worker starts once more
            found = [lambda_svc._resolve_layer_zip(each) for each in worker.config["Layers"]]
            folders = [unpacked(worker.code_zip, code), *(unpacked(data, layers) for data in found if data)]
            variables = worker.config.get("Environment", {}).get("Variables", {})
            found_there = variables | {"_LAMBDA_LAYERS_DIRS": os.pathsep.join(folders)}
            worker.config = worker.config | {"Layers": [], "Environment": {"Variables": found_there}}
            worker.code_zip = _EMPTY_ZIP
        spawn(worker)

    lambda_runtime.Worker._spawn = spawn_on_unpacked


def run_with(python: str) -> None:
    """Make ministack's Lambda run functions with this Python. With its own they would find whatever it needs itself,
    and not miss what their layer lacks."""
    from ministack.core import lambda_runtime

    detect = lambda_runtime._detect_runtime_binary

    def with_the_python(runtime: str) -> tuple[str, str]:
        _, script = detect(runtime)
        return python, script

    lambda_runtime._detect_runtime_binary = with_the_python
