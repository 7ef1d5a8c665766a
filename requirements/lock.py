"""Write ``locked.txt`` and ``locked-torch.txt``: the versions of ``constraints.txt`` with the digests of their files.

``python requirements/lock.py`` needs uv (``pip install uv``) and the package registry. It adds what other systems than
the one that ``constraints.txt`` was made on need, and changes no version of it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OLDEST_PYTHON = "3.11.5"
"""What the tools for the documentation ask for."""
TORCH = re.compile(r"(torch|triton|nvidia-|cuda-)")


def main() -> int:
    """Compile, and split off torch with what it brings."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--all-extras", "--universal", "--generate-hashes"]
    command += ["--python-version", OLDEST_PYTHON, "--constraints", "constraints.txt"]
    command += ["--no-emit-index-url", "--no-header", "--no-annotate", "--quiet"]
    done = subprocess.run(command, check=False, cwd=HERE.parent, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        return done.returncode
    blocks = re.split(r"\n(?=\S)", done.stdout.strip())
    for name, chosen in (
        ("locked.txt", [block for block in blocks if not TORCH.match(block)]),
        ("locked-torch.txt", [block for block in blocks if TORCH.match(block)]),
    ):
        path = HERE / name
        head = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
        path.write_text("\n".join([*head, *chosen]) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
