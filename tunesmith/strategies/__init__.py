"""Ways of learning, one file each: the file's name is the strategy's name."""
