"""DataInf's data sets as JSON: `python -m benchmarks.attribution.rivals_data CHECKOUT OUT`.

They lie as Arrow files in its repository (github.com/ykwon0407/DataInf); pyarrow is only in the
rivals' environment.
"""

import json
import sys
from pathlib import Path

from benchmarks.attribution.tasks import FOREIGN


def main(checkout: Path, out: Path) -> None:
    import pyarrow  # type: ignore[import-not-found]

    out.mkdir(parents=True, exist_ok=True)
    for name in FOREIGN.values():
        for part in ("train", "test"):
            [file] = (checkout / "datasets" / f"{name}_{part}.hf").glob("data*.arrow")
            with pyarrow.ipc.open_stream(str(file)) as reader:
                rows = reader.read_all().to_pylist()
            (out / f"{name}_{part}.json").write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
