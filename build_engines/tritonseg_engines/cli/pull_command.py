"""`tritonseg pull`: a repository from an OCI registry."""

from __future__ import annotations

from pathlib import Path

import click

from tritonseg_engines.cli.registry_options import plain_http_option
from tritonseg_engines.cli.typed import DEFAULT_REPOSITORY


@click.command(name="pull")
@click.argument("address", metavar="oci://HOST/NAME[:TAG][@DIGEST]")
@click.option(
    "-o",
    "--output",
    "repository",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_REPOSITORY,
    show_default=True,
    help="Folder to make; it appears whole or not at all.",
)
@click.option(
    "--verify-key",
    "key",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PUBLIC.pem",
    help="Refuse what this key has not signed.",
)
@click.option(
    "--target",
    metavar="TARGET",
    help="Take what is for this kind of machine, as the index names it, whatever this one is.",
)
@click.option("--replace", "replaces", is_flag=True, help="Replace another repository there.")
@click.option(
    "--sbom",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the SBOM (CycloneDX) there.",
)
@plain_http_option
def command(
    address: str,
    repository: Path,
    key: Path | None,
    target: str | None,
    replaces: bool,
    sbom: Path | None,
    plain_http: bool,
) -> None:
    """Pull the repository for this kind of machine from an OCI registry.

    Digests, signature and receipts are looked at before anything lies in the output folder.
    """
    from tritonseg_engines.artefact.pull import PullOrder, pull
    from tritonseg_engines.artefact.reference import parse_reference

    order = PullOrder(
        reference=parse_reference(address),
        repository=repository,
        key=key,
        target=target,
        replaces=replaces,
        plain_http=plain_http,
        sbom=sbom,
    )
    done = pull(order)
    for reason in done.unreadable:
        click.echo(f"a signature of it cannot be read, and does not count: {reason}")
    if key is None:
        what = "is not signed" if not done.signatures else "is signed, and nobody looked"
        click.echo(f"it {what}: --verify-key PUBLIC.pem refuses what its key has not signed")
    signed = f", signed by the key of {key}" if key is not None else ""
    how = "pulled" if done.is_new else "already there:"
    click.echo(f"{how} {', '.join(done.models)} for {done.target.key}{signed}: {repository}")
    click.echo(f"image {done.image}")
