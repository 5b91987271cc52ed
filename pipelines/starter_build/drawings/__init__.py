"""The starter's training images: SVG figures and scenes, their attributes and captions."""
