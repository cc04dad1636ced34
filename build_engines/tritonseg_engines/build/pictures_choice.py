"""Which pictures a build uses, and what it uses where nobody gave any."""

from __future__ import annotations

from pathlib import Path

from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.errors import CalibrationError
from tritonseg_engines.running.pictures import Pictures, counted, picture_folder, smooth_noise
from tritonseg_engines.zoo.street_demo import CALIBRATION, JUDGED, JUDGED_LABELS, is_demo
from tritonseg_steps.network_sizes import NetworkSizes

OPEN_SIZE = (512, 1024)
NOISE_PICTURES = {"fp32": 1, "fp16": 4, "int8": 4}
"""Of every precision. In fp32 the proof has compared others before."""
GATE_STREETS = {"fp32": 1, "fp16": 4, "int8": 8}
"""Of the streets that ship, how many a build of the demo model is judged on."""


def given_pictures(options: BuildOptions, onnx_path: Path) -> Pictures | None:
    """Return the best pictures that there are to judge a build by, None where nobody gave any.

    Raises:
        CalibrationError: The folder given cannot be used.
    """
    if options.pictures is not None:
        return picture_folder(options.pictures, options.labels)
    if is_demo(onnx_path):
        streets = picture_folder(JUDGED, JUDGED_LABELS)
        streets.origin = "drawn streets"
        return streets
    if options.calibration is not None:
        pictures = picture_folder(options.calibration)
        pictures.origin += " that it was calibrated with, because no others were given"
        return pictures
    return None


class PictureChoice:
    """The pictures of one build.

    Args:
        options: What the user gave.
        onnx_path: The export; the demo model is known by its content.
        sizes: Of the input that the network takes.
    """

    def __init__(self, options: BuildOptions, onnx_path: Path, sizes: NetworkSizes) -> None:
        self._options, self._onnx_path = options, onnx_path
        self._size_hw = sizes.nearest(OPEN_SIZE)
        self._is_demo = is_demo(onnx_path)

    def for_int8(self) -> Pictures:
        """Return the pictures that int8 is calibrated with.

        Raises:
            CalibrationError: There are none, or too few.
        """
        if self._options.calibration is None:
            if self._is_demo:
                return picture_folder(CALIBRATION)
            raise CalibrationError(
                "int8 needs pictures to calibrate with: give a folder of "
                f"{self._options.minimum_pictures} or more with --calibration"
            )
        pictures = picture_folder(self._options.calibration)
        if len(pictures) < self._options.minimum_pictures:
            raise CalibrationError(
                f"{self._options.calibration}: expected {self._options.minimum_pictures} or more "
                f"pictures to calibrate with, got {len(pictures)}; --minimum-pictures lowers that"
            )
        return pictures

    def for_ranges(self) -> Pictures:
        """Return pictures from which fp16 learns the magnitude of values."""
        if self._options.calibration is not None:
            return picture_folder(self._options.calibration)
        return self.for_gate("fp16")

    def for_gate(self, precision: str) -> Pictures:
        """Return the pictures that a build is judged by, the best there are.

        Raises:
            CalibrationError: The folder given cannot be used.
        """
        given = given_pictures(self._options, self._onnx_path)
        if given is None:
            return smooth_noise(self._size_hw, NOISE_PICTURES[precision])
        if self._options.pictures is None and self._is_demo:
            given = given[: GATE_STREETS[precision]]
            given.origin = counted(len(given), "drawn street")
        return given
