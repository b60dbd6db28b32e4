"""The node processes of a test network: started, started again when they die, ended together."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from node.exits import Fault
from node.testnet.folder import L1, L1_SECONDS, Folder, NodeSpec

POLL_SECONDS = 0.25
RESTART_SECONDS = 1.0
STOP_SECONDS = 12.0
LOG_LINES_SHOWN = 3
EXPECTED_CODES = (2, 3, 4, 5)  # an operator's fault: starting again would not help
PR_SET_PDEATHSIG = 1
PASSIVE = ("OMP_WAIT_POLICY", "passive")  # many processes share few cores: no spinning threads


class NodeEnded(Fault):
    """A node of the network that cannot run."""


@dataclass
class Child:
    spec: NodeSpec
    process: "subprocess.Popen[bytes]"
    starts: int = 1


@dataclass
class Processes:
    """Killed with the program that holds them, whatever ends it."""

    folder: Folder
    extra: Sequence[str] = ()  # arguments of a lying node
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, spec: NodeSpec) -> None:
        """Start a node, or start it again."""
        known = self.children.get(spec.name)
        process = self._spawn(spec)
        self.children[spec.name] = Child(spec, process, known.starts + 1 if known else 1)

    def _spawn(self, spec: NodeSpec) -> "subprocess.Popen[bytes]":
        command = self._command(spec)
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        environment.setdefault(*PASSIVE)
        environment.pop("NOTIFY_SOCKET", None)
        with (self.folder.home(spec) / "log").open("ab") as log:
            return subprocess.Popen(  # by the main thread: its death is what the child waits for
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )

    def _command(self, spec: NodeSpec) -> list[str]:
        settings = str(self.folder.settings(spec))
        if spec == L1:
            port, seconds = str(self.folder.rpc_ports[L1.name]), str(L1_SECONDS)
            module = [sys.executable, "-m", "node.testnet.l1", str(self.folder.l1_home)]
            return [*module, "--port", port, "--seconds", seconds]
        if spec.lies:
            return [sys.executable, "-m", "node.testnet.liar", settings, *self.extra]
        return [sys.executable, "-m", "node", "run", settings]

    async def watch(self) -> None:
        """Start again whoever dies; `NodeEnded` if he says himself that it is no use."""
        while True:
            for child in list(self.children.values()):
                code = child.process.poll()
                if code in EXPECTED_CODES:
                    raise NodeEnded(f"node {child.spec.name} ended: {self._last_words(child.spec)}")
                if code is not None:
                    await trio.sleep(RESTART_SECONDS)
                    self.start(child.spec)
            await trio.sleep(POLL_SECONDS)

    def kill(self, name: str) -> None:
        """What a power cut does; `watch` starts the node again."""
        self.children[name].process.kill()

    def _last_words(self, spec: NodeSpec) -> str:
        log = self.folder.home(spec) / "log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return " / ".join(lines[-LOG_LINES_SHOWN:]) + f" (all of it: {log})"

    async def stop(self) -> None:
        """End all, the sequencer and L1 last, each in order or by force."""
        last = ("sequencer", L1.role)
        order = sorted(self.children.values(), key=lambda child: child.spec.role in last)
        for child in order:
            if child.process.poll() is None:
                child.process.terminate()
        with trio.CancelScope(deadline=trio.current_time() + STOP_SECONDS, shield=True):
            while any(child.process.poll() is None for child in order):  # noqa: ASYNC110
                await trio.sleep(POLL_SECONDS / 5)
        for child in order:
            if child.process.poll() is None:
                child.process.kill()
            child.process.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
