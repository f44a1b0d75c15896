"""The pages of the documentation, and what stands in their fenced blocks."""

import re
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/embedded/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, the file that it is to be saved as (or nothing), and its text."""

    page: Path
    language: str
    file: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = FENCE.findall(page.read_text())
    return [Block(page, language, file, textwrap.dedent(text)) for language, file, text in found]


def template(file: str) -> str:
    """The text of the template with this file name."""
    (found,) = [block.text for page in PAGES for block in blocks(page) if block.file == file]
    return found


def commands(page: Path) -> list[list[str]]:
    """The words behind `python` of each command of a page, as one bash session reads them; nothing is run."""
    silent = "".join(name + "() { :; }\n" for name in ("pytest", "ruff", "mypy"))
    script = silent + "python() { printf '%s\\0' \"$@\"; printf '\\n\\0'; }\nuv() { shift; \"$@\"; }\n"
    script += "".join(block.text for block in blocks(page) if block.language == "bash")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    found: list[list[str]] = [[]]
    for word in done.stdout.split("\0")[:-1]:
        if word == "\n":
            found.append([])
        else:
            found[-1].append(word)
    return found[:-1]
