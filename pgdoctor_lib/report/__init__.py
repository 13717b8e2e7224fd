"""Words and pictures for people and for other programs, made of findings. Pure: text in, text out."""
