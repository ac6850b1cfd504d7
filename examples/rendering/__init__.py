"""A small renderer of sea scenes: waves, animals, foam, light; numpy and OpenCV only.

Letters: H, W picture rows and columns (H' rows below the horizon); n points. World coordinates are metres,
x to the right, y up from the mean sea level, z away from the camera. Colours are linear RGB until `develop`.
"""
