"""Pictures that matplotlib does not draw: half of a short command's time is its; and those that it
draws, looked at."""

from collections.abc import Callable
from typing import Any

PLAIN = '<svg width="72pt" height="72pt" viewBox="0 0 72 72" id="plain"><path d="M0 0"/></svg>'
Put = Callable[[object, str, object], None]


def draw_plainly(put: Put = setattr) -> None:
    """Have every picture of this process be the same small one."""
    from sgdtheory.report.figures import canvas  # numpy, and what draws

    put(canvas, "_rendered", lambda figure: (PLAIN, PLAIN.encode()))
    put(canvas, "made_to_fit", lambda figure: False)


def demand_room(put: Put) -> None:
    """Have every picture of this process fail that has words beyond its edge."""
    from sgdtheory.report.figures import canvas, fitting

    panels = canvas._panels

    def looked_at(figure: Any) -> Any:  # asked for when the picture is as it will be
        assert max(fitting.beyond(figure)) <= fitting.ROUGHLY
        return panels(figure)

    put(canvas, "_panels", looked_at)
