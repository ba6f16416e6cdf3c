"""Pictures that matplotlib does not draw: half of a short command's time is its."""

from collections.abc import Callable

PLAIN = '<svg width="72pt" height="72pt" viewBox="0 0 72 72" id="plain"><path d="M0 0"/></svg>'


def draw_plainly(put: Callable[[object, str, object], None] = setattr) -> None:
    """Have every picture of this process be the same small one."""
    from sgdtheory.report.figures import canvas  # numpy, and what draws

    put(canvas, "_rendered", lambda figure: (PLAIN, PLAIN.encode()))
