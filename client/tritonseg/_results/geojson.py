"""Outlines with fewer points, and outlines on a map."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .._errors import ConfigurationError
from .._extras import import_extra
from .shapes import Polygon, signed_area

_LAST_ROW: Final = (0.0, 0.0, 1.0)
_EPSG: Final = re.compile(r"EPSG:(\d{4,6})")
_LONGITUDE_LATITUDE: Final = "EPSG:4326"

Transform = tuple[float, float, float, float, float, float]


def simplified(polygons: Iterable[Polygon], tolerance_px: float) -> list[Polygon]:
    """Leave out points without which outlines move by about a tolerance.

    Every polygon stays a valid one with all its holes, by GEOS' topology-preserving variant of
    Douglas and Peucker's algorithm; one for which that fails stays as it is. Polygons do not know
    of each other: neighbours may come to overlap or to leave gaps, of that width.

    Raises:
        ConfigurationError: The tolerance is no length, or shapely is not installed.
    """
    is_number = isinstance(tolerance_px, (int, float)) and not isinstance(tolerance_px, bool)
    if not is_number or not 0.0 <= tolerance_px < math.inf:
        raise ConfigurationError(f"simplify_px must be a length in pixels, got {tolerance_px!r}")
    if tolerance_px == 0.0:
        return list(polygons)
    shapely = import_extra("shapely", extra="shapes", need="simplify_px")
    return [_simplified(polygon, tolerance_px, shapely) for polygon in polygons]


def _simplified(polygon: Polygon, tolerance_px: float, shapely: Any) -> Polygon:
    shape = shapely.Polygon(polygon.exterior, polygon.holes)
    simple = shapely.simplify(shape, tolerance_px, preserve_topology=True)
    if not simple.is_valid or len(simple.interiors) != len(polygon.holes):
        return polygon
    holes = tuple(_ring(line, turn=-1) for line in simple.interiors)
    return Polygon(exterior=_ring(simple.exterior, turn=1), holes=holes)


def _ring(line: Any, *, turn: int) -> npt.NDArray[np.int32]:
    ring = np.asarray(line.coords, np.int32)[:-1]
    return ring if turn * signed_area(ring) > 0 else ring[::-1]


def checked_transform(transform: Sequence[float]) -> Transform:
    """Return (a, b, c, d, e, f), of which x = a·column + b·row + c and y = d·column + e·row + f.

    Args:
        transform: These six, as in rasterio's `dataset.transform`, which is nine with 0, 0, 1.

    Raises:
        ConfigurationError: It is not that, or is GDAL's six, whose order is c, a, b, f, d, e.
    """
    try:
        values = tuple(float(value) for value in transform)
    except (TypeError, ValueError, OverflowError) as exc:
        raise ConfigurationError(f"transform must be six numbers, got {transform!r}") from exc
    if len(values) not in (6, 9) or values[6:] not in ((), _LAST_ROW):
        raise ConfigurationError(
            f"transform must be (a, b, c, d, e, f), as rasterio's dataset.transform, got {values!r}"
        )
    a, b, c, d, e, f = values[:6]
    if not all(map(math.isfinite, values)) or a * e == b * d:
        raise ConfigurationError(f"transform must map an area to an area, got {values!r}")
    # What of a map would be a rotation with shear about the origin is GDAL's usual "north up".
    if c == e == 0.0 and a != 0.0:
        raise ConfigurationError(
            f"transform {values!r} looks like GDAL's GetGeoTransform(), which has another order: "
            "give Affine.from_gdal(*transform), or (t[1], t[2], t[0], t[4], t[5], t[3])"
        )
    return a, b, c, d, e, f


def feature(
    polygons: Sequence[Polygon], transform: Transform | None, properties: dict[str, Any]
) -> dict[str, Any]:
    """Return a MultiPolygon with properties, exteriors counter-clockwise as RFC 7946 asks."""
    pieces = [
        [_positions(ring, transform) for ring in (polygon.exterior, *polygon.holes)]
        for polygon in polygons
    ]
    geometry = {"type": "MultiPolygon", "coordinates": pieces}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _positions(ring: npt.NDArray[np.int32], transform: Transform | None) -> list[list[float]]:
    if transform is None:
        placed: npt.NDArray[Any] = ring
    else:
        a, b, c, d, e, f = transform
        x, y = ring.T
        placed = np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)
        if a * e < b * d:  # as where rows go down and northings up: it turns round
            placed = placed[::-1]
    positions: list[list[float]] = placed.tolist()
    return [*positions, positions[0]]


def collection(features: list[dict[str, Any]], crs: str | None) -> dict[str, Any]:
    """Return a FeatureCollection.

    Args:
        features: What is in it.
        crs: Of the coordinates, as "EPSG:32633"; None for longitude and latitude, or pixels.

    Raises:
        ConfigurationError: `crs` is not of that form.
    """
    if crs is not None and not (isinstance(crs, str) and _EPSG.fullmatch(crs)):
        raise ConfigurationError(f"crs must be as 'EPSG:32633', got {crs!r}")
    document: dict[str, Any] = {"type": "FeatureCollection"}
    if crs not in (None, _LONGITUDE_LATITUDE):
        # Left out of RFC 7946, and what GDAL, QGIS and geopandas go by all the same.
        # Source: The GeoJSON Format Specification of 2008, section 3.1.
        urn = str(crs).replace(":", "::")
        document["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{urn}"}}
    return {**document, "features": features}
