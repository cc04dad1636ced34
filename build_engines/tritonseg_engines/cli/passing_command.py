"""A command that hands what stands behind `--` on to another program."""

from __future__ import annotations

import click


class PassingCommand(click.Command):
    """Gives its function what stands behind the first `--` as `passed_on`, word by word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take all from the first `--` on away from click, to which it would end the options."""
        end = args.index("--") if "--" in args else len(args)
        rest = super().parse_args(ctx, args[:end])
        ctx.params["passed_on"] = tuple(args[end + 1 :])
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show that something may stand there."""
        return [*super().collect_usage_pieces(ctx), "[-- TRITONSERVER OPTION...]"]
