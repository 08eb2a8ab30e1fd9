"""D-Net: what is in one frame, helped by the frame before and its mask (section 3.1 of the paper)."""
