"""What mkdocs calls while it builds the site: pages from the code, and links out of docs/.

Pages are made when the site is built, so none of them can be stale: commands, scenario keys, result
variables and exit codes from the code, and the pages that stand at the root of the repository.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import made
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).resolve().parent.parent

HOME = {
    "ARCHITECTURE.md": "architecture.md",
    "ASSUMPTIONS.md": "assumptions.md",
    "CHANGELOG.md": "changelog.md",
    "results/README.md": "run_folder.md",
}
"""Pages of the repository outside docs/, by where they stand, and their names on the site."""

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add what is made from the code, and the repository's own pages."""
    texts = made.pages()
    texts |= {page: (_ROOT / source).read_text("utf-8") for source, page in HOME.items()}
    for name, text in texts.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links of the repository into links of the site."""
    sources = {name: source for source, name in HOME.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return _LINK.sub(lambda link: _on_site(link, posixpath.dirname(source)), markdown)


def _on_site(link: re.Match[str], folder: str) -> str:
    """Return a link as the site has it; what is no page of the site keeps its text alone."""
    text, target = link.groups()
    path, mark, anchor = target.partition("#")
    if not path or ":" in path:
        return link[0]
    place = posixpath.normpath(posixpath.join(folder, path))
    if place in HOME:
        return f"[{text}]({HOME[place]}{mark}{anchor})"
    if place.startswith("docs/"):
        return f"[{text}]({place.removeprefix('docs/')}{mark}{anchor})"
    return text if (_ROOT / place).exists() else link[0]
