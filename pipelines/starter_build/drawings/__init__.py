"""The starter's training pictures: SVG figures and scenes, their attributes and captions."""
