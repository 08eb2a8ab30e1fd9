"""Training of D-Net, and after it of the refiner of T-Net's scores."""
