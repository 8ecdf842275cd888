"""Write what ``fastdeg demo`` prints into the quickstart: ``python -m bench.demo_table``."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "quickstart.md"


def main() -> None:
    """Run the demo and replace the text between the page's demo markers."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fastdeg.cli", "demo", "-o", f"{folder}/run"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line.rstrip() for line in printed.splitlines()[:-1]]  # without the folder
    table = "\n".join(lines).strip("\n")
    text = PAGE.read_text(encoding="utf-8")
    marked = f"<!-- demo:begin -->\n```text\n{table}\n```\n<!-- demo:end -->"
    text, count = re.subn(r"<!-- demo:begin -->.*<!-- demo:end -->", lambda _: marked, text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{PAGE}: expected one pair of demo markers, found {count}")
    PAGE.write_text(text, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
