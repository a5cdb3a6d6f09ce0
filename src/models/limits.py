"""Limits of the normalisation that every backend keeps."""

MIN_REGION_VARIANCE = 1e-6  # of grey values in 0…1: that of an empty image is 0
MIN_BAND_VARIANCE = 1e-3  # dB²: that of digital silence is 0
MAX_BAND = 4.0  # deviations: normalised bands are clipped to ± this
