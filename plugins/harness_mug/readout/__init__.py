"""How a mask is read out of a frame and the references of its video: as the paper says, and as the released code."""
