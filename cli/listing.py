"""The fedgrass command as typer has it: a list of commands, each built when it is asked for."""

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info
from typer.models import CommandInfo

from cli.errors.kind import MEANINGS
from cli.registry import SECTIONS
from cli.screen import Screen, set_json_apart

if TYPE_CHECKING:
    from types import ModuleType

    from typer._click import Command as AnyCommand
    from typer._click import Context
    from typer._click.formatting import HelpFormatter

    from cli.envelope import Call

PROGRAM = "fedgrass"


class Command(TyperCommand):
    """A command whose result goes into the envelope, and which ends its help with examples as they are to be typed."""

    def invoke(self, ctx: "Context") -> None:
        """Run it."""
        call: Call = ctx.obj
        call.command = ctx.command_path.partition(" ")[2]
        call.as_json = ctx.params["as_json"]
        if call.as_json:
            set_json_apart()
        call.result = super().invoke(ctx)

    def format_epilog(self, ctx: "Context", formatter: "HelpFormatter") -> None:  # noqa: ARG002
        """The examples."""
        with formatter.section("Examples"):
            formatter.write("".join(f"  {line}\n" for line in (self.epilog or "").splitlines()))


class _Commands(Mapping[str, "AnyCommand"]):
    """The commands of a group: those whose names go on behind `path`, by the first word that does."""

    def __init__(self, path: str, modules: Mapping[str, str]) -> None:
        self._path = path
        self._modules = modules
        self._names = list(dict.fromkeys(name.partition(" ")[0] for name in modules))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> "AnyCommand":
        path = f"{self._path} {name}"
        if name in self._modules:
            return _command(path, importlib.import_module(self._modules[name]))
        below = {known[len(name) + 1 :]: at for known, at in self._modules.items() if known.startswith(f"{name} ")}
        if not below:
            raise KeyError(name)
        shared = importlib.import_module(next(iter(below.values())))
        return Listing(name=name, path=path, sections={"Commands": below}, help=shared.__doc__, rich_markup_mode=None)


def _command(path: str, module: "ModuleType") -> "AnyCommand":
    name = path.rpartition(" ")[2]
    examples = [line for line in module.EXAMPLES if f"{line} ".startswith(f"{path} ")]
    function = getattr(module, name.replace("-", "_"))
    about = CommandInfo(name, cls=Command, callback=function, epilog="\n".join(examples))
    return get_command_from_info(about, pretty_exceptions_short=False, rich_markup_mode=None)


class Listing(TyperGroup):
    """A group of commands, listed by what they are for."""

    def __init__(
        self,
        *,
        path: str = PROGRAM,
        sections: Mapping[str, Mapping[str, str]] = SECTIONS,
        commands: object = None,  # noqa: ARG002  typer gives an empty one
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self._sections = sections
        modules = {name: module for section in sections.values() for name, module in section.items()}
        self.commands: Any = _Commands(path, modules)

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:  # noqa: ARG002
        """The commands under the headings of their sections, all in one column."""
        width = max(map(len, self.commands))
        room = formatter.width - width - 6
        for heading, section in self._sections.items():
            names = dict.fromkeys(name.partition(" ")[0] for name in section)
            with formatter.section(heading):
                formatter.write_dl(
                    [(name.ljust(width), self.commands[name].get_short_help_str(room)) for name in names]
                )

    def format_epilog(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """How commands end."""
        if ctx.parent is None:
            with formatter.section("A command ends with one of these statuses"):
                formatter.write_dl([(str(int(code)), meaning) for code, meaning in MEANINGS.items()])


def about(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the versions of fedgrass and of Python.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --version: as JSON.")] = False,
) -> None:
    """Serverless federated learning for AWS IoT Greengrass V2 fleets."""
    if version:
        from cli.versions import versions

        found = versions()
        context.obj.command, context.obj.result = "version", found
        Screen(quiet=as_json).line(f"fedgrass {found['fedgrass']} (Python {found['python']}, {found['platform']})")
        raise typer.Exit
    if as_json:
        raise typer.BadParameter("put it behind a command: fedgrass status --json", context, param_hint="--json")
    if context.invoked_subcommand is None:
        context.fail("Missing command")


app = typer.Typer(
    cls=Listing,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.callback(invoke_without_command=True)(about)
