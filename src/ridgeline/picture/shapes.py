"""The small signs on a map: dots for clients, diamonds for sites."""

from ridgeline.picture.markup import num
from ridgeline.picture.palette import Shape


def dot(shape: Shape, x: float, y: float, radius: float, *, css: str = "") -> str:
    """Draw a client of that radius; every shape has about the area of the circle."""
    klass = f' class="{css}"' if css else ""
    r = radius
    if shape == "circle":
        return f'<circle{klass} cx="{num(x)}" cy="{num(y)}" r="{num(r)}"/>'
    if shape == "square":
        side = 1.77 * r
        return (
            f'<rect{klass} x="{num(x - side / 2)}" y="{num(y - side / 2)}" '
            f'width="{num(side)}" height="{num(side)}"/>'
        )
    if shape == "triangle":
        path = f"M{num(x)} {num(y - 1.45 * r)}l{num(1.35 * r)} {num(2.3 * r)}h{num(-2.7 * r)}z"
        return f'<path{klass} d="{path}"/>'
    a = 0.75 * r
    path = (
        f"M{num(x - a / 2)} {num(y - 1.5 * a)}h{num(a)}v{num(a)}h{num(a)}v{num(a)}h{num(-a)}"
        f"v{num(a)}h{num(-a)}v{num(-a)}h{num(-a)}v{num(-a)}h{num(a)}z"
    )
    return f'<path{klass} d="{path}"/>'


def site_mark(state: str, x: float, y: float, radius: float) -> str:
    """Draw a site: a diamond; a cross in it when down, a dot when drained."""
    r = radius * 1.18
    diamond = f'<path d="M{num(x)} {num(y - r)}l{num(r)} {num(r)}l{num(-r)} {num(r)}l{num(-r)} {num(-r)}z"/>'
    if state == "down":
        a = radius * 0.42
        return f'{diamond}<path d="M{num(x - a)} {num(y - a)}l{num(2 * a)} {num(2 * a)}m0 {num(-2 * a)}l{num(-2 * a)} {num(2 * a)}"/>'
    if state == "drained":
        return (
            f'{diamond}<circle class="core" cx="{num(x)}" cy="{num(y)}" r="{num(radius * 0.28)}"/>'
        )
    return diamond
