"""`tritonseg bulk`: more pictures than one wants to wait for twice, through one server or many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tritonseg_engines.cli.call_options import call_options, limits_of
from tritonseg_engines.cli.ended_in_order import ended_in_order
from tritonseg_engines.cli.progress_bars import progress_bars
from tritonseg_engines.cli.segmenting import some_failed
from tritonseg_engines.cli.server_options import ServerAccess, access_options

if TYPE_CHECKING:
    from tritonseg_engines.bulk.order import BulkOrder


@click.command(name="bulk")
@click.argument("source", metavar="SRC")
@click.argument("results", metavar="DST")
@click.option(
    "--model",
    required=True,
    envvar="TRITONSEG_MODEL",
    show_envvar=True,
    help="Name of the model on the servers.",
)
@click.option(
    "--model-version",
    type=click.IntRange(min=1),
    metavar="N",
    envvar="TRITONSEG_MODEL_VERSION",
    show_envvar=True,
    help="Which version of it; the highest that is served when the job begins, unless given.",
)
@click.option(
    "--url",
    "urls",
    multiple=True,
    default=["localhost:8001"],
    show_default=True,
    envvar="TRITONSEG_URL",
    show_envvar=True,
    help="A server's gRPC port; repeated, several servers take turns.",
)
@access_options
@click.option(
    "--kind",
    type=click.Choice(["folder", "parquet", "webdataset"]),
    help="What is in SRC; found out by names unless given.",
)
@click.option(
    "--field",
    metavar="NAME",
    help="Column of a Parquet file, or extension in WebDataset's samples, that is the picture.",
)
@click.option("--names", metavar="NAME", help="Column of a Parquet file that names the pictures.")
@click.option(
    "--results",
    "form",
    type=click.Choice(["png", "rle", "coco"]),
    default="png",
    show_default=True,
    help="Class-index PNGs, run lengths in Parquet, or a COCO data set.",
)
@click.option(
    "--part",
    "part_size",
    type=click.IntRange(1, 100_000),
    default=256,
    show_default=True,
    metavar="N",
    help="Pictures that are finished together; what is redone at most where a worker dies.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 10_000),
    default=2,
    show_default=True,
    metavar="N",
    help="Processes, each with a client of its own.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(1, 1024),
    default=8,
    show_default=True,
    metavar="N",
    help="How many pictures each worker has on their way at once.",
)
@call_options
@click.option(
    "--resume", is_flag=True, help="Go on with the job in DST; begin where there is none."
)
@click.option(
    "--retry-failed", is_flag=True, help="With --resume: parts with failed pictures are redone."
)
@click.option(
    "--ray-address",
    envvar="RAY_ADDRESS",
    show_envvar=True,
    metavar="ADDRESS",
    help="A Ray cluster that runs; without it, Ray is started on this machine and ended.",
)
def command(source: str, results: str, **options: Any) -> None:
    """Segment all pictures of SRC into DST, with several workers, and go on where it was stopped.

    Both are folders, by path or by URL (s3://bucket/folder, gs://, and whatever else fsspec reads).
    SRC may hold picture files, Parquet files with a column of them, or WebDataset's tars.

    DST/pictures has a row for every picture, failed ones with the reason; masks are in DST/masks,
    in the rows, or in DST/coco.json. A picture that fails stops no other, and the exit code is 1.
    """
    from tritonseg_engines.bulk.run import run_bulk

    order = _order(source, results, options)
    with ended_in_order(), progress_bars() as progress:

        def tell(line: str) -> None:
            with progress.aside():
                click.echo(line, err=True)

        outcome = run_bulk(order, tell=tell, progress=progress)
    segmented = outcome.pictures - len(outcome.failures)
    rate = f", {outcome.done / outcome.seconds:.1f}/s" if outcome.seconds else ""
    click.echo(
        f"{segmented} of {outcome.pictures} pictures are segmented; this run did {outcome.done} in "
        f"{outcome.seconds:.1f} s{rate}; a row for each is in {order.results}/pictures"
    )
    if outcome.failures:
        names = [f"{one.picture} ({one.kind})" for one in outcome.failures]
        raise some_failed(names, of=outcome.pictures)


def _order(source: str, results: str, options: dict[str, Any]) -> BulkOrder:
    from tritonseg_engines.bulk.job import Cluster, Making, Servers
    from tritonseg_engines.bulk.order import BulkOrder
    from tritonseg_engines.bulk.sources import SourceOptions
    from tritonseg_engines.bulk.storage import absolute_url

    if options["retry_failed"] and not options["resume"]:
        raise click.UsageError("--retry-failed goes with --resume")
    access = ServerAccess(
        **{name: options[name] for name in ("headers", "token", "tls", "ca", "cert", "key")}
    )
    version, limits = options["model_version"], limits_of(options["max_megapixels"])
    sizes = (
        {} if limits is None else {"max_pixels": limits.max_pixels, "max_bytes": limits.max_bytes}
    )
    return BulkOrder(
        source=SourceOptions(
            url=absolute_url(source).rstrip("/"),
            kind=options["kind"],
            field=options["field"],
            names=options["names"],
        ),
        results=absolute_url(results).rstrip("/"),
        model=options["model"],
        version=None if version is None else str(version),
        making=Making(
            form=options["form"],
            part_size=options["part_size"],
            transport=options["transport"],
            tiling=options["tiling"],
            **sizes,
        ),
        servers=Servers(
            urls=list(options["urls"]),
            access=access.read(),
            timeout_s=options["timeout_s"],
            in_flight=options["in_flight"],
        ),
        cluster=Cluster(address=options["ray_address"], workers=options["workers"]),
        resume=options["resume"],
        retry_failed=options["retry_failed"],
    )
