"""⑥ The runner inside a container; started as `python3 /hob/python/hob/_runner/__main__.py` with the agent's socket as fd 3."""
