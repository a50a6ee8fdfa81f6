"""`sillok settings`: every setting with its default, what it means, and what is lost by changing it.

The texts are the docstrings of the settings' structs: what it means, then, after the first sentence that begins with a
change and a colon (`Longer: …`, `None: …`), what that costs. `docs/settings.md` is the same as a document, written by
`python -m commands.settings_list`; with `--check` nothing is written, and a stale document is exit status 1.

Only defaults are shown, never what a file says: a `dsn` may hold a password.
"""

import argparse
import ast
import inspect
import re
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Struct
from rich.markup import escape
from rich.table import Table

from commands.settings import Settings
from commands.terminal import OK, PROBLEM, WRONG, add_json, terminal, write_json
from contract.errors import UsageError

HELP = "every setting: its name, default, meaning, what is lost by changing it, its environment variable"

_DOCUMENT: Final = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
_COMMAND: Final = "python -m commands.settings_list"
_CHANGE: Final = re.compile(r"(?<=[.)] )(?=[A-Z][\w' ]{1,40}: )")


class Setting(Struct, frozen=True, kw_only=True):
    """One setting."""

    name: str
    """`section.key`; within a list of tables `section.list[].key`."""
    type: str
    default: str
    """As it is written in TOML; `required` where there is none, `none` where nothing is the default."""
    meaning: str
    lost: str
    """What is lost by changing it."""
    environment: str
    """The variable that overrides the file; the list's own for what is in a list."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say which to show, and how."""
    command.add_argument("section", nargs="?", metavar="SECTION", help="only this section's, such as serve or spool")
    add_json(command)
    command.epilog = (
        "A settings file is TOML: --config, SILLOK_CONFIG or ./sillok.toml; the environment has the last word. What "
        "your file says is not shown: it may hold passwords."
    )


def run(_settings: Settings, options: argparse.Namespace) -> int:
    """Print them."""
    found = list(all_settings())
    if options.section is not None:
        sections = list(dict.fromkeys(section_of(setting) for setting in found))
        if options.section not in sections:
            raise UsageError(f"there is no section [{options.section}]: there are {', '.join(sections)}")
        found = [setting for setting in found if section_of(setting) == options.section]
    if options.json:
        write_json(found)
        return OK
    table = Table("setting", "default", "meaning", "what is lost by changing it", show_lines=True)
    for setting in found:
        variable = "" if "[]" in setting.name else f"\n[dim]{setting.environment}[/]"
        cells = (setting.default, setting.meaning, setting.lost)
        table.add_row(f"[bold]{escape(setting.name)}[/]{variable}", *(escape(cell) for cell in cells))
    terminal().print(table, highlight=False)
    return OK


def section_of(setting: Setting) -> str:
    """Return the section a setting stands in."""
    return setting.name.partition(".")[0]


def all_settings() -> Iterator[Setting]:
    """Yield every setting, section by section, in the order of the code."""
    for section in msgspec.structs.fields(Settings):
        yield from _settings_of(section.type, section.name, "")


def _settings_of(struct: type[Struct], prefix: str, variable: str) -> Iterator[Setting]:
    texts = docstrings(struct)
    hints = get_type_hints(struct)
    for field in msgspec.structs.fields(struct):
        name = f"{prefix}.{field.name}"
        environment = variable or f"SILLOK_{prefix}_{field.name}".upper()
        meaning, lost = _split(texts.get(field.name, ""))
        yield Setting(
            name=name, type=_type(hints[field.name]), default=_default(field),
            meaning=meaning, lost=lost, environment=environment,
        )  # fmt: skip
        inner = [part for part in get_args(hints[field.name]) if isinstance(part, type) and issubclass(part, Struct)]
        for part in inner:
            yield from _settings_of(part, f"{name}[]", environment)


def docstrings(struct: type[Struct]) -> dict[str, str]:
    """Return field → the text under it, of a struct and of those it inherits from."""
    found: dict[str, str] = {}
    for kind in reversed(struct.__mro__):
        if kind is Struct or not issubclass(kind, Struct):
            continue
        body = ast.parse(inspect.getsource(kind)).body[0]
        assert isinstance(body, ast.ClassDef)  # noqa: S101 - it is the source of a class
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                found[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found


def _split(text: str) -> tuple[str, str]:
    """Return what it means, and what is lost by changing it."""
    found = _CHANGE.search(text)
    return (text[: found.start()].strip(), text[found.start() :]) if found else (text, "")


_NAMES: Final[dict[Any, str]] = {
    str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "none",
}  # fmt: skip


def _type(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if hint in _NAMES:
        return _NAMES[hint]
    if origin in {Union, types.UnionType}:
        return " or ".join(_type(part) for part in parts)
    if origin is Literal:
        return " | ".join(f'"{part}"' for part in parts)
    if origin is tuple:
        is_table = isinstance(parts[0], type) and issubclass(parts[0], Struct)
        return "list of tables" if is_table else f"list of {_type(parts[0])}s"
    if origin is dict:
        return f"table of {_type(parts[1])}s"
    raise AssertionError(f"no words for the type {hint}")


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if field.default_factory is not NODEFAULT:
        value = field.default_factory()
    if value is NODEFAULT:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, tuple) and value and isinstance(value[0], Struct):
        return "the key `demo`, on this machine alone"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}" if value >= 100_000 else str(value)  # noqa: PLR2004 - as TOML may write it
    return msgspec.json.encode(value).decode()


def document() -> str:
    """Return `docs/settings.md`."""
    lines = [
        f"<!-- Generated by `{_COMMAND}`; do not edit. -->", "", "# Settings", "",
        "One TOML file: `--config`, `SILLOK_CONFIG` or `./sillok.toml`. A variable of the environment overrides its",
        "key; a value that TOML can read is read so, a bare word is a text. Unknown keys are refused by name.",
        "`sillok settings` prints this list; which file belongs to which program: [Services](operate.md#services).",
    ]  # fmt: skip
    intros = docstrings(Settings)
    section = ""
    for setting in all_settings():
        if section_of(setting) != section:
            section = section_of(setting)
            head = (
                "| setting | default | meaning | what is lost by changing it | environment |",
                "|---|---|---|---|---|",
            )
            lines += ["", f"## [{section}]", "", intros[section], "", *head]
        variable = "" if "[]" in setting.name else f"`{setting.environment}`"
        shown = setting.default if setting.default[:3] == "the" else f"`{setting.default}`"
        kind = f"`{setting.name.partition('.')[2]}` <br>{setting.type}".replace("|", "\\|")
        lines.append(f"| {kind} | {shown} | {_cell(setting.meaning)} | {_cell(setting.lost)} | {variable} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    """Write the document, or check it."""
    wanted = document()
    if arguments not in ([], ["--check"]):
        sys.stderr.write(f"usage: {_COMMAND} [--check]\n")
        return WRONG
    if arguments:
        found = _DOCUMENT.read_text(encoding="utf-8") if _DOCUMENT.exists() else ""
        if found != wanted:
            sys.stderr.write(f"docs/settings.md is stale: run `{_COMMAND}`\n")
            return PROBLEM
        return OK
    _DOCUMENT.write_text(wanted, encoding="utf-8")
    return OK


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
