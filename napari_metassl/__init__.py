"""napari-metassl: review, correct and fine-tune segmentation pairs with the MetaSSL loss."""

__version__ = "0.1.0"
