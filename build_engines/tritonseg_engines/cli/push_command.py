"""`tritonseg push`: a repository into an OCI registry."""

from __future__ import annotations

from pathlib import Path

import click

from tritonseg_engines.cli.registry_options import plain_http_option


@click.command(name="push")
@click.argument("repository", type=click.Path(file_okay=False, path_type=Path))
@click.argument("words", nargs=-1, required=True, metavar="[MODEL]... oci://HOST/NAME:TAG")
@click.option(
    "--sign",
    "key",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="KEY.pem",
    help="Sign it with this private key, elliptic-curve and without a password.",
)
@plain_http_option
def command(repository: Path, words: tuple[str, ...], key: Path | None, plain_http: bool) -> None:
    """Push a REPOSITORY's models, all or MODELs only, to an OCI registry.

    Files must be those of the receipts. They go as one image for the kind of machine that they were
    built for: the tag is an index, and what it has for other kinds of machines stays. The last
    lines name the image by its digest, for `pull` and for Kubernetes.
    """
    from tritonseg_engines.artefact.push import push
    from tritonseg_engines.artefact.reference import parse_reference

    *models, address = words
    done = push(repository, parse_reference(address), models, key=key, plain_http=plain_http)
    for name in done.left_out:
        click.echo(f"left out {name}, which tritonseg did not build")
    for line in done.remarks:
        click.echo(line)
    for name in done.of_other_exports:
        click.echo(f"{name} there is of another export: push it anew, too, if it is to be the same")
    if not done.signed:
        click.echo("not signed: whoever can write to the registry can change it; --sign KEY.pem")
    click.echo(f"pushed {', '.join(done.models)} for {done.target.key}, {done.size / 1e6:.1f} MB")
    click.echo(f"image  {done.image}")
    click.echo(f"index  {done.index} ({', '.join(done.targets)})")
