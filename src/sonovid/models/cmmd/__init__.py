"""CMMD (Yang et al. 2023): a dual U-Net joined by easy fusion."""
