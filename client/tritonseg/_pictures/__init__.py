"""Whatever a caller has for a picture, as the pixels or the file that are sent."""
