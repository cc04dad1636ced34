"""ICC profiles written by hand, and what they do to colours by the formulas of the standards."""

from __future__ import annotations

import struct

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])
D65 = np.array([0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290])
# Source: Lam, "Metamerism and colour constancy" (Bradford), as in ICC.1:2022, annex E.
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
P3_PRIMARIES = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_PRIMARIES = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))


def to_xyz_d50(primaries_xy) -> np.ndarray:
    """The matrix from linear RGB of these primaries, white D65, to XYZ adapted to D50."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries_xy]).T
    scaled = columns * np.linalg.solve(columns, D65)
    adapt = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ D65)) @ BRADFORD
    return adapt @ scaled


def srgb_linear(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb_encoded(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def shown_as_srgb(colors: np.ndarray, primaries_xy, gamma: float | None = None) -> np.ndarray:
    """Colours of an RGB profile, 0-255, as sRGB, 0-255, in float."""
    values = colors / 255
    linear = srgb_linear(values) if gamma is None else values**gamma
    matrix = np.linalg.inv(to_xyz_d50(SRGB_PRIMARIES)) @ to_xyz_d50(primaries_xy)
    return 255 * srgb_encoded(linear @ matrix.T)


def lab_as_srgb(lab) -> np.ndarray:
    f_y = (lab[0] + 16) / 116
    f = np.array([f_y + lab[1] / 500, f_y, f_y - lab[2] / 200])
    xyz = D50 * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return 255 * srgb_encoded(np.linalg.inv(to_xyz_d50(SRGB_PRIMARIES)) @ xyz)


def fixed(values) -> bytes:
    return b"".join(struct.pack(">i", round(65536 * value)) for value in values)


def xyz_tag(values) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(values)


def curve_tag(gamma: float | None) -> bytes:
    """A gamma, or where it is None, sRGB's curve at 1024 points."""
    if gamma is not None:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * gamma))
    points = np.round(65535 * srgb_linear(np.linspace(0, 1, 1024))).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + points.tobytes()


def profile(space: bytes, kind: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Source: ICC.1:2001-04 (version 2), 6.1 (header) and 6.2 (tag table)."""
    table, body, position = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", position + len(body), len(content))
        body += padded
    size = position + len(body)
    header = struct.pack(">I", size) + bytes(4) + struct.pack(">I", 0x02100000) + kind + space + pcs
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def rgb_profile(primaries_xy, gamma: float | None = None) -> bytes:
    colorants = to_xyz_d50(primaries_xy).T
    tags = {b"wtpt": xyz_tag(D50)}
    for name, column in zip(b"rgb", colorants, strict=True):
        tags[bytes([name]) + b"XYZ"] = xyz_tag(column)
        tags[bytes([name]) + b"TRC"] = curve_tag(gamma)
    return profile(b"RGB ", b"mntr", b"XYZ ", tags)


def gray_profile(gamma: float | None) -> bytes:
    return profile(b"GRAY", b"mntr", b"XYZ ", {b"wtpt": xyz_tag(D50), b"kTRC": curve_tag(gamma)})


CYAN_LAB, MAGENTA_LAB = (55.0, -37.0, -50.0), (48.0, 70.0, -3.0)


def cmyk_profile() -> bytes:
    """A table of two points an ink: cyan and magenta as given, white, and black for the rest."""
    nodes = np.zeros((2, 2, 2, 2, 3))
    nodes[0, 0, 0, 0], nodes[1, 0, 0, 0], nodes[0, 1, 0, 0] = (100, 0, 0), CYAN_LAB, MAGENTA_LAB
    encoded = np.round(nodes * (2.55, 1, 1) + (0, 128, 128)).astype(np.uint8)
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + fixed(np.eye(3).ravel())
    table += ramp * 4 + encoded.tobytes() + ramp * 3
    tags = {b"wtpt": xyz_tag(D50), b"A2B0": table, b"A2B1": table}
    return profile(b"CMYK", b"prtr", b"Lab ", tags)


SRGB, DISPLAY_P3 = rgb_profile(SRGB_PRIMARIES), rgb_profile(P3_PRIMARIES)
ADOBE_RGB = rgb_profile(ADOBE_PRIMARIES, 563 / 256)
