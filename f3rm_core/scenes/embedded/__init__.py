"""What ships with the package: the scene `embedded:tabletop` and the weights of the small model `tabletop-mini`.

tabletop/ is a rendered scene in nerfstudio's format: images/ and transforms.json, with splits by name. Beside them are
masks/ (masks/NAME.png holds an object id for each pixel of images/NAME.jpg) and queries.yaml, which says what each id
is and which ids are right for each text query. The masks are for measuring only: transforms.json does not name them, or
nerfstudio would leave pixels out of training.

Both are made by tools/tabletop; docs/embedded-model.md says how, and what the model can and can't do.
"""
