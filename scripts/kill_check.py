"""Kill what serves, again and again, and look whether it is noticed, ended, cleaned up and back.

    PYTHONPATH=scripts:tests/support python scripts/kill_check.py --rounds 5

A real `tritonseg serve` of a small ensemble loses, by SIGKILL, the stub of one step,
`tritonserver`, `tritonserver` with its stubs, or all with keeper and launcher at once, as a
container does. Somebody asks for a mask all the time. Ends with exit code 1 if a server is taken
for ready longer than `UNREADY_WITHIN_S`, another mask than the export's own is given, the same
command does not serve again, or anything of it is left in /dev/shm.
"""

from __future__ import annotations

import argparse
import logging
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from killed_server import MASK, Asking, KilledServer, free_ports, unready_s
from own_mask import own_mask
from residual_network import SIZE_HW, residual_network, residual_spec
from tritonseg_engines.build.model import build_model

log = logging.getLogger("kill_check")

MODEL = "killed"
STEPS = ("normalize", "engine", "argmax")
UNREADY_WITHIN_S = 10.0
BACK_WITHIN_S = 60.0
ERRORS = ("ConnectError", "ConnectionLostError", "DeadlineExceededError", "InferenceFailedError",
          "ModelNotReadyError", "OverloadedError")  # fmt: skip
"""What a caller may get of a server that is killed, ends or starts."""
STUB_LOST, KILLED = 70, 128 + signal.SIGKILL


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """One way to kill, and what is left to end by itself.

    Attributes:
        what: In words.
        exit_codes: Of `tritonseg serve`, any of them; below 0 where it is killed, too.
        victims: Process ids of a server, in the order in which they are killed, by round.
    """

    what: str
    exit_codes: tuple[int, ...]
    victims: Callable[[KilledServer, int], Sequence[int]]


