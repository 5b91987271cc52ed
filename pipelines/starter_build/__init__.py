"""Makes the starter's weights anew: training images, training loops, measurement, export."""
