"""Write what ``fastdeg demo`` prints into the README: ``python -m bench.demo_table``."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def main() -> None:
    """Run the demo and replace the text between the README's demo markers."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fastdeg.cli", "demo", "-o", f"{folder}/run"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line.rstrip() for line in printed.splitlines() if not line.startswith("Written")]
    table = "\n".join(lines).strip("\n")
    text = README.read_text(encoding="utf-8")
    marked = f"<!-- demo:begin -->\n```text\n{table}\n```\n<!-- demo:end -->"
    text, count = re.subn(r"<!-- demo:begin -->.*<!-- demo:end -->", lambda _: marked, text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{README}: expected one pair of demo markers, found {count}")
    README.write_text(text, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
