"""Makes the starter's weights anew: training pictures, build loops, measurements, export."""
