"""How the default number of threads does on a machine one of whose cores is busy: `python
scripts/busy.py`.

Each command is timed with the default number of threads and with threads=1, alternately, while one
process spins; printed is the ratio of the least times, which should be at most 1.3. The machine
should have nothing else to do.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOST, TIMES = 1.3, 3
COMMANDS = {
    "MLP": ["train", "model=mlp", "sgd.steps=600", "minima=1", "executor.workers=1"],
    "ResNet-8": ["train", "model=resnet8", "sgd.steps=40", "minima=1", "executor.workers=1"],
    "MLP, two workers": ["train", "model=mlp", "sgd.steps=600", "minima=2"],
    "sweep": [
        "sweep-temperature",
        "sweep.batch_size=[16]",
        "sweep.learning_rate=[0.05,0.1]",
        "sgd.steps=2000",
    ],
}


def seconds(words: list[str]) -> float:
    """Of a command in an empty directory."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OMP_", "KMP_", "GOMP_"))
    }
    code = "from sgdtheory.entry import main; main()"
    with tempfile.TemporaryDirectory() as where:
        began = time.monotonic()
        call = [sys.executable, "-c", code, *words, "device=cpu", "--quiet"]
        subprocess.run(call, cwd=where, env=environment, check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - began


def main() -> int:
    """The exit code: 1 where a ratio is too high."""
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    worst = 0.0
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            for name, words in COMMANDS.items():
                took = [(seconds(words), seconds([*words, "threads=1"])) for _ in range(TIMES)]
                default, one = (min(each) for each in zip(*took, strict=True))
                worst = max(worst, default / one)
                print(
                    f"{name:18} default {default:6.1f} s, threads=1 {one:6.1f} s, ratio "
                    f"{default / one:.2f}",
                    flush=True,
                )
        finally:
            busy.kill()
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
