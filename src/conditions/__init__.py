"""Copies of clips as phones, webcams, chat apps and rooms would have made them."""
