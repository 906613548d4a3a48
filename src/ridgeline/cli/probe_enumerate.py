"""`ridgeline probe enumerate`: is an address anycast, how many sites, where."""

import json
from pathlib import Path

import click


@click.command("enumerate")
@click.argument("file", metavar="FILE", type=click.Path())
@click.option(
    "--locations",
    metavar="FILE",
    help="Where probes are: RIPE Atlas' probe list, or lines of id,lat,lon.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--map", "picture", metavar="FILE", help="Draw a world map: .svg, .png or .html.")
def command(file: str, *, locations: str | None, as_json: bool, picture: str | None) -> None:
    """Tell from the round-trip times in FILE whether an address is anycast, and where its sites are.

    FILE holds vantage points with the smallest time that each measured to one address: iGreedy's
    files, a table with name, lat, lon and rtt_ms, a catchment map, or RIPE Atlas results (then
    --locations is needed); plain or compressed, - for standard input. The sites found are those
    that the times prove or make likely: at least so many there are.
    """
    from ridgeline.app.probe import enumerate_file
    from ridgeline.app.probe_documents import enumeration_document

    if picture is not None:
        from ridgeline.app.picture_file import check_picture_name

        check_picture_name(picture)
    found = enumerate_file(file, locations)
    if picture is not None:
        from ridgeline.app.picture_file import write_picture
        from ridgeline.app.probe_picture import draw_enumeration

        title = f"{found.file.target or Path(file).name}: sites by the speed of light"
        write_picture(draw_enumeration(found, title=title), picture, title=title)
    if as_json:
        click.echo(json.dumps(enumeration_document(found), ensure_ascii=False))
        return
    from ridgeline.cli.probe_file_tables import print_enumeration

    print_enumeration(found)
