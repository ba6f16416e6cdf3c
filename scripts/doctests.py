"""What docstrings show with >>> as blocks of code, for mkdocstrings: markdown has it as quotes."""

import re

import griffe

SHOWN = re.compile(r"(^>>> .*(?:\n(?!\n).*)*)", re.MULTILINE)


class Doctests(griffe.Extension):
    """Puts fences round examples, once a docstring is read."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: object) -> None:
        if obj.docstring is not None:
            obj.docstring.value = SHOWN.sub(r"```pycon\n\1\n```", obj.docstring.value)
