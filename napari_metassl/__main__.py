"""``python -m napari_metassl`` is ``napari-metassl``."""

from napari_metassl.cli import main

main()
