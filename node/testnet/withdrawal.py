"""Money goes home: the payer of the story withdraws to L1 by `openledger bridge`."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from node.bridge.stages import Stage
from node.exits import ChainTrouble
from node.keystore import encrypt
from node.testnet.folder import PASSWORD, SCRYPT_COST, Folder
from node.testnet.stage import Stage as Network

AMOUNT = "25"  # OPEN
ATTEMPTS_MAX, PAUSE_SECONDS = 20, 2.0  # its node may be killed meanwhile


@dataclass
class Withdrawal:
    """Runs beside the story; `report` is what the command printed at its end."""

    network: Network
    report: dict[str, Any] = field(default_factory=dict)
    done: trio.Event = field(default_factory=trio.Event)

    async def run(self) -> None:
        """Begin, or go on with what an earlier start began, until the portal has paid."""
        home = keys_of_payer(self.network.folder)
        said = ""
        for _ in range(ATTEMPTS_MAX):
            for amount in ([], [AMOUNT]):
                ended = await trio.run_process(
                    self._command(home, amount),
                    capture_stdout=True,
                    capture_stderr=True,
                    check=False,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                    stdin=subprocess.DEVNULL,
                )
                said = ended.stderr.decode(errors="replace")[-500:]
                rows = json.loads(ended.stdout) if ended.returncode == 0 else []
                if rows and rows[0]["stage"] == Stage.FINALIZED.value:
                    self.report = rows[0]
                    self.done.set()
                    return
            await trio.sleep(PAUSE_SECONDS)
        raise ChainTrouble(f"the withdrawal does not come home: {said}")

    def _command(self, home: Path, amount: list[str]) -> list[str]:
        curator = next(node for node in self.network.nodes if node.role == "curator")
        key = ["--key", str(home / "operator.json"), "--password-file", str(home / "password")]
        file = str(self.network.folder.settings(curator))
        return [sys.executable, "-m", "node", "bridge", "withdraw", file, *amount, *key, "--json"]


def keys_of_payer(folder: Folder) -> Path:
    """The folder with the payer's key file and its password."""
    home = folder.path / "payer"
    home.mkdir(exist_ok=True)
    if not (home / "operator.json").exists():
        (home / "password").write_text(PASSWORD)
        secret = folder.payer.secret
        encrypt(home / "operator.json", secret, PASSWORD.strip(), cost=SCRYPT_COST)
    return home
