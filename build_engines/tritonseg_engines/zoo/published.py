"""Where the published weights are, and how to know that a file is the published one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedCheckpoint:
    """One published weights file.

    Attributes:
        file_name: Name under which it is published.
        url: The file itself, or where `manual_download` is set the page that leads to it.
        size_bytes: Length, or None where it was not published.
        sha384: Hexadecimal digest, or None where none was published.
        sha256_prefix: First digits of the SHA-256, or None; mmsegmentation puts them into names.
        manual_download: The link needs a browser.
        alternative: Another place and how to get in, or None.
        lookalike: A file that loads just as well and is another model, with how it differs, or
            None.
    """

    file_name: str
    url: str
    size_bytes: int | None = None
    sha384: str | None = None
    sha256_prefix: str | None = None
    manual_download: bool = False
    alternative: str | None = None
    lookalike: tuple[str, str] | None = None


_OCR_BRANCH_W48 = (
    "hrnet_cs_8090_torch11.pth",
    "the W48 of branch HRNet-OCR, trained with align_corners=True: it has the same names and "
    "shapes, and gives other masks here",
)

PUBLISHED_CHECKPOINTS = {
    # Sizes and SHA-384: Open Model Zoo, `models/public/*/model.yml`.
    "fastseg-small": PublishedCheckpoint(
        file_name="mobilev3small-lraspp-f128-a39a1e4b.pt",
        url="https://github.com/ekzhang/fastseg/releases/download/v0.1-weights/"
        "mobilev3small-lraspp-f128-a39a1e4b.pt",
        size_bytes=9_256_712,
        sha384="2620fcf3ffeea09ea5bc1a50f3ccbae8a15aa22bcdaca02aa7c581fa1d6a1fef"
        "7ef43732b5baf58ec30c25df8ec042c8",
    ),
    "pspnet-pytorch": PublishedCheckpoint(
        file_name="pspnet_r50-d8_512x512_20k_voc12aug_20200617_101958-ed5dfbd9.pth",
        url="https://download.openmmlab.com/mmsegmentation/v0.5/pspnet/"
        "pspnet_r50-d8_512x512_20k_voc12aug/"
        "pspnet_r50-d8_512x512_20k_voc12aug_20200617_101958-ed5dfbd9.pth",
        size_bytes=196_212_259,
        sha384="be24b179a6b45e794a03dc153dcfa854cc9f3ee5beefad70072b47902d720d9d"
        "1d0ed6dfefb1a43412ed356e2f44fa98",
        sha256_prefix="ed5dfbd9",
    ),
    "ocrnet-hrnet-w48-paddle": PublishedCheckpoint(
        file_name="model.pdparams",
        url="https://bj.bcebos.com/paddleseg/dygraph/cityscapes/"
        "ocrnet_hrnetw48_cityscapes_1024x512_160k/model.pdparams",
        size_bytes=425_067_873,
        sha384="ffe6be29376beefea4a6031e5718f87f890faead48edd1ae895b9ebde2b967ad"
        "59a6102ca75799df7ac1c5f9619fb110",
    ),
    # Links: HRNet-Semantic-Segmentation, branch pytorch-v1.1, README.
    "hrnetv2-w48-cityscapes": PublishedCheckpoint(
        file_name="hrnet_w48_cityscapes_cls19_1024x2048_trainset.pth",
        url="https://1drv.ms/u/s!Aus8VCZ_C_33gSlK7Fju_sXCxFUt?e=WZ96Ck",
        manual_download=True,
        alternative="Baidu Pan, access code t6ri, linked in the README",
        lookalike=_OCR_BRANCH_W48,
    ),
    "hrnetv2-w18-small-v1-cityscapes": PublishedCheckpoint(
        file_name="hrnet_w18_small_v1_cityscapes_cls19_1024x2048_trainset.pth",
        url="https://1drv.ms/u/s!Aus8VCZ_C_33gSEsg-2sxTmZL2AT?e=AqHbjh",
        manual_download=True,
        alternative="Baidu Pan, access code 63be, linked in the README",
    ),
    "hrnetv2-w18-small-v2-cityscapes": PublishedCheckpoint(
        file_name="hrnet_w18_small_v2_cityscapes_cls19_1024x2048_trainset.pth",
        url="https://1drv.ms/u/s!Aus8VCZ_C_33gSAL4OurOW0RX4JH?e=ptLwpW",
        manual_download=True,
        alternative="Baidu Pan, access code k23v, linked in the README",
    ),
}
