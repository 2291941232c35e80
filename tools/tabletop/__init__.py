"""How the embedded tabletop scene and its small vision-language model are made.

`python -m tools.tabletop.scene` renders the scene that ships, `.data` renders other scenes to train on, `.train` trains
the model, `.evaluate` measures it. Needs trimesh, embreex and shapely, which running the project does not.
"""