KILLS = (
    Kill(
        what="a stub",
        exit_codes=(STUB_LOST,),
        victims=lambda server, turn: [server.stubs[STEPS[turn % len(STEPS)]]],
    ),
    Kill(what="tritonserver", exit_codes=(KILLED,), victims=lambda server, _: [server.triton]),
    Kill(
        what="tritonserver, stubs",
        # Of Triton's many threads the last may end after the stubs, which are missed first then.
        exit_codes=(KILLED, STUB_LOST),
        victims=lambda server, _: [server.triton, *server.stubs.values()],
    ),
    # The keeper first, which would clean up.
    Kill(
        what="everything",
        exit_codes=(-signal.SIGKILL,),
        victims=lambda server, _: [
            server.keeper, server.launcher, server.triton, *server.stubs.values()
        ],
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What became of one kill.

    Attributes:
        what: Was killed.
        unready_s: From when on it was not ready, by protocol, since the kill; None for never.
        exit_code: Of `tritonseg serve`.
        ended_s: When nothing of it ran any more, since the kill.
        held: Files of it in /dev/shm before.
        left: Those that were there when nothing of it ran any more.
        back_s: The first right mask of the next, since its start; None for none.
        still_left: Those that the next start left there.
        asked: What the one who asks all the time got.
    """

    what: str
    unready_s: dict[str, float | None]
    exit_code: int
    ended_s: float
    held: int
    left: int
    back_s: float | None
    still_left: int
    asked: Counter[str]
    all_ended: bool

    def faults(self, kill: Kill) -> list[str]:
        """Return a line for each thing that must not be."""
        known = {MASK, *ERRORS}
        checks = {
            f"ready for more than {UNREADY_WITHIN_S:g} s": all(
                one is not None and one <= UNREADY_WITHIN_S for one in self.unready_s.values()
            ),
            "processes that outlived it": self.all_ended,
            f"exit code {self.exit_code}": self.exit_code in kill.exit_codes,
            f"{self.left} files left": self.exit_code < 0 or not self.left,
            f"no right mask within {BACK_WITHIN_S:g} s of the start": self.back_s is not None,
            f"{self.still_left} files left by the next start": not self.still_left,
            "no files to begin with": self.held > 0,
            f"callers got {dict(self.asked)}": not set(self.asked) - known,
        }
        return [f"{self.what}: {fault}" for fault, is_kept in checks.items() if not is_kept]

    def line(self) -> str:
        """Return its line of the table."""
        unready = [_seconds(one) for one in self.unready_s.values()]
        errors = ", ".join(f"{n} {name}" for name, n in sorted(self.asked.items()) if name != MASK)
        cells = [
            self.what, *unready, str(self.exit_code), _seconds(self.ended_s),
            _seconds(self.back_s), f"{self.held}, {self.left}, {self.still_left}",
            f"{self.asked[MASK]} right; {errors}",
        ]  # fmt: skip
        return f"| {' | '.join(cells)} |"


HEADER = (
    "| killed | unready by gRPC, s | by HTTP, s | exit code | ended, s "
    "| next right mask, s | /dev/shm: before, killed, next | callers got |\n"
    "|---|--:|--:|--:|--:|--:|--:|---|"
)


def main() -> None:
    """Run the command line."""
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each kind of kill")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tritonseg_kills_") as scratch:
        faults = check(Path(scratch), arguments.rounds)
    for fault in faults:
        log.info("FAULT %s", fault)
    raise SystemExit(int(bool(faults)))


def check(folder: Path, rounds: int) -> list[str]:
    """Kill in each way so many times; log the table, and return a line for each fault."""
    repository, expected = _build(folder)
    temporary = folder / "tmp"
    temporary.mkdir()
    ports, faults, begun_s = free_ports(2), [], time.monotonic()
    with (folder / "serve.log").open("w") as serve_log:

        def started() -> KilledServer:
            return KilledServer(repository, ports, serve_log, temporary)

        server = started()
        servers = [server]
        asking = Asking(server.grpc_url, MODEL, _picture(), expected)
        log.info(HEADER)
        try:
            with asking.running():
                for kill, turn in [(kill, turn) for kill in KILLS for turn in range(rounds)]:
                    found, server = _round(kill, turn, server, started, asking)
                    servers.append(server)
                    log.info(found.line())
                    faults += found.faults(kill)
        except BaseException:
            server.process.kill()  # its keeper ends the others
            raise
        exit_code, left = server.stop(), [one for each in servers for one in each.regions()]
    log.info("stopped: exit code %d, %d files left in /dev/shm", exit_code, len(left))
    faults += [f"the last stop: exit code {exit_code}"] * bool(exit_code)
    faults += [f"left at the end: {name}" for name in left]
    seconds = time.monotonic() - begun_s
    log.info("%d kills, %d faults, %.0f s", rounds * len(KILLS), len(faults), seconds)
    return faults


def _round(
    kill: Kill, turn: int, server: KilledServer, start: Callable[[], KilledServer], asking: Asking
) -> tuple[Round, KilledServer]:
    """Kill one server and start the next."""
    if asking.right_after_s(time.monotonic(), BACK_WITHIN_S) is None:
        raise RuntimeError("no mask of a server that is ready")
    asking.taken()
    held = len(server.regions())
    killed_s = server.kill(kill.victims(server, turn))
    unready = unready_s(server, killed_s, within_s=2 * UNREADY_WITHIN_S)
    exit_code, ended_s, all_ended = server.end(), time.monotonic() - killed_s, server.is_gone()
    left = len(server.regions())
    following = start()
    back_s = asking.right_after_s(following.begun_s, BACK_WITHIN_S)
    return Round(
        what=kill.what + (f" ({STEPS[turn % len(STEPS)]})" if kill is KILLS[0] else ""),
        unready_s=unready,
        exit_code=exit_code,
        ended_s=ended_s,
        held=held,
        left=left,
        back_s=back_s,
        still_left=len(server.regions()),
        asked=asking.taken(),
        all_ended=all_ended,
    ), following


def _build(folder: Path) -> tuple[Path, tuple[np.ndarray, np.ndarray]]:
    """Return a repository, and the export's own mask of the picture."""
    export, spec = folder / "export.onnx", residual_spec(name=MODEL)
    onnx.save(residual_network(), export)
    build_model(spec, export, folder / "models", layout="ensemble")
    mask, stable = own_mask(export, spec, _picture())
    if stable.mean() < 0.9 or len(np.unique(mask[stable])) < 2:
        raise RuntimeError("the picture's mask tells nothing")
    return folder / "models", (mask, stable)


def _picture() -> np.ndarray:
    height, width = SIZE_HW
    blocks = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
