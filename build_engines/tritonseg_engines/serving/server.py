"""A Triton server as an object: started, ready, stopped, and nothing left behind."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, TextIO, TypeVar

from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.repository.files import has_ensemble
from tritonseg_engines.serving._keeper import SHM_PREFIX
from tritonseg_engines.serving.config import Ports, ServerConfig, triton_arguments
from tritonseg_engines.serving.held_back import FOLDER, Gate
from tritonseg_engines.serving.installation import (
    TritonInstallation,
    find_tritonserver,
    known_options,
    lay_out_backends,
    refuse_numpy,
    server_environment,
)
from tritonseg_engines.serving.log import LogEcho, failure_report, last_of, models_still_loading
from tritonseg_engines.serving.ports import reserved_ports
from tritonseg_engines.serving.process import KeptProcess
from tritonseg_engines.serving.readiness import is_ready, local_address
from tritonseg_engines.serving.repository import (
    checked_repositories,
    refuse_small_shared_memory,
    write_bytecode,
)
from tritonseg_engines.serving.work_directory import (
    LOG_NAME,
    clear_work_directory,
    new_work_directory,
    shell_safe,
)

_POLL_INTERVAL_S: Final = 0.05
# Once all is done that anybody waits for, Triton takes about 1 s to go down, at times 11 s.
_TEARDOWN_S: Final = 2.0
_MAX_TEARDOWN_S: Final = 15.0

_Part = TypeVar("_Part")


class TritonServer:
    """One `tritonserver` process, for the time of a `with` block or from `start` to `stop`.

    It ends with this process, too, however that ends. One thread may call `start` and `stop`.

    Args:
        config: What to serve, and where.
        installation: Which Triton to run; None for the one that `find_tritonserver` finds.
        echo_to: Stream to which the server's log is copied while it runs.
        before_ready: Called with this server once its models are loaded, and before it is ready; an
            error of it ends the server. Where the server cannot be held back
            (`ServerConfig.can_be_held_back`), it is ready by then, and `start` has not returned.

    Example:
        with TritonServer(ServerConfig(repositories=(Path("model_repository"),))) as server:
            client = SegmentationClient(server.grpc_url, model="fastseg-small")
    """

    def __init__(
        self,
        config: ServerConfig,
        *,
        installation: TritonInstallation | None = None,
        echo_to: TextIO | None = None,
        before_ready: Callable[[TritonServer], object] | None = None,
    ) -> None:
        self.config = config
        self._before_ready = before_ready
        self._gate: Gate | None = None
        self._installation = installation
        self._echo_to = echo_to
        self._instance = f"{os.getpid()}_{secrets.token_hex(4)}"
        self._ports: Ports | None = None
        self._work_directory: Path | None = None
        self._process: KeptProcess | None = None
        self._echo: LogEcho | None = None

    def __enter__(self) -> TritonServer:
        self.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until every model of it is ready.

        Raises:
            RepositoryError: A model repository is missing or empty, lacks a model asked for, has
                one of another's name, or holds an engine that is not the file that was built.
            ServerStartError: There is no Triton, a port is taken, or the server did not become
                ready; the message has the server's own reasons and the path of its log.
        """
        if self.is_running:
            raise ServerStartError(f"this server runs already (process {self.pid}); stop it first")
        installation = self._installation or find_tritonserver()
        refuse_numpy(installation)
        repositories = checked_repositories(self.config)
        refuse_small_shared_memory(repositories, self.config.models)
        if self.config.polls:
            write_bytecode(repositories)
        with reserved_ports(self.config) as self._ports:
            self._work_directory = new_work_directory()
            try:
                self._process = self._launch(installation, repositories)
                self._await_ready()
                self._let_go(repositories)
                self._process.watch_stubs(models_stay=self.config.keeps_its_models)
            except BaseException as error:
                self._end_process(kill=True)
                self._clear(keep_log=isinstance(error, ServerStartError))
                raise

    def stop(self) -> int:
        """Let requests in flight finish, end the server and remove all it left.

        Its log goes as well, unless it ended badly or by itself. Stopping twice, or what never
        ran, does nothing.

        Returns:
            The server's exit code: 0 after a clean end, 128 + n if signal n ended it.
        """
        ended_by_itself = self._process is not None and not self.is_running
        exit_code = self._end_process(kill=False)
        self._clear(keep_log=ended_by_itself or exit_code != 0)
        return exit_code

    @property
    def is_running(self) -> bool:
        """Whether there is a server process, ready or not."""
        return self._process is not None and self._process.poll() is None

    def poll(self) -> int | None:
        """Return the server's exit code, or None while it runs."""
        return _started(self._process).poll()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait until the server ends; return its exit code, None if it runs after `timeout_s`."""
        return _started(self._process).wait(timeout_s)

    @property
    def pid(self) -> int:
        """Process id of `tritonserver`."""
        return _started(self._process).pid

    @property
    def grpc_url(self) -> str:
        """`HOST:PORT` for clients on this machine."""
        return f"{local_address(self.config.host)}:{_started(self._ports).grpc}"

    @property
    def http_url(self) -> str | None:
        """`HOST:PORT` for clients on this machine; None if HTTP is off."""
        port = _started(self._ports).http
        return None if port is None else f"{local_address(self.config.host)}:{port}"

    @property
    def metrics_url(self) -> str | None:
        """URL of the Prometheus metrics; None if they are off."""
        port = _started(self._ports).metrics
        host = local_address(self.config.metrics_host)
        return None if port is None else f"http://{host}:{port}/metrics"

    @property
    def log_path(self) -> Path:
        """File with everything the server wrote; gone after a clean stop."""
        return _started(self._work_directory) / LOG_NAME

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the log; empty once it is gone."""
        return "\n".join(self._log().splitlines()[-lines:])

    def _log(self) -> str:
        return last_of(self.log_path)

    def _launch(
        self, installation: TritonInstallation, repositories: Sequence[Path]
    ) -> KeptProcess:
        work_directory = _started(self._work_directory)
        environment = server_environment(
            installation, work_directory, keeps_blocks=any(map(has_ensemble, repositories))
        )
        shm_prefix = f"{SHM_PREFIX}{self._instance}_"
        self._gate = None
        if self._before_ready is not None and self.config.can_be_held_back:
            self._gate = Gate(work_directory / FOLDER, self.config)
            repositories = [*repositories, self._gate.repository]
        arguments = triton_arguments(
            self.config,
            _started(self._ports),
            server_id=f"tritonseg_{self._instance}",
            repositories=[shell_safe(path, work_directory) for path in repositories],
            backend_directory=lay_out_backends(installation, work_directory),
            shm_prefix=shm_prefix,
            known_options=(
                known_options(installation, environment) if self.config.takes_client_memory else ()
            ),
            gate=None if self._gate is None else self._gate.held_back,
        )
        # Traces are written at the very end.
        is_traced = any(argument.startswith("--trace") for argument in self.config.extra_arguments)
        process = KeptProcess(
            [str(installation.executable), *arguments],
            environment=environment,
            work_directory=work_directory,
            log_path=self.log_path,
            shm_prefix=shm_prefix,
            grace_s=self.config.drain_timeout_s + _MAX_TEARDOWN_S,
            teardown_s=_MAX_TEARDOWN_S if is_traced else _TEARDOWN_S,
        )
        if self._echo_to is not None:
            self._echo = LogEcho(self.log_path, self._echo_to)
        return process

    def _await_ready(self) -> None:
        deadline = time.monotonic() + self.config.ready_timeout_s
        ports = _started(self._ports)
        server_id, is_held = f"tritonseg_{self._instance}", self._gate is not None
        while not is_ready(self.config, ports, server_id=server_id, held_back=is_held):
            exit_code = self.poll()
            if exit_code is not None:
                raise self._start_error(f"tritonserver ended with exit code {exit_code}")
            if time.monotonic() > deadline:
                waited_for = ", ".join(models_still_loading(self._log())) or "no model"
                raise self._start_error(
                    f"tritonserver is not ready after {self.config.ready_timeout_s:g} s "
                    f"(still loading: {waited_for})"
                )
            time.sleep(_POLL_INTERVAL_S)

    def _let_go(self, repositories: Sequence[Path]) -> None:
        """Let the server become ready, if it was held back, once what was to be done is done."""
        if self._gate is not None:
            failed = self._gate.failed(self.grpc_url, repositories)
            if failed:
                raise self._start_error(f"tritonserver did not load {', '.join(failed)}")
        if self._before_ready is not None:
            self._before_ready(self)
        if self._gate is not None:
            self._gate.open(self.grpc_url)

    def _start_error(self, what: str) -> ServerStartError:
        return ServerStartError(
            f"{what}:\n{failure_report(self._log())}\nThe complete log is {self.log_path}"
        )

    def _end_process(self, *, kill: bool) -> int:
        exit_code = 0 if self._process is None else self._process.stop(kill=kill)
        if self._echo is not None:
            self._echo.close()
            self._echo = None
        return exit_code

    def _clear(self, *, keep_log: bool) -> None:
        if self._work_directory is not None and self._work_directory.exists():
            clear_work_directory(self._work_directory, keep_log=keep_log)


def _started(part: _Part | None) -> _Part:
    """Return what only a started server has."""
    if part is None:
        raise ServerStartError("the server has not been started: call start() first")
    return part
