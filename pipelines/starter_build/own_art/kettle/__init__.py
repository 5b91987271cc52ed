"""Dame Oolong, a teapot who is a witch, in thick ink."""
