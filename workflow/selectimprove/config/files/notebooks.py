"""Notebooks as the workflow reads them: their code, the parameters that they take, and what they say that they draw from.

Nothing but the standard library is imported here: keys are found by it alone, under every Python.
"""

import ast
import json
from dataclasses import dataclass
from pathlib import Path

from selectimprove.errors import ParamsError


@dataclass(frozen=True)
class Notebook:
    """A notebook.

    Parameters
    ----------
    path : str
        As messages name it.
    cells : list of str
        The source of each code cell.
    parameters : dict
        What the cell tagged ``parameters`` assigns, where that is a literal.
    has_language : bool
        Whether its metadata name its language, without which papermill does not run it.
    needs : object
        What the metadata have under ``selectimprove.needs``; an empty dict where there is nothing.
    """

    path: str
    cells: list[str]
    parameters: dict
    has_language: bool
    needs: object


def read_notebook(path: Path) -> Notebook:
    """Read a notebook.

    Raises
    ------
    ParamsError
        If there is none, or it is none.
    """
    name = f"workflow/notebooks/{path.name}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{name}: no such notebook") from None
    except OSError as error:
        raise ParamsError(f"{name}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, RecursionError):
        raise ParamsError(f"{name}: not JSON, as a notebook is") from None
    except json.JSONDecodeError as error:
        raise ParamsError(f"{name}: line {error.lineno}: not JSON, as a notebook is: {error.msg}") from None
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list):
        raise ParamsError(f"{name}: not a notebook of format 4: it has no list of cells")
    code, parameters = [], {}
    for number, cell in enumerate(cells, start=1):
        source = cell.get("source") if isinstance(cell, dict) else None
        lines = [source] if isinstance(source, str) else source
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines) or "cell_type" not in cell:
            raise ParamsError(f"{name}: cell {number}: not a cell of format 4, with a cell_type and its source as text")
        if cell["cell_type"] == "code":
            code.append("".join(lines))
            metadata = cell.get("metadata")
            tags = metadata.get("tags") if isinstance(metadata, dict) else None
            if isinstance(tags, list) and "parameters" in tags:
                parameters |= _literals(code[-1])
    metadata = content.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    language = any(
        isinstance(metadata.get(part), dict) and metadata[part].get(key)
        for part, key in (("language_info", "name"), ("kernelspec", "language"))
    )
    own = metadata.get("selectimprove", {})
    return Notebook(name, code, parameters, language, own.get("needs", {}) if isinstance(own, dict) else own)


def _literals(source: str) -> dict:
    """Read what code assigns to names, where that is a literal."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError):
        return {}
    found = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                found[statement.targets[0].id] = ast.literal_eval(statement.value)
            except ValueError:
                continue
    return found
