r"""PaddleSeg's names for the parameters of HRNet and OCRNet, by rule.

    backbone.stage3.0.fuse_layers.2.0.1.0.weight
    backbone.st3.stage_st3_1.fuse_func.residual_st3_1_layer_3_1_2._conv.weight

Paddle counts from one where torch's module lists count from zero, calls a convolution and its
batch norm `_conv` and `_batch_norm` of one parent, and keeps no batch counter.

Source: PaddlePaddle/PaddleSeg release/2.3, `paddleseg/models/backbones/hrnet.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_STATISTICS = {"running_mean": "_mean", "running_var": "_variance"}


def paddle_name(name: str) -> str:
    """Return Paddle's name for an entry of the state dict of `ocrnet.OCRNet`."""
    parent, leaf = name.rsplit(".", 1)
    for pattern, rename in _RULES:
        if match := pattern.fullmatch(parent):
            parent = rename(match)
            break
    return f"{parent}.{_STATISTICS.get(leaf, leaf)}"


def _kind(batch_norm: bool) -> str:
    return "_batch_norm" if batch_norm else "_conv"


def _stem(match: re.Match[str]) -> str:
    return f"backbone.conv_layer1_{match['n']}.{_kind(match['kind'] == 'bn')}"


def _layer1(match: re.Match[str]) -> str:
    return f"backbone.la1.bb_layer2_{int(match['block']) + 1}.{_in_block(match)}"


def _in_block(match: re.Match[str]) -> str:
    if match["n"]:
        return f"conv{match['n']}.{_kind(match['kind'] == 'bn')}"
    return f"conv_down.{_kind(match['step'] == '1')}"


def _transition(match: re.Match[str]) -> str:
    t, branch = match["t"], int(match["branch"]) + 1
    return f"backbone.tr{t}.transition_tr{t}_layer_{branch}.{_kind(match['step'] == '1')}"


def _branch(match: re.Match[str]) -> str:
    stage, block = _stage(match), f"{int(match['branch']) + 1}_{int(match['block']) + 1}"
    return (
        f"backbone.st{match['s']}.stage_{stage}.branches_func."
        f"bb_{stage}_branch_layer_{block}.{_in_block(match)}"
    )


def _fuse(match: re.Match[str]) -> str:
    stage, pair = _stage(match), f"{int(match['target']) + 1}_{int(match['source']) + 1}"
    step = f"_{int(match['k']) + 1}" if match["k"] else ""
    return (
        f"backbone.st{match['s']}.stage_{stage}.fuse_func."
        f"residual_{stage}_layer_{pair}{step}.{_kind(match['step'] == '1')}"
    )


def _stage(match: re.Match[str]) -> str:
    return f"st{match['s']}_{int(match['module']) + 1}"


def _head(match: re.Match[str]) -> str:
    return f"{match['parent']}.{_kind(match['kind'] == 'bn')}"


_IN_BLOCK = r"(?:(?P<kind>conv|bn)(?P<n>\d)|downsample\.(?P<step>\d))"
_STAGE = r"backbone\.stage(?P<s>\d)\.(?P<module>\d)"
_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), rename)
    for pattern, rename in (
        (r"backbone\.(?P<kind>conv|bn)(?P<n>\d)", _stem),
        (rf"backbone\.layer1\.(?P<block>\d)\.{_IN_BLOCK}", _layer1),
        # A new branch has one level of nesting more, because upstream could chain several.
        (r"backbone\.transition(?P<t>\d)\.(?P<branch>\d)(?:\.0)?\.(?P<step>\d)", _transition),
        (rf"{_STAGE}\.branches\.(?P<branch>\d)\.(?P<block>\d)\.{_IN_BLOCK}", _branch),
        (
            rf"{_STAGE}\.fuse_layers\.(?P<target>\d)\.(?P<source>\d)"
            r"(?:\.(?P<k>\d))?\.(?P<step>\d)",
            _fuse,
        ),
        (r"(?P<parent>head\..*)\.(?P<kind>conv|bn)", _head),
    )
)
