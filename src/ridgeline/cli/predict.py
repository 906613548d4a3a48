"""`ridgeline predict`: where every client will land."""

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ridgeline.app.predict import Prediction


@click.command("predict")
@click.argument("spec", metavar="SPEC", type=click.Path())
@click.option(
    "--internet",
    "-i",
    "source",
    default="builtin:demo",
    show_default=True,
    metavar="I",
    help="builtin:demo, builtin:world, a file of CAIDA's as-rel or as-rel2, or a compiled one.",
)
@click.option(
    "--prefix", default="", metavar="P", help="Which prefix; the spec's first by default."
)
@click.option("--down", multiple=True, metavar="SITE", help="A site that announces nothing.")
@click.option(
    "--prepend",
    "prepends",
    multiple=True,
    metavar="SITE[:ASN]=N",
    help="N extra copies of our AS number, instead of what the spec says.",
)
@click.option(
    "--load", type=click.FloatRange(min=0), metavar="QPS", help="Queries per second of all clients."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option(
    "--clients",
    type=click.Choice(["all", "none"]),
    default="all",
    show_default=True,
    help="Whether the JSON document has every client.",
)
@click.option("--map", "picture", metavar="FILE", help="Draw a world map: .svg, .png or .html.")
@click.option("--output", "-o", metavar="FILE", help="Write the catchment map: .jsonl or .parquet.")
def command(  # noqa: PLR0913 - one parameter for each option
    spec: str,
    source: str,
    prefix: str,
    *,
    down: tuple[str, ...],
    prepends: tuple[str, ...],
    load: float | None,
    as_json: bool,
    clients: str,
    picture: str | None,
    output: str | None,
) -> None:
    """Predict where every client of SPEC's prefix lands (- for standard input).

    Each site's share, load and round-trip times; who lands farther than the nearest site and why;
    how sure all this is. A client is certain when no other site is possible, whichever way routers
    break their ties.
    """
    from ridgeline.app.maps import check_map_name, write_map
    from ridgeline.app.predict import predict_file

    if output is not None:
        check_map_name(output)
    if picture is not None:
        from ridgeline.app.picture_file import check_picture_name

        check_picture_name(picture)
    prediction = predict_file(spec, source, prefix=prefix, down=down, prepends=prepends, load=load)
    if output is not None:
        write_map(prediction.map, output)
    if picture is not None:
        _draw(prediction, picture)
    if as_json:
        from ridgeline.app.prediction_document import prediction_document

        document = prediction_document(prediction, clients=clients == "all")
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    from ridgeline.cli.predict_tables import print_prediction

    print_prediction(prediction)


def _draw(prediction: "Prediction", picture: str) -> None:
    from ridgeline.app.picture_file import write_picture
    from ridgeline.app.predict_map import draw_prediction

    title = f"{prediction.spec.network}: {prediction.prefix}"
    write_picture(draw_prediction(prediction), picture, title=title)
