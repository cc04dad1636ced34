"""What is served against what trainers run: their own processor, network and post-processing.

Networks have random weights: shares are lower than trained ones', and nothing is downloaded.

    python tests/benchmarks/trainers.py export FOLDER PICTURE...
    python tests/benchmarks/trainers.py compare FOLDER

The first needs torch, torchvision, transformers and segmentation-models-pytorch, in an environment
of its own if need be; the second `tritonseg[build]`.

The first writes an ONNX file, a specification and the trainer's masks for every network; the second
builds the specification and prints the share of pixels that are the trainer's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

IMAGENET = {"mean": [0.485, 0.456, 0.406], "scale": [0.229, 0.224, 0.225], "unit": "0-1"}
CLASSES = 19
Masks = Callable[[Image.Image], NDArray[np.int64]]


def export(folder: Path, pictures: Sequence[Path]) -> None:
    """Write networks, specifications and the trainers' own masks."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for name, make in NETWORKS.items():
        torch.manual_seed(0)
        network, example_hw, dynamic, preprocessing, masks = make()
        network.eval()
        sides = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC} if dynamic else {}
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, *example_hw),),
            folder / f"{name}.onnx",
            input_names=["image"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC, **sides},),
            external_data=False,
            verbose=False,
        )
        document = {
            "name": name,
            "input": {"name": "image"},
            "output": {"name": "scores", "upsampling": "export"},
            "classes": CLASSES,
            **preprocessing,
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        for index, path in enumerate(pictures):
            picture = Image.open(path).convert("RGB")
            with torch.inference_mode():
                mask_hw = masks(picture)
            np.savez(folder / f"{name}.{index}.npz", image_hwc=picture, mask_hw=mask_hw)
        print(f"{name}: written", flush=True)


def _hugging_face(model: Any, processor: Any, picture: Image.Image) -> NDArray[np.int64]:
    output = model(**processor(images=picture, return_tensors="pt"))
    size_hw = [picture.size[::-1]]
    return processor.post_process_semantic_segmentation(output, target_sizes=size_hw)[0].numpy()


def _logits(model: Any) -> Any:
    """Make of a Hugging Face or torchvision model the function that is exported."""
    import torch

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            output = self.model(pixels)
            is_torchvision = isinstance(output, dict) and "out" in output
            return output["out"] if is_torchvision else output.logits

    return Logits()


def _fed_as_segformer(model: Any) -> Any:
    """Stretched to 512x512 by Pillow's bilinear filter."""
    from transformers import SegformerImageProcessor as Processor

    resize = {"policy": "stretch", "height": 512, "width": 512, "antialias": True}
    return (
        _logits(model), (512, 512), False, {**IMAGENET, "resize": resize},
        lambda picture: _hugging_face(model, Processor(), picture),
    )  # fmt: skip


def segformer() -> Any:
    """SegFormer, with its own processor."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    model = SegformerForSemanticSegmentation(SegformerConfig(num_labels=CLASSES)).eval()
    return _fed_as_segformer(model)


def upernet() -> Any:
    """UperNet with ConvNeXt, and SegFormer's processor, as its checkpoints have."""
    from transformers import ConvNextConfig, UperNetConfig, UperNetForSemanticSegmentation

    backbone = ConvNextConfig(
        hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = UperNetConfig(backbone_config=backbone, num_labels=CLASSES, hidden_size=64)
    model = UperNetForSemanticSegmentation(config).eval()
    return _fed_as_segformer(model)


def dpt() -> Any:
    """DPT: stretched to 384x384 by Pillow's bicubic filter."""
    from transformers import DPTConfig, DPTForSemanticSegmentation
    from transformers import DPTImageProcessor as Processor

    config = DPTConfig(
        num_labels=CLASSES, hidden_size=192, num_hidden_layers=4, num_attention_heads=4,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[32, 64, 128, 128],
        fusion_hidden_size=64, intermediate_size=384,
    )  # fmt: skip
    model = DPTForSemanticSegmentation(config).eval()
    resize = {
        "policy": "stretch", "height": 384, "width": 384, "interpolation": "bicubic",
        "antialias": True,
    }  # fmt: skip
    return (
        _logits(model), (384, 384), False,
        {"mean": 0.5, "scale": 0.5, "unit": "0-1", "resize": resize},
        lambda picture: _hugging_face(model, Processor(), picture),
    )  # fmt: skip


def deeplab() -> Any:
    """DeepLabV3 of torchvision: the shorter side to 520, the other truncated, antialiased."""
    import torch
    from torchvision.models.segmentation import deeplabv3_resnet50
    from torchvision.transforms._presets import SemanticSegmentation

    model = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES).eval()
    preset = SemanticSegmentation(resize_size=520)

    def masks(picture: Image.Image) -> NDArray[np.int64]:
        output = model(preset(picture)[None])["out"]
        resized = torch.nn.functional.interpolate(output, picture.size[::-1], mode="bilinear")
        return resized[0].argmax(0).numpy()

    resize = {
        "policy": "keep_ratio", "short_side": 520, "rounding": "truncate", "antialias": True,
    }  # fmt: skip
    return _logits(model), (264, 328), True, {**IMAGENET, "resize": resize}, masks


def unet() -> Any:
    """SMP's U-Net: the picture's own size, padded on all sides to a multiple of 32 with black."""
    import segmentation_models_pytorch as smp
    import torch

    model = smp.Unet("resnet18", encoder_weights=None, classes=CLASSES).eval()
    mean, scale = (255 * torch.tensor(IMAGENET[key])[:, None, None] for key in ("mean", "scale"))

    def masks(picture: Image.Image) -> NDArray[np.int64]:
        image = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
        height, width = image.shape[1:]
        rows, columns = -height % 32, -width % 32
        top, left = int(rows / 2), int(columns / 2)
        sides = (left, columns - left, top, rows - top)
        padded = torch.nn.functional.pad(image, sides)
        scores = model(((padded - mean) / scale)[None])[0]
        return scores[:, top : top + height, left : left + width].argmax(0).numpy()

    resize = {"policy": "native", "size_divisor": 32, "align": "center"}
    return model, (64, 96), True, {**IMAGENET, "resize": resize, "padding": 0}, masks


NETWORKS = {
    "segformer": segformer, "upernet": upernet, "dpt": dpt, "deeplab": deeplab, "unet": unet,
}  # fmt: skip


def compare(folder: Path) -> None:
    """Build every network and print the share of pixels at which it gives the trainer's class."""
    from dataclasses import replace

    from tritonseg_engines.build.prepare import prepare_network
    from tritonseg_engines.running.pictures import Picture
    from tritonseg_engines.running.served import infer_as_served
    from tritonseg_engines.spec_yaml import read_spec
    from tritonseg_engines.target import BuildTarget
    from tritonseg_steps.resampling import Resampling

    print("| network | as OpenCV resizes, in % | as its trainer does |\n|---|---|---|")
    for path in sorted(folder.glob("*.yaml")):
        spec = read_spec(path)
        answers = [np.load(file) for file in sorted(folder.glob(f"{path.stem}.*.npz"))]
        shares = []
        for resampling in (Resampling(), spec.preprocessing.resampling):
            preprocessing = replace(spec.preprocessing, resampling=resampling)
            prepared = prepare_network(
                replace(spec, preprocessing=preprocessing), path.with_suffix(".onnx")
            )
            steps, target = prepared.server_steps, BuildTarget.of("fp32", layout="single")
            with infer_as_served(prepared.network, target) as infer:
                for answer in answers:
                    picture = Picture(name=path.stem, image_hwc=answer["image_hwc"])
                    class_map_hw = steps.class_map(infer(steps.batch(picture)), picture)
                    shares.append(f"{100 * (class_map_hw == answer['mask_hw']).mean():.2f}")
        half = len(answers)
        print(f"| {path.stem} | {' / '.join(shares[:half])} | {' / '.join(shares[half:])} |")
        sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["export", "compare"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pictures", nargs="*", type=Path)
    given = parser.parse_args()
    if given.command == "export":
        export(given.folder, given.pictures)
    else:
        compare(given.folder)
