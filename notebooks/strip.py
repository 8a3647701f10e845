"""Take what a run leaves behind out of the notebooks: ``python notebooks/strip.py``."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["HERE", "stripped"]

HERE = Path(__file__).resolve().parent


def stripped(text: str) -> str:
    """Return the text of a notebook without outputs, execution counts and what editors add."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags")
        cell["metadata"] = {"tags": tags} if tags else {}
        if cell["cell_type"] == "code":
            cell["execution_count"], cell["outputs"] = None, []
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook["metadata"] = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file in sorted(HERE.glob("*.ipynb")):
        file.write_text(stripped(file.read_text("utf-8")), "utf-8")
