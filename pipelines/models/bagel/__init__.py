"""BAGEL: a mixture of transformers that writes text token by token and draws images by flow matching."""
