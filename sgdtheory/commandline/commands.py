"""The words that Typer may read as a command, and a hint at the one that was meant."""

from typing import Any

from typer.core import TyperGroup

from sgdtheory.errors import UserError, nearest

# Its classes are click's, or those of the copy of click that newer versions of Typer bring.
ClickContext = Any
ClickCommand = Any


class NoCommand(UserError):
    """A word that is none of the commands."""

    def format_message(self) -> str:
        """What Typer's own complaints have."""
        return str(self)


class Commands(TyperGroup):
    """The commands, with a hint where a word is none of them."""

    def resolve_command(
        self, ctx: ClickContext, args: list[str]
    ) -> tuple[str | None, ClickCommand, list[str]]:
        word = args[0]
        known = self.list_commands(ctx)
        if ctx.resilient_parsing or word in known or word.startswith("-"):
            return super().resolve_command(ctx, args)
        there = f"there are {', '.join(known)}"
        if "=" in word:
            raise NoCommand(f"{word}: a command comes first, as in sgdtheory train {word}; {there}")
        hint = _hint(word, known) or f"; {there}"
        raise NoCommand(f"No such command {word!r}. {hint[2].upper()}{hint[3:]}")


def _hint(word: str, known: list[str]) -> str:
    from sgdtheory.commandline.habits import command_meant

    meant = command_meant(word, known)
    return f"; did you mean {meant!r}?" if meant else nearest(word, known)
